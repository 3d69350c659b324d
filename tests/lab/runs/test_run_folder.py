import errno
import json
import math
import os
import threading

import pytest
import torch

from hinged import errors
from hinged.lab._write_file import write_file
from hinged.lab.experiment.schema import Trial
from hinged.lab.problems.predictions import count_classes
from hinged.lab.runs import run_folder
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.trial_result import TrialResult
from tests.lab.helpers import make_failure, make_result

TRIAL = Trial(activation="relu", seed=0)


@pytest.fixture
def folder(tmp_path, small):
    opened = RunFolder(tmp_path / "run")
    opened.open(small)
    return opened


def test_saved_trials_are_read_back_in_the_order_of_the_experiment(folder):
    for activation, seed in [("prelu", 1), ("relu", 0), ("hinged", 0)]:
        folder.save_result(
            Trial(activation=activation, seed=seed), make_result(activation, seed), {}
        )
    assert [(r.activation, r.seed) for r in folder.results()] == [
        ("relu", 0),
        ("hinged", 0),
        ("prelu", 1),
    ]
    lines = (folder.path / "results.jsonl").read_text().splitlines()
    assert [TrialResult.model_validate_json(line) for line in lines] == folder.results()


def test_curves_round_trip(folder):
    values = torch.randn(3, 9)
    folder.save_result(TRIAL, make_result(), {"2.values": values})
    assert torch.equal(folder.load_curves(TRIAL)["2.values"], values)
    assert folder.load_curves(Trial(activation="relu", seed=1)) == {}


def test_predictions_round_trip(folder):
    saved = count_classes(torch.tensor([0, 1]), torch.tensor([1, 1]), ("a", "b"))
    folder.save_result(TRIAL, make_result(), {}, saved)
    found = folder.load_predictions(TRIAL)
    assert found.counts.tolist() == [[0, 0], [1, 1]] and found.names == ("a", "b")
    assert folder.load_predictions(Trial(activation="relu", seed=1)) is None


def test_a_result_of_an_earlier_version_has_no_other_scores(folder):
    folder.save_result(TRIAL, make_result(), {})
    path = folder.path / "trials" / f"{TRIAL.key}.json"
    record = json.loads(path.read_text())
    assert record.pop("other_scores") == {}
    path.write_text(json.dumps(record))
    assert folder.results() == [make_result()]


def test_another_experiment_is_refused_and_nothing_changes(folder):
    before = (folder.path / "config.json").read_bytes()
    other = build_experiment(data="wine", network={"kind": "mlp"})
    with pytest.raises(errors.RunFolderError) as caught:
        folder.open(other)
    assert "holds another experiment: there data is 'digits', not 'wine'" in str(caught.value)
    assert "choose another folder (--out)" in str(caught.value)
    assert (folder.path / "config.json").read_bytes() == before


def test_more_seeds_extend_the_experiment(folder, small):
    folder.open(small.model_copy(update={"seeds": (5, 6)}))
    assert folder.experiment.seeds == (0, 1, 2, 5, 6)


def test_a_folder_with_foreign_files_is_refused(tmp_path, small):
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(errors.RunFolderError, match="holds files but no experiment"):
        RunFolder(tmp_path).open(small)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_two_processes_may_begin_a_folder_at_once(tmp_path, small, monkeypatch):
    first, second, look = RunFolder(tmp_path), RunFolder(tmp_path), RunFolder._holds_other_files

    def while_the_other_begins(folder):
        monkeypatch.undo()
        second.open(small)
        return look(folder)

    monkeypatch.setattr(RunFolder, "_holds_other_files", while_the_other_begins)
    first.open(small)
    assert first.experiment == small


def test_a_folder_left_by_a_process_killed_before_its_first_file_is_taken_over(tmp_path, small):
    (tmp_path / ".locks").mkdir()
    (tmp_path / ".locks" / "folder").touch()
    (tmp_path / ".hinged-999999999-abc.partial").write_text("half")
    RunFolder(tmp_path).open(small)
    assert not list(tmp_path.rglob("*.partial"))
    assert RunFolder(tmp_path).experiment == small


@pytest.mark.parametrize("content", ["", "{", '{"data": 3}', '{"activation": "relu"}'])
def test_unreadable_files_are_named(folder, content):
    (folder.path / "trials" / "relu-seed0.json").write_text(content)
    with pytest.raises(errors.RunFolderError, match=r"relu-seed0\.json is not the result"):
        folder.results()
    (folder.path / "config.json").write_text(content or "{")
    with pytest.raises(
        errors.RunFolderError, match=r"config\.json does not contain the valid settings"
    ):
        folder.open(folder.experiment)


def test_a_folder_without_experiment_says_so(tmp_path):
    with pytest.raises(errors.RunFolderError, match="holds no experiment"):
        _ = RunFolder(tmp_path).experiment


def test_a_claimed_trial_is_not_given_twice(folder):
    other = RunFolder(folder.path)
    with folder.claim(TRIAL, wait=False) as first, other.claim(TRIAL, wait=False) as second:
        assert first and not second
    folder.save_result(TRIAL, make_result(), {})
    with other.claim(TRIAL, wait=True) as late:
        assert not late


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_file(path, "old")

    def full(descriptor):  # noqa: ARG001
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(errors.RunFolderError, match="No space left"):
        write_file(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_readers_never_see_half_a_file(tmp_path):
    path, texts = tmp_path / "file.json", [json.dumps([n] * 20_000) for n in range(2)]
    write_file(path, texts[0])
    stop = threading.Event()

    def keep_writing():
        while not stop.is_set():
            for text in texts:
                write_file(path, text)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        assert all(path.read_text() in texts for _ in range(200))
    finally:
        stop.set()
        writer.join()


def test_a_diverged_trial_is_recorded_and_read_back(folder):
    folder.save_result(TRIAL, make_result(test_score=float("nan")), {})
    assert math.isnan(folder.results()[0].test_score)


def test_files_of_others_that_look_partial_are_kept(tmp_path, small):
    (tmp_path / "movie.2019999.partial").write_text("precious")
    with pytest.raises(errors.RunFolderError, match="holds files but no experiment"):
        RunFolder(tmp_path).open(small)
    assert (tmp_path / "movie.2019999.partial").exists()


def test_a_file_is_no_run_folder(tmp_path, small):
    (tmp_path / "file").touch()
    with pytest.raises(errors.RunFolderError, match="is a file"):
        RunFolder(tmp_path / "file").open(small)


@pytest.mark.parametrize(
    ("number", "hint"), [(errno.ENOSPC, "Free some disk space"), (errno.EIO, "Correct the cause")]
)
def test_a_disk_that_takes_nothing_is_one_sentence_and_keeps_what_was_there(
    folder, monkeypatch, number, hint
):
    folder.save_result(TRIAL, make_result(test_score=0.5), {})
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}

    def full(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    for save in (
        lambda: folder.save_result(
            TRIAL, make_result(test_score=0.75), {"2.values": torch.ones(1)}
        ),
        lambda: folder.save_failure(TRIAL, make_failure()),
        folder.write_results_file,
    ):
        with pytest.raises(errors.RunFolderError) as caught:
            save()
        assert f"cannot be written: {os.strerror(number)}. {hint}" in str(caught.value)
        assert str(folder.path) in str(caught.value)
    after = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    assert after == before


def test_a_lock_that_cannot_be_made_is_one_sentence(folder, monkeypatch):
    monkeypatch.setattr(run_folder.FileLock, "acquire", _full)
    with (
        pytest.raises(errors.RunFolderError, match=r"relu-seed0 cannot be written: No space left"),
        folder.claim(TRIAL, wait=False),
    ):
        pass


def _full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("values", [{"loss": [1.0, math.nan]}, {"test_score": math.inf}])
def test_a_loss_or_score_that_is_no_number_is_divergence(values):
    assert make_result().model_copy(update=values).diverged and not make_result().diverged
