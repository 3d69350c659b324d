"""Studies that tune the settings of each activation before they compare them."""

import csv
import json

import pytest

from hinged import errors
from hinged.lab.reporting.take_away_files import Formats
from hinged.lab.runs import pending_trial
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.tuning import read_tuning
from hinged.lab.study import tables
from hinged.lab.study.build_record import build_record
from hinged.lab.study.cells import read_study, study_tuning
from hinged.lab.study.origin import origin
from hinged.lab.study.record import StudyRecord
from hinged.lab.study.sizes import measured_time, scale_size
from hinged.lab.study.study_files import write_study_files
from hinged.lab.study.study_folder import StudyFolder, StudyPlan
from hinged.lab.study.study_report import write_study_report
from tests.lab.helpers import RecordingListener
from tests.lab.study.helpers import TINY

TUNED = TINY.replace(
    "[smoke]",
    """
[tune]
settings = { "training.lr" = [0.0001, 0.02] }
seeds = 1

[tune.activations.hinged]
"training.lr" = [0.02]
"training.curve_lr_factor" = [1.0, 3.0]

[smoke]""",
).replace("seeds = 3", "seeds = 2")


@pytest.fixture
def tuned(tmp_path):
    """The file of a small study with tuning."""
    path = tmp_path / "tuned.toml"
    path.write_text(TUNED)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of this study at its smallest scale, for tests that only read it."""
    base = tmp_path_factory.mktemp("tuned")
    (base / "tuned.toml").write_text(TUNED)
    return train(base / "tuned.toml", base / "run")


def train(path, out, listener=None, scale="smoke"):
    folder = StudyFolder(out)
    folder.open(StudyPlan(name=path.stem, scale=scale, study=read_study(path)))
    folder.train(listener or ProgressListener())
    return folder


def test_every_cell_is_trained_with_the_choice_for_its_activations(trained):
    for cell in trained.plan.cells():
        run = trained.run_folder(cell)
        choice = {each.activation: each.chosen_settings for each in read_tuning(run)}
        assert choice.keys() == set(cell.experiment.activations)
        for result in run.results():
            training = result.experiment["training"]
            for name, value in choice[result.activation].items():
                assert training[name.removeprefix("training.")] == value
            assert training["validation"] == 0 and result.validation_scores == []
    assert len(list(trained.path.glob("cells/*/tuning/*/trials/*.json"))) == 6


def test_a_finished_study_does_nothing_more(trained):
    listener = RecordingListener()
    trained.train(listener)
    assert listener.trials == [] and listener.counts == (6, 6, 0)


def test_the_record_holds_what_was_tried_and_chosen(trained):
    record = build_record(trained)
    assert record == StudyRecord.model_validate_json(record.to_json())
    assert list(record.tuning) == ["hinges-3", "hinges-9"]
    relu, curves = record.tuning["hinges-3"]
    assert [each.settings for each in relu.tried] == [{"training.lr": v} for v in (0.0001, 0.02)]
    assert [each.settings["training.curve_lr_factor"] for each in curves.tried] == [1.0, 3.0]
    assert all(list(each.scores) == [1000] for each in (*relu.tried, *curves.tried))
    assert record.missing == 0 and not record.failures
    assert measured_time(record).seconds == pytest.approx(
        record.seconds + record.tuning_seconds, abs=0.1
    )
    assert "Tuned first, by 6 trainings in " in origin(record)


def test_the_choice_does_not_separate_rows_of_the_same_setting(trained):
    """ReLU is trained in the first cell only, and is the reference of the second cell too."""
    record = build_record(trained)
    assert [row.versus.label for row in record.rows if row.versus] == ["relu", "relu"]
    assert all(cell["overrides"] == {} for cell in record.cells.values())


def test_the_page_shows_the_tuning_in_a_table(trained):
    (table,) = (each for each in tables.details(build_record(trained)) if "tried" in each.title)
    assert table.headings == ("activation", "tried, with mean validation accuracy, %", "chosen")
    assert [row.texts[0] for row in table.rows] == [
        *("ReLU", "curves (3 hinges)", "curves (9 hinges)"),
    ]
    (chosen,) = {row.texts[2] for row in table.rows[:1]} & {"lr 0.0001", "lr 0.02"}
    assert chosen and table.rows[1].texts[1].startswith("lr 0.02, curve lr factor 1: ")
    write_study_report(trained)
    page = (trained.path / "report.html").read_text()
    assert table.title in page and table.rows[1].texts[1] in page
    cell = (trained.path / "cells" / "hinges-3" / "report.html").read_text()
    assert table.title in cell and table.rows[0].texts[1] in cell


def test_in_a_cross_validation_the_page_says_that_folds_share_samples(trained):
    record = build_record(trained)
    cells = {name: cell | {"folds": 5} for name, cell in record.cells.items()}
    (table, *_) = tables.details(record.model_copy(update={"cells": cells}))
    assert "not independent" in table.about
    assert "not independent" not in tables.details(record)[0].about


def test_a_file_holds_every_combination(trained, tmp_path):
    write_study_files(trained, build_record(trained), tmp_path, Formats(csv=True))
    with (tmp_path / "tuning.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["cell"], row["activation"]) for row in rows] == [
        *([("hinges-3", "relu")] * 2 + [("hinges-3", "hinged")] * 2 + [("hinges-9", "hinged")] * 2),
    ]
    assert sum(row["chosen"] == "True" for row in rows) == 3
    assert rows[0]["training.lr"] == "0.0001" and rows[0]["training.curve_lr_factor"] == ""


def test_a_failed_tuning_is_named_and_its_activation_is_missing(tuned, tmp_path, monkeypatch):
    run_trial = pending_trial.run_trial

    def fail(experiment, trial, *arguments):
        if trial.activation == "hinged" and experiment.curves.hinges == 9:
            raise ValueError("no")
        return run_trial(experiment, trial, *arguments)

    monkeypatch.setattr(pending_trial, "run_trial", fail)
    record = build_record(train(tuned, tmp_path / "run"))
    assert [row.cell for row in record.rows] == ["hinges-3", "hinges-3"]
    assert [failure.activation for failure in record.failures] == ["hinged", "hinged"]
    assert record.missing == 2
    monkeypatch.undo()
    listener = RecordingListener()
    record = build_record(train(tuned, tmp_path / "run", listener))
    assert len(listener.results) == 2 + 2
    assert len(record.rows) == 3 and record.missing == 0 and not record.failures


def test_the_size_counts_tunings_and_their_rates(tuned):
    size = scale_size(read_study(tuned), "smoke")
    assert (size.trainings, size.tunings) == (6, 6)
    assert size.learning_rates == (0.0001, 0.02)
    assert size.as_words()["tuning"] == "6 trainings before these"


def test_a_scale_may_have_a_tuning_of_its_own(tuned):
    lists = '{ settings = { "training.lr" = [0.1, 0.2, 0.3] } }'
    tuned.write_text(TUNED.replace("seeds = 4", f"seeds = 4\ntune = {lists}"))
    study = read_study(tuned)
    smoke, small = (study_tuning(study, scale).combinations for scale in ("smoke", "small"))
    assert len(smoke["relu"]) == 2 and len(small["relu"]) == len(small["hinged"]) == 3


def test_an_empty_tuning_of_a_scale_tunes_nothing(tuned):
    tuned.write_text(TUNED.replace("seeds = 4", "seeds = 4\ntune = {}"))
    study = read_study(tuned)
    assert study_tuning(study, "small") is None and study_tuning(study, "smoke") is not None


def test_another_tuning_of_a_folder_is_refused(tuned, tmp_path):
    StudyFolder(tmp_path / "run").open(
        StudyPlan(name="tuned", scale="smoke", study=read_study(tuned))
    )
    tuned.write_text(TUNED.replace("[1.0, 3.0]", "[1.0, 2.0]"))
    with pytest.raises(errors.RunFolderError, match="Choose another folder"):
        StudyFolder(tmp_path / "run").open(
            StudyPlan(name="tuned", scale="smoke", study=read_study(tuned))
        )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[1.0, 3.0]", "[1.0]", "tune: got these numbers of combinations of settings: 2 for relu"),
        ("[0.0001, 0.02]", "[0.0001, -1.0]", "training.lr: got -1.0; expected more than 0"),
        (
            '"curves.hinges" = [3, 9]\n',
            '"curves.hinges" = [3, 9]\n"training.lr" = [0.1]\n',
            "tune: got training.lr, an axis of [grid]; a setting is either an axis",
        ),
        ("seeds = 1\n", "seeds = 0\n", "tune.seeds: got 0; expected at least 1"),
        ("seeds = 1\n", "sedes = 1\n", "tune.sedes: there is no such key; did you mean 'seeds'"),
        ("seeds = 1\n", "validation = 1.0\n", "tune.validation: got 1.0; expected less than 1"),
    ],
)
def test_faults_of_the_section_are_faults_of_the_study(tuned, old, new, message):
    tuned.write_text(TUNED.replace(old, new))
    with pytest.raises(errors.ArgumentError) as refused:
        read_study(tuned)
    assert message in str(refused.value)


AT = TUNED.replace("seeds = 1\n", 'seeds = 1\nat = { "curves.hinges" = 3 }\n')


def test_cells_may_take_the_choice_of_another_cell(tmp_path):
    (tmp_path / "at.toml").write_text(AT)
    folder = train(tmp_path / "at.toml", tmp_path / "run")
    assert len(list(folder.path.glob("cells/*/tuning/*/trials/*.json"))) == 4
    (choice,) = (
        each.chosen_settings
        for each in read_tuning(RunFolder(folder.path / "cells" / "hinges-3"))
        if each.activation == "hinged"
    )
    (other,) = (run for run in folder.cell_runs() if run.label == "hinges-9")
    for result in other.folder.results():
        training = result.experiment["training"]
        assert training["curve_lr_factor"] == choice["training.curve_lr_factor"]
    record = build_record(folder)
    assert len(record.rows) == 3 and list(record.tuning) == ["hinges-3"] and not record.missing
    (table,) = (each for each in tables.details(record) if "tried" in each.title)
    assert "Only the cells with the number of hinges 3 were tuned." in table.about
    assert record == StudyRecord.model_validate_json(record.to_json())
    size = scale_size(read_study(tmp_path / "at.toml"), "smoke")
    assert (size.trainings, size.tunings) == (6, 4)


def test_a_choice_from_elsewhere_is_another_study(tuned, tmp_path):
    study = read_study(tuned)
    StudyFolder(tmp_path / "run").open(StudyPlan(name="tuned", scale="smoke", study=study))
    tuned.write_text(AT)
    with pytest.raises(errors.RunFolderError, match="Choose another folder"):
        StudyFolder(tmp_path / "run").open(
            StudyPlan(name="tuned", scale="smoke", study=read_study(tuned))
        )


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ('"curves.hinges" = 5', "tune.at: got curves.hinges = 5; give a value that this axis"),
        ('"training.lr" = 0.1', "tune.at: got 'training.lr'"),
        ('"curves.hinges" = 9', "tune.at: got {'curves.hinges': 9}, where relu is not trained;"),
    ],
)
def test_cells_that_nothing_is_chosen_for_are_a_fault(tuned, at, message):
    tuned.write_text(AT.replace('"curves.hinges" = 3 }', f"{at} }}"))
    with pytest.raises(errors.ArgumentError) as refused:
        read_study(tuned)
    assert message in str(refused.value)


def test_a_study_without_tuning_has_none(finished):
    record = build_record(finished)
    assert record.tuning == {} and record.tuning_seconds == 0
    assert "Tuned" not in origin(record)
    assert not any("tried" in table.title for table in tables.details(record))
    old = json.loads(record.to_json())
    del old["tuning"]
    assert StudyRecord.model_validate(old) == record
