import errno
import math
import os
from contextlib import ExitStack

import pytest
from filelock import FileLock

from hinged import errors
from hinged.lab.reporting import report
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import compare, compare_all
from hinged.lab.runs.pending_trial import ExperimentRun, SaveOptions
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.ray_cluster import RayCluster
from hinged.lab.runs.run_folder import RunFolder
from tests.lab.helpers import COMPARE_SMALL, RecordingListener, assert_no_broken_file, scores_of
from tests.processes import start_command, wait_until


@pytest.fixture
def smallest(small):
    """One seed of the small comparison."""
    return small.model_copy(update={"seeds": (0,)})


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


class StoppedListener(RecordingListener):
    """Stops a run at its first training."""

    def on_trial_start(self, _run, _trial):
        raise KeyboardInterrupt


def test_it_warns_of_trials_that_only_an_earlier_run_has_asked_for(smallest, small, tmp_path):
    folder, listener = RunFolder(tmp_path / "run"), StoppedListener()
    for asked in (small, smallest.model_copy(update={"activations": ("relu",)})):
        assert not [each for each in listener.warnings if "earlier run" in each]
        with pytest.raises(KeyboardInterrupt):
            compare(asked, folder, listener)
    (warning,) = [each for each in listener.warnings if "earlier run" in each]
    assert f"8 more trainings, of {', '.join(small.activations)}. Choose another folder" in warning


def test_it_warns_once_of_earlier_runs_in_several_folders(small, tmp_path):
    fewer, listener = small.model_copy(update={"seeds": (0, 1)}), StoppedListener()
    for asked in (small, fewer):
        runs = [ExperimentRun(asked, RunFolder(tmp_path / name)) for name in ("one", "two", "six")]
        with pytest.raises(KeyboardInterrupt):
            compare_all(runs, listener)
    (warning,) = [each for each in listener.warnings if "earlier run" in each]
    assert warning.startswith(f"{tmp_path / 'one'} and 2 others hold an earlier run")
    assert f"{3 * len(small.activations)} more trainings, of {small.activations[0]}" in warning


@pytest.mark.slow
def test_the_same_again_gives_the_same(finished, smallest, tmp_path):
    again = RunFolder(tmp_path / "again")
    compare(smallest, again, ProgressListener())
    assert scores_of(again).items() <= scores_of(finished).items() and len(scores_of(again)) == 3


def test_a_finished_run_does_nothing_more(finished, small):
    listener = RecordingListener()
    compare(small, finished, listener)
    assert listener.trials == []


@pytest.mark.slow
def test_more_seeds_do_only_what_is_missing(small, tmp_path):
    folder, listener = RunFolder(tmp_path / "run"), RecordingListener()
    few = small.model_copy(update={"seeds": (0,), "activations": ("relu", "hinged")})
    compare(few, folder, listener)
    listener.results.clear()
    compare(few.model_copy(update={"seeds": (0, 1)}), folder, listener)
    assert listener.trials == [("relu", 1), ("hinged", 1)]


def start(folder, *options, log="log"):
    return start_command(folder.parent / log, *COMPARE_SMALL, "--out", folder, *options)


def finished_trials(folder):
    return {path: path.read_bytes() for path in folder.glob("trials/*.json")}


def wait_for_workers(folder):
    """Wait until the workers of a killed process have ended: each holds a lock while it works."""
    with ExitStack() as locks:
        for path in folder.glob(".locks/*"):
            locks.enter_context(FileLock(path))


@pytest.mark.slow
def test_killed_after_any_event_it_continues_and_repeats_nothing(tmp_path, finished):
    folder, log, kept = tmp_path / "run", tmp_path / "log", {}
    for event in ("config.json", ".locks/*-seed*", "trials/*.json", "curves/*", "trials/*.json"):
        before = {} if event == "config.json" else set(folder.glob(event))
        process = start(folder, "--jobs", 1)
        wait_until(lambda e=event, b=before: set(folder.glob(e)) - set(b), process, log)
        process.kill()
        process.join()
        wait_for_workers(folder)
        assert_no_broken_file(folder)
        present = finished_trials(folder)
        assert kept.items() <= present.items(), "a finished trial was lost or trained again"
        assert len(present) < 9, "it was killed before its end"
        kept = present
    last = start(folder, "--jobs", 1)
    last.join()
    assert last.exitcode == 0, log.read_text()
    assert kept.items() <= finished_trials(folder).items()
    assert not list(folder.rglob("*.partial"))
    assert scores_of(RunFolder(folder)) == scores_of(finished)


@pytest.mark.slow
def test_workers_give_the_results_of_one_process(tmp_path, finished, small):
    folder, listener = RunFolder(tmp_path / "run"), RecordingListener()
    compare(small, folder, listener, jobs=2)
    assert sorted(listener.trials) == sorted((t.activation, t.seed) for t in small.trials)
    assert scores_of(folder) == scores_of(finished)


@pytest.mark.slow
def test_two_processes_share_the_work(tmp_path, finished):
    folder = tmp_path / "run"
    first = start(folder, "--jobs", 1, log="first")
    wait_until((folder / "config.json").exists, first, tmp_path / "first")
    second = start(folder, "--jobs", 1, log="second")
    for process, log in ((first, "first"), (second, "second")):
        process.join()
        assert process.exitcode == 0, (tmp_path / log).read_text()
    assert_no_broken_file(folder)
    assert scores_of(RunFolder(folder)) == scores_of(finished)


@pytest.mark.slow
def test_a_killed_training_resumes_at_its_checkpoint(tmp_path):
    log = tmp_path / "log"

    def start_training(name):
        command = ("train", "--width", 2, "--depth", 1, "--epochs", 20, "--batch-size", 128)
        return start_command(log, *command, "--json", "--out", tmp_path / name)

    process = start_training("a")
    wait_until((tmp_path / "a/checkpoints/hinged-seed0/last.ckpt").exists, process, log)
    process.kill()
    process.join()
    assert not list((tmp_path / "a" / "trials").iterdir()), "killed before it was finished"
    for name in ("a", "b"):
        process = start_training(name)
        process.join()
        assert process.exitcode == 0, log.read_text()
    killed, whole = (RunFolder(tmp_path / name) for name in ("a", "b"))
    assert scores_of(killed) == scores_of(whole)


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


class Interrupting(RecordingListener):
    """Raises an error in the middle of the second trial."""

    def __init__(self, error):
        super().__init__()
        self.error, self.started = error, 0

    def on_trial_start(self, *_):
        self.started += 1

    def on_epoch(self, _run, _trial, number):
        if self.started == 2 and number == 1:
            raise self.error


def test_an_interrupted_comparison_leaves_a_clean_folder(small, tmp_path):
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(SystemExit):  # Which Lightning makes of the interrupt key.
        compare(small, folder, Interrupting(SystemExit(1)))
    assert_no_broken_file(folder.path)
    assert len(folder.results()) == 1 and folder.failures() == []
    assert not list(folder.path.rglob("*.partial"))


@pytest.mark.slow
def test_a_trial_that_fails_leaves_its_error_and_the_others_continue(smallest, tmp_path):
    first, second = (RunFolder(tmp_path / name) for name in ("first", "second"))
    runs = [ExperimentRun(smallest, first, "first"), ExperimentRun(smallest, second, "second")]
    listener = Interrupting(ZeroDivisionError("boom"))
    compare_all(runs, listener, continue_on_error=True)
    assert listener.started == 6, "each trial was tried once"
    ((label, failure),) = listener.failures
    assert label == "first" and "ZeroDivisionError: boom" in failure.traceback
    assert first.failures() == [failure] and (failure.activation, failure.seed) == ("prelu", 0)
    assert len(first.results()) == 2 and len(second.results()) == 3
    again = RecordingListener()
    compare_all(runs, again, continue_on_error=True)
    assert again.trials == [("prelu", 0)] and first.failures() == []


@pytest.mark.slow
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
    assert_no_broken_file(folder.path)
    assert not list(folder.path.rglob("*.partial")) and folder.failures() == []
    before = len(folder.results())
    assert 0 < before < 9
    again = RecordingListener()
    compare_all(tasks, again, continue_on_error=True)
    assert len(again.trials) == 9 - before and len(folder.results()) == 9


@pytest.mark.slow
def test_a_training_that_diverges_is_recorded_named_and_not_done_again(smallest, tmp_path):
    wild = smallest.training.model_copy(update={"lr": 1e30})
    settings = smallest.model_copy(update={"training": wild})
    folder, listener = RunFolder(tmp_path / "run"), RecordingListener()
    compare_all([ExperimentRun(settings, folder)], listener, continue_on_error=True)
    results = folder.results()
    assert len(results) == 3 and folder.failures() == []
    assert all(result.diverged and math.isnan(result.test_score) for result in results)
    assert [row.diverged for row in report.write_report(folder).table.rows] == [(0,)] * 3
    assert "Diverged (the loss became infinite or NaN): relu (seed 0); " in (
        folder.path / "report.html"
    ).read_text(encoding="utf-8")
    listener.results.clear()
    compare_all([ExperimentRun(settings, folder)], listener, continue_on_error=True)
    assert listener.trials == []


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


@pytest.mark.parametrize(
    ("logger", "cluster", "problem"),
    [
        ("cvs", None, "did you mean 'csv'"),
        ("csv", RayCluster("local"), "trainings on a Ray cluster cannot be logged"),
    ],
)
def test_a_logger_is_checked_before_anything_else(tmp_path, monkeypatch, logger, cluster, problem):
    monkeypatch.delenv("HINGED_DATA", raising=False)  # Otherwise the data would be found.
    experiment = build_experiment(data="wine_red")
    with pytest.raises(errors.HingedError, match=problem):
        compare(
            experiment,
            RunFolder(tmp_path / "run"),
            ProgressListener(),
            cluster=cluster,
            save=SaveOptions(logger=logger),
        )
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_every_training_of_a_comparison_is_logged(tmp_path, smallest):
    folder = RunFolder(tmp_path / "run")
    compare(smallest, folder, ProgressListener(), jobs=2, save=SaveOptions(logger="csv"))
    for trial in smallest.trials:
        (log,) = (folder.path / "logs" / trial.key).rglob("metrics.csv")
        assert len(log.read_text().splitlines()) > 2
