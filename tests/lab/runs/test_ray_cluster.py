import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hinged import errors
from hinged.lab.runs.compare import compare
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.ray_cluster import RayCluster
from hinged.lab.runs.run_folder import RunFolder
from tests.lab.helpers import COMPARE_SMALL, RecordingListener, assert_no_broken_file

ray = pytest.importorskip("ray", reason="needs the extra `ray`")

TIMES = {"step_ms", "seconds", "finished", "environment"}
_STORE = 80 * 2**20


@pytest.fixture(scope="module")
def two():
    """A cluster of two workers, to which this process is connected."""
    ray.init(num_cpus=2, object_store_memory=_STORE, include_dashboard=False, log_to_driver=False)
    yield RayCluster("auto")
    ray.shutdown()


def records(folder):
    found = {(r.activation, r.seed): r.model_dump(exclude=TIMES) for r in folder.results()}
    for path in folder.path.glob("curves/*"):
        found[path.name] = path.read_bytes()
    return found


def children(process):
    """The processes below one, as Linux lists them."""
    lists = Path(f"/proc/{process}/task").glob("*/children")
    below = [int(child) for each in lists for child in each.read_text().split()]
    return below + [further for child in below for further in children(child)]


def at_work():
    """The workers of our cluster that are at a trial."""
    named = {p: Path(f"/proc/{p}/cmdline").read_bytes() for p in children(os.getpid())}
    return [
        process for process, name in named.items() if name.startswith(b"ray::_call_with_threads")
    ]


class Killing(RecordingListener):
    """Kills a worker in the middle of its trial."""

    killed = 0

    def on_result(self, task, result):
        super().on_result(task, result)
        workers = at_work()
        if workers and not self.killed:
            self.killed = workers[0]
            os.kill(self.killed, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="finds the workers in /proc")
def test_a_killed_worker_loses_no_trial(two, small, finished, tmp_path):
    folder, listener = RunFolder(tmp_path / "run"), Killing()
    compare(small, folder, listener, cluster=two)
    assert listener.killed, "the kill must hit"
    assert sorted(listener.trials) == sorted((t.activation, t.seed) for t in small.trials)
    assert_no_broken_file(folder.path)
    assert records(folder) == records(finished)


class Stopping(RecordingListener):
    """Presses the interrupt key after so many trials."""

    def __init__(self, after):
        super().__init__()
        self.after = after

    def on_result(self, task, result):
        super().on_result(task, result)
        if len(self.trials) == self.after:
            raise KeyboardInterrupt


@pytest.mark.slow
def test_the_interrupt_key_leaves_a_clean_folder_and_the_rest_is_done_later(
    two, small, finished, tmp_path
):
    folder, later = RunFolder(tmp_path / "run"), RecordingListener()
    with pytest.raises(KeyboardInterrupt):
        compare(small, folder, Stopping(2), cluster=two)
    assert_no_broken_file(folder.path)
    assert len(folder.results()) == 2 and not list(folder.path.rglob("*.partial"))
    compare(small, folder, later, cluster=two)
    assert len(later.trials) == 7 and records(folder) == records(finished)


@pytest.mark.slow
def test_what_another_process_has_claimed_is_left_to_it(two, small, tmp_path):
    folder, listener = RunFolder(tmp_path / "run"), RecordingListener()
    few = small.model_copy(update={"activations": ("relu", "hinged"), "seeds": (0, 1)})
    folder.open(few)
    other = few.trials[1]
    with folder.claim(other, wait=True):
        first = Stopping(3)
        with pytest.raises(KeyboardInterrupt):  # It would wait for the fourth.
            compare(few, folder, first, cluster=two)
    assert (other.activation, other.seed) not in first.trials and not folder.is_finished(other)
    compare(few, folder, listener, cluster=two)
    assert listener.trials == [(other.activation, other.seed)]


@pytest.mark.slow
def test_the_command_starts_a_cluster_and_ends_it(finished, tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "hinged", *COMPARE_SMALL, "--seeds", "2"]
    command += ["--ray", "local", "--jobs", "1", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = records(RunFolder(out))
    assert len(found) == 6 + 2
    assert found.items() <= records(finished).items()


def test_without_ray_it_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(errors.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(errors.MissingExtraError, match=r"needs ray.*pip install 'hinged\[ray\]'"):
        RayCluster("local").__enter__()


def test_an_address_without_a_cluster_is_refused(monkeypatch, small, tmp_path):
    def nowhere(*_, **__):
        raise ConnectionError("Could not find any running Ray instance.\nMore.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", nowhere)
    with pytest.raises(errors.ArgumentError) as caught:
        compare(small, RunFolder(tmp_path / "run"), ProgressListener(), cluster=RayCluster("auto"))
    assert str(caught.value) == (
        "`RayCluster(address=...)`: got auto, to which Ray cannot connect (Could not find any "
        "running Ray instance); give the address of a running cluster, or 'local' to start a "
        "cluster on this machine."
    )


def end_without_a_result():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_worker_that_is_killed_again_and_again_is_an_error_that_says_what_to_do(two, monkeypatch):
    monkeypatch.setattr("hinged.lab.runs.ray_cluster._RETRIES", 0)
    ((key, get_result),) = two.map(end_without_a_result, [("only", ())])
    with pytest.raises(errors.WorkerError, match=r"was killed 1 times.*Run the same command again"):
        get_result()
    assert key == "only"
