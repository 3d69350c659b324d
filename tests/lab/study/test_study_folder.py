import hashlib

import pytest

from hinged import errors
from hinged.lab.experiment import settings
from hinged.lab.networks.pretrained import read_weights_file
from hinged.lab.runs.compare import compare_all
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.study.build_record import build_record
from hinged.lab.study.cells import read_study
from hinged.lab.study.page import origin
from hinged.lab.study.study_folder import StudyFolder, StudyPlan


class Silent(ProgressListener):
    def __init__(self):
        self.begun, self.done = None, []

    def on_start(self, trials, finished, epochs, _jobs):
        self.begun = trials, finished, epochs

    def on_result(self, task, result):
        self.done.append((task.label, result.activation, result.seed))


def plan(path, scale="smoke"):
    return StudyPlan(name=path.stem, scale=scale, study=read_study(path))


def test_a_finished_study_does_nothing_more(finished):
    listener = Silent()
    compare_all(finished.cell_runs(), listener)
    assert listener.begun == (9, 9, 0) and listener.done == []


def test_more_seeds_do_only_what_is_missing(tiny, tmp_path):
    folder, listener = StudyFolder(tmp_path / "run"), Silent()
    folder.open(plan(tiny))
    compare_all(folder.cell_runs(seeds=2), Silent())
    compare_all(folder.cell_runs(seeds=3), listener)
    assert listener.begun == (9, 6, 3)
    assert listener.done == [
        ("hinges-3", "relu", 2),
        ("hinges-3", "hinged", 2),
        ("hinges-9", "hinged", 2),
    ]


def test_another_study_or_scale_is_refused(tiny, tmp_path):
    folder = StudyFolder(tmp_path / "run")
    folder.open(plan(tiny))
    folder.open(plan(tiny))
    before = (folder.path / "study.json").read_bytes()
    with pytest.raises(
        errors.RunFolderError, match="holds trainings of the study tiny at scale smoke"
    ):
        folder.open(plan(tiny, "small"))
    tiny.write_text(tiny.read_text().replace("epochs = 1", "epochs = 2"))
    with pytest.raises(errors.RunFolderError, match="settings or precision differ"):
        folder.open(plan(tiny))
    assert (folder.path / "study.json").read_bytes() == before


def test_a_folder_keeps_the_precision_of_the_machine_that_began_it(tiny, tmp_path):
    tiny.write_text(tiny.read_text().replace("epochs = 1,", 'epochs = 1, precision = "auto",'))
    here, there = settings.fast_precision(), "float32"
    there = "bf16" if here == there else there
    folder = StudyFolder(tmp_path / "run")
    folder.open(plan(tiny).model_copy(update={"precision": there}))
    folder.open(plan(tiny))
    assert {task.experiment.training.precision for task in folder.cell_runs()} == {there}
    assert folder.plan.study == plan(tiny).study != folder.plan.study_with_precision
    with pytest.raises(
        errors.RunFolderError, match="holds trainings of the study tiny at scale smoke"
    ):
        folder.open(plan(tiny).model_copy(update={"precision": here}))
    other = StudyFolder(tmp_path / "other")
    other.open(plan(tiny))
    assert {task.experiment.training.precision for task in other.cell_runs()} == {here}


def test_a_precision_is_settled_wherever_it_is_automatic_and_nothing_else_is(tiny):
    study = read_study(tiny)
    assert study.with_precision("bf16") == study
    tiny.write_text(tiny.read_text().replace("[grid]", '[grid]\n"training.precision" = ["auto"]'))
    (precision,) = read_study(tiny).with_precision("bf16").grid["training.precision"]
    assert precision == "bf16"
    tiny.write_text(tiny.read_text().replace('["auto"]', '["float32"]'))
    assert read_study(tiny).with_precision("bf16") == read_study(tiny)


def test_a_study_may_get_other_words_more_seeds_and_more_places(tiny, tmp_path):
    folder, listener = StudyFolder(tmp_path / "run"), Silent()
    folder.open(plan(tiny))
    compare_all(folder.cell_runs(seeds=2), Silent())
    text = tiny.read_text()
    tiny.write_text(
        text.replace("seeds = 5", "seeds = 6")
        .replace("question = ", "question = 'So'#")
        .replace('"curves.hinges" = [3, 9]', '"curves.hinges" = [3, 9, 17]')
    )
    folder.open(plan(tiny))
    assert folder.plan.study == plan(tiny).study and folder.plan.study.question == "So"
    compare_all(folder.cell_runs(seeds=2), listener)
    assert listener.done == [("hinges-17", "hinged", seed) for seed in (0, 1)]
    tiny.write_text(text)
    with pytest.raises(errors.RunFolderError, match="settings or precision differ"):
        folder.open(plan(tiny))


def test_foreign_and_damaged_folders_are_refused(tiny, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(errors.RunFolderError, match="files that do not belong to a study"):
        StudyFolder(tmp_path / "mine").open(plan(tiny))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    with pytest.raises(errors.RunFolderError, match="holds no study"):
        _ = StudyFolder(tmp_path / "mine").plan
    (tmp_path / "mine" / "study.json").write_text("{}")
    with pytest.raises(errors.RunFolderError, match="not a valid plan of a study"):
        _ = StudyFolder(tmp_path / "mine").plan


def test_two_processes_may_begin_a_folder_at_once(tiny, tmp_path, monkeypatch):
    first, second = StudyFolder(tmp_path / "run"), StudyFolder(tmp_path / "run")
    look = StudyFolder._holds_other_files

    def while_the_other_begins(folder):
        monkeypatch.undo()
        second.open(plan(tiny))
        return look(folder)

    monkeypatch.setattr(StudyFolder, "_holds_other_files", while_the_other_begins)
    first.open(plan(tiny))
    assert first.plan == second.plan


def test_a_folder_left_by_a_process_killed_early_is_used(tiny, tmp_path):
    (tmp_path / "run" / "cells").mkdir(parents=True)
    StudyFolder(tmp_path / "run").open(plan(tiny))


def test_work_goes_seed_by_seed_through_all_cells(tiny, tmp_path):
    folder, listener = StudyFolder(tmp_path / "run"), Silent()
    folder.open(plan(tiny))
    compare_all(folder.cell_runs(seeds=2), listener)
    one = [("hinges-3", "relu"), ("hinges-3", "hinged"), ("hinges-9", "hinged")]
    assert listener.done == [(*each, 0) for each in one] + [(*each, 1) for each in one]


PRETRAIN = """
[pretrain]
train_size = 50
training = { epochs = 2 }

[smoke]"""


def test_networks_start_from_the_pretraining_of_the_study(tiny, tmp_path):
    text = tiny.read_text().replace("width = 2", 'pretrained = "study", width = 2')
    tiny.write_text(text.replace("[smoke]", PRETRAIN, 1).replace("[3, 9]", "[3]", 1))
    folder, listener = StudyFolder(tmp_path / "run"), Silent()
    folder.open(plan(tiny))
    folder.train(listener, seeds=2)
    assert listener.done[0] == ("pretrain cnn", "original", 0)
    assert [label for label, *_ in listener.done[1:]] == ["all"] * 4
    found = build_record(folder)
    pretraining = found.pretrainings["cnn"]
    assert pretraining.experiment["training"]["epochs"] == 2 and pretraining.pretrained == ""
    (weights,) = (folder.path / "pretrain" / "cnn" / "weights").iterdir()
    state = read_weights_file(weights).state
    for task in folder.cell_runs(seeds=2):
        results = task.folder.results()
        assert {r.initial_weights for r in results} == {digest(state)}
        assert {r.pretrained for r in results} == {read_weights_file(weights).name}
    assert f"accuracy: cnn on digits to {100 * pretraining.test_score:.2f} % (" in origin(found)
    again = Silent()
    folder.train(again, seeds=2)
    assert again.done == []


def digest(state):
    """SHA-256 over weights and biases in the order of the layers."""
    found = hashlib.sha256()
    for name in sorted(state, key=lambda name: (int(name.split(".")[0]), name.endswith("bias"))):
        found.update(state[name].numpy().tobytes())
    return found.hexdigest()


def test_a_pretraining_killed_before_its_end_is_done_again(tiny, tmp_path):
    text = tiny.read_text().replace("width = 2", 'pretrained = "study", width = 2')
    tiny.write_text(text.replace("[smoke]", PRETRAIN, 1))
    folder = StudyFolder(tmp_path / "run")
    folder.open(plan(tiny))
    (task,) = folder.pretraining_runs()
    task.folder.open(task.experiment)
    task.folder.save_weights(task.experiment.trials[0], b"half of what was to be written")
    folder.train(Silent(), seeds=2)
    assert len(build_record(folder).rows) == 3


def test_networks_of_one_kind_that_would_be_pretrained_differently_are_refused(tiny):
    text = tiny.read_text().replace("width = 2", 'pretrained = "study", width = 2')
    text = text.replace('"curves.hinges" = [3, 9]', '"network.width" = [2, 3]').replace(
        'grid = { "curves.hinges" = [3, 9, 33] }', ""
    )
    tiny.write_text(text.replace("[smoke]", PRETRAIN, 1))
    with pytest.raises(errors.ArgumentError, match="networks of kind cnn that are pretrained diff"):
        read_study(tiny)


def test_a_folder_left_by_a_process_killed_while_it_wrote_the_plan_is_taken_over(tiny, tmp_path):
    (tmp_path / "run" / "cells").mkdir(parents=True)
    (tmp_path / "run" / ".hinged-999999999-abc.partial").write_text("half")
    folder = StudyFolder(tmp_path / "run")
    folder.open(StudyPlan(name="tiny", scale="smoke", study=read_study(tiny)))
    assert folder.plan.name == "tiny"
