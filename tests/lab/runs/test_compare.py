import errno
import json
import math
import os
import random
import time

import pytest

from hinged import errors
from hinged.lab.reporting import report
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import ProgressListener, compare, compare_all
from hinged.lab.runs.pending_trial import ExperimentRun
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.trial_result import TrialResult
from tests.lab.conftest import SMALL
from tests.processes import start_command

COMMAND = [
    *("compare", "--json"),
    *("--width", "2", "--depth", "1", "--epochs", "2", "--batch-size", "128", "--lr", "0.02"),
    *("--activations", "relu,prelu,hinged", "--seeds", "3"),
]


EPOCHS = 12


class Counting(ProgressListener):
    def __init__(self):
        self.done = []

    def on_result(self, task, result):
        assert result.experiment["data"] == task.experiment.data
        self.done.append((result.activation, result.seed))


def scores(folder):
    return {(r.activation, r.seed): (r.test_score, r.loss) for r in folder.results()}


def test_every_trial_is_recorded_whole(finished, small):
    results = finished.results()
    assert len(results) == len(small.trials) == 9
    for result in results:
        assert len(result.loss) == 2 and 0 <= result.test_score <= 1
        assert result.environment["torch"] and result.environment["commit"]
        assert result.experiment["network"]["width"] == 2
        assert len(result.data_digest) == 64


def test_comparisons_are_paired(finished):
    weights = {(r.seed, r.initial_weights) for r in finished.results()}
    assert len(weights) == 3, "one set of initial weights for each seed"


def test_curves_are_kept_for_trained_curves_alone(finished, small):
    kept = {trial.key for trial in small.trials if finished.load_curves(trial)}
    assert kept == {"hinged-seed0", "hinged-seed1", "hinged-seed2"}


def test_the_same_again_gives_the_same(finished, small, tmp_path):
    again = RunFolder(tmp_path / "again")
    compare(small, again, ProgressListener())
    assert scores(again) == scores(finished)


def test_a_finished_run_does_nothing_more(finished, small):
    listener = Counting()
    compare(small, finished, listener)
    assert listener.done == []


def test_more_seeds_do_only_what_is_missing(small, tmp_path):
    folder, listener = RunFolder(tmp_path / "run"), Counting()
    few = small.model_copy(update={"seeds": (0,), "activations": ("relu", "hinged")})
    compare(few, folder, listener)
    listener.done.clear()
    compare(few.model_copy(update={"seeds": (0, 1)}), folder, listener)
    assert listener.done == [("relu", 1), ("hinged", 1)]


def start(folder, *options, log="log"):
    return start_command(folder.parent / log, *COMMAND, "--out", folder, *options)


def assert_nothing_is_half_written(folder):
    for path in folder.glob("trials/*.json"):
        TrialResult.model_validate_json(path.read_text())
    for path in folder.glob("config.json"):
        json.loads(path.read_text())
    for path in folder.glob("results.jsonl"):
        for line in path.read_text().splitlines():
            TrialResult.model_validate_json(line)
    for path in folder.glob("report.html"):
        assert path.read_text().rstrip().endswith("</html>")
    for path in folder.glob("plots/*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """What a run of trials long enough to be hit by a kill gives when it is left alone."""
    folder = RunFolder(tmp_path_factory.mktemp("uninterrupted") / "run")
    settings = {**SMALL, "training": {**SMALL["training"], "epochs": EPOCHS}}
    compare(build_experiment(**settings), folder, ProgressListener())
    return scores(folder)


def finish_or_kill(folder, jobs, new_trials, delay):
    """Start the command, kill it `delay` seconds after so many trials were added, and return
    whether it ended by itself."""
    before = len(list(folder.glob("trials/*.json")))
    process = start(folder, "--epochs", str(EPOCHS), "--jobs", str(jobs))
    while process.is_alive() and len(list(folder.glob("trials/*.json"))) < before + new_trials:
        time.sleep(0.01)
    time.sleep(delay)
    ended = not process.is_alive()
    process.kill()
    process.join()
    assert not ended or process.exitcode == 0, (folder.parent / "log").read_text()
    return ended


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "kills"), [(1, (0, 1, 2, 1)), (2, (0, 1))])
def test_killed_at_any_moment_it_goes_on_and_repeats_nothing(tmp_path, uninterrupted, jobs, kills):
    folder, kept, moments = tmp_path / "run", {}, random.Random(jobs)
    # At the start, in the middle of trials, and at whatever a process does between them.
    for new_trials in (*kills, 99):
        delay = moments.uniform(0.0, 0.5)
        ended = finish_or_kill(folder, jobs, new_trials, delay)
        assert_nothing_is_half_written(folder)
        present = {path: path.read_bytes() for path in folder.glob("trials/*.json")}
        assert kept.items() <= present.items(), "a finished trial was lost or done again"
        assert ended == (new_trials == 99), "the kills must hit"
        kept = present
    assert not list(folder.rglob("*.partial"))
    assert scores(RunFolder(folder)) == uninterrupted


@pytest.mark.slow
def test_workers_give_what_one_process_gives(tmp_path, finished, small):
    folder, listener = RunFolder(tmp_path / "run"), Counting()
    compare(small, folder, listener, jobs=2)
    assert sorted(listener.done) == sorted((t.activation, t.seed) for t in small.trials)
    assert scores(folder) == scores(finished)


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path, finished):
    folder = tmp_path / "run"
    first = start(folder, "--jobs", 1, log="first")
    time.sleep(0.2)
    second = start(folder, "--jobs", 1, log="second")
    for process, log in ((first, "first"), (second, "second")):
        process.join()
        assert process.exitcode == 0, (tmp_path / log).read_text()
    assert_nothing_is_half_written(folder)
    assert scores(RunFolder(folder)) == scores(finished)


@pytest.mark.slow
def test_a_killed_training_resumes_at_its_checkpoint(tmp_path):
    def start(name):
        command = ("train", "--width", 2, "--depth", 1, "--epochs", 60, "--batch-size", 128)
        return start_command(tmp_path / "log", *command, "--json", "--out", tmp_path / name)

    process = start("a")
    checkpoint = tmp_path / "a" / "checkpoints" / "hinged-seed0" / "last.ckpt"
    while not checkpoint.exists():
        time.sleep(0.02)
        assert process.is_alive()
    process.kill()
    process.join()
    assert not list((tmp_path / "a" / "trials").iterdir()), "killed before it was finished"
    for name in ("a", "b"):
        process = start(name)
        process.join()
        assert process.exitcode == 0, (tmp_path / "log").read_text()
    killed, whole = (RunFolder(tmp_path / name) for name in ("a", "b"))
    assert scores(killed) == scores(whole)


def test_results_on_other_data_of_the_same_name_are_refused(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("a,b\n" + "".join(f"{i / 7},{i / 3}\n" for i in range(40)))
    settings = build_experiment(
        data=str(table),
        network={"kind": "mlp", "width": 2, "depth": 1},
        training={"epochs": 1},
        activations=("relu",),
        seeds=(0,),
    )
    folder = RunFolder(tmp_path / "run")
    compare(settings, folder, ProgressListener())
    compare(settings, folder, ProgressListener())
    table.write_text(table.read_text().replace("0.0,0.0", "0.5,0.5"))
    with pytest.raises(errors.RunFolderError, match="holds results on other data"):
        compare(settings, folder, ProgressListener())


class Interrupting(ProgressListener):
    """Presses the interrupt key in the middle of the second trial."""

    def __init__(self, error):
        self.error, self.trials, self.failures = error, [], []

    def on_trial_start(self, task, trial):
        self.trials.append((task.label, trial.key))

    def on_epoch(self, number):
        if len(self.trials) == 2 and number == 1:
            raise self.error

    def on_failure(self, task, failure):
        self.failures.append((task.label, failure))


def test_an_interrupted_comparison_leaves_a_clean_folder(small, tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(SystemExit):  # Which Lightning makes of the interrupt key.
        compare(small, folder, Interrupting(SystemExit(1)))
    assert_nothing_is_half_written(folder.path)
    assert len(folder.results()) == 1 and folder.failures() == []
    assert not list(folder.path.rglob("*.partial"))


def test_a_trial_that_fails_leaves_its_error_and_the_others_go_on(small, tmp_path):
    first, second = (RunFolder(tmp_path / name) for name in ("first", "second"))
    tasks = [ExperimentRun(small, first, "first"), ExperimentRun(small, second, "second")]
    listener = Interrupting(ZeroDivisionError("boom"))
    compare_all(tasks, listener, continue_on_error=True)
    assert len(listener.trials) == 18, "it was tried once"
    ((label, failure),) = listener.failures
    assert label == "first" and "ZeroDivisionError: boom" in failure.traceback
    assert first.failures() == [failure] and (failure.activation, failure.seed) == ("prelu", 0)
    assert len(first.results()) == 8 and len(second.results()) == 9
    again = Counting()
    compare_all(tasks, again, continue_on_error=True)
    assert again.done == [("prelu", 0)] and first.failures() == []


def test_a_full_disk_is_no_failure_of_a_trial(small, tmp_path, monkeypatch):
    folder, real = RunFolder(tmp_path / "run"), os.fsync
    written = []

    def full(handle):
        written.append(handle)
        if len(written) == 8:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    tasks = [ExperimentRun(small, folder)]
    with pytest.raises(errors.RunFolderError, match="cannot be written: No space left on device"):
        compare_all(tasks, ProgressListener(), continue_on_error=True)
    assert_nothing_is_half_written(folder.path)
    assert not list(folder.path.rglob("*.partial")) and folder.failures() == []
    before = len(folder.results())
    assert 0 < before < 9
    again = Counting()
    compare_all(tasks, again, continue_on_error=True)
    assert len(again.done) == 9 - before and len(folder.results()) == 9


def test_a_training_that_diverges_is_recorded_named_and_not_done_again(small, tmp_path):
    wild = small.training.model_copy(update={"lr": 1e30})
    settings = small.model_copy(update={"training": wild})
    folder, listener = RunFolder(tmp_path / "run"), Counting()
    compare_all([ExperimentRun(settings, folder)], listener, continue_on_error=True)
    results = folder.results()
    assert len(results) == 9 and folder.failures() == []
    assert all(result.diverged and math.isnan(result.test_score) for result in results)
    assert [row.diverged for row in report.write_report(folder).rows] == [(0, 1, 2)] * 3
    assert "Diverged (the loss became infinite or NaN): relu (seed 0, seed 1, seed 2)" in (
        folder.path / "report.html"
    ).read_text(encoding="utf-8")
    listener.done.clear()
    compare_all([ExperimentRun(settings, folder)], listener, continue_on_error=True)
    assert listener.done == []


def test_without_continue_on_error_an_error_is_raised(small, tmp_path):
    with pytest.raises(ZeroDivisionError):
        compare(small, RunFolder(tmp_path / "run"), Interrupting(ZeroDivisionError()))


def test_all_experiments_are_checked_before_the_first_begins(small, tmp_path):
    impossible = build_experiment(data="wine", activations=("relu",))
    folders = [RunFolder(tmp_path / name) for name in ("good", "bad")]
    tasks = [ExperimentRun(small, folders[0]), ExperimentRun(impossible, folders[1])]
    with pytest.raises(errors.ArgumentError, match="a cnn needs images"):
        compare_all(tasks, ProgressListener())
    assert list(tmp_path.iterdir()) == []
