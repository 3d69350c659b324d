"""Commands with several processes that are stopped at random moments: by Ctrl+C, as a terminal
sends it, and by SIGKILL. They continue to the results of a command that was left alone."""

import functools
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.study.study_folder import StudyFolder
from tests.lab.helpers import COMPARE_SMALL, assert_no_broken_file, scores_of
from tests.lab.study.helpers import TINY, scores_of_study

STOPS = int(os.environ.get("HINGED_TEST_STOPS", "0"))
"""Number of moments at which each command is stopped. 0 stops a few commands once."""
LIMIT = 3.0 if STOPS else 60.0
"""Seconds after which no process may be left. Next to other tests, processes take longer to end."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(60 * STOPS or 300),
    pytest.mark.usefixtures("interruptible"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc"),
]


class Command:
    """A command that runs in a session of its own, and all processes that it starts."""

    def __init__(self, log, *arguments):
        self.mark = f"HINGED_TEST_MARK={uuid.uuid4().hex}"
        name, value = self.mark.split("=")
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "hinged", *map(str, arguments)],
                stdout=file,
                stderr=subprocess.STDOUT,
                env=os.environ | {name: value},
                start_new_session=True,
            )

    def wait_for(self, condition, seconds):
        """Wait until a condition holds, the command has ended, or the time is over."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None and not condition():
            time.sleep(0.01)

    def send(self, number):
        """Send a signal to all processes of the group, as a terminal does for Ctrl+C."""
        os.killpg(self.process.pid, number)

    def running(self):
        """The command lines of all running processes that the command has started."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            try:
                if self.mark.encode() in (path / "environ").read_bytes().split(b"\0"):
                    found[path.name] = (path / "cmdline").read_bytes()
            except OSError:  # It has ended, or is a zombie.
                continue
        return found


def run_until(folder, log, arguments, after_start, seconds):
    """Run a command until so many seconds after its start, or after its first training began."""
    started = time.time()

    def trains():
        locks = list(folder.rglob(".locks/*-seed*"))  # Written when a training starts.
        return any(path.stat().st_mtime > started for path in locks)

    command = Command(log, *arguments)
    if not after_start:
        command.wait_for(trains, 60)
    command.wait_for(lambda: False, seconds)
    return command


def interrupt_repeatedly(folder, log, arguments, moments):
    """Run a command again and again, and press Ctrl+C at the moment of each run."""
    for after_start, seconds in moments:
        command = run_until(folder, log, arguments, after_start, seconds)
        if command.process.poll() is not None:
            assert command.process.returncode == 0, log.read_text()
            continue
        pressed = time.monotonic()
        command.send(signal.SIGINT)
        try:
            code = command.process.wait(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            command.send(signal.SIGKILL)
            command.process.wait()
            raise
        while command.running() and time.monotonic() < pressed + LIMIT:
            time.sleep(0.02)
        assert not command.running(), f"{log.read_text()}\nleft: {command.running()}"
        print(f"{folder.name}: {after_start} {seconds:.2f} s: {time.monotonic() - pressed:.2f} s")
        printed = log.read_text()
        if code == 0:  # It had finished, and was about to end.
            continue
        assert code == 130 and "Traceback" not in printed, printed
        if not after_start:
            assert "hinged: stopping ..." in printed
            assert "Run the same command again to continue." in printed


def kill_repeatedly(folder, log, arguments, moments):
    """Run a command again and again, and kill all its processes at the moment of each run."""
    kept, hits = {}, 0
    for after_start, seconds in moments:
        command = run_until(folder, log, arguments, after_start, seconds)
        if command.process.poll() is None:
            command.send(signal.SIGKILL)
            command.process.wait()
            hits += 1
        for process in command.running():  # Those of Ray are in groups of their own.
            os.kill(int(process), signal.SIGKILL)
        for path in folder.rglob("trials"):
            assert_no_broken_file(path.parent)
        present = {path: path.read_bytes() for path in folder.rglob("trials/*.json")}
        assert kept.items() <= present.items(), "a finished trial was lost or trained again"
        kept = present
        print(f"{folder.name}: {after_start} {seconds:.2f} s: {len(kept)} trials are finished")
    assert hits > len(moments) / 2, "the command had ended before most kills"


STOPPED_BY = {"Ctrl+C": interrupt_repeatedly, "kill": kill_repeatedly}
"""The two ways to stop a command."""


def moments(count):
    """Half of the moments are in the training, half in the start of the command."""
    draw = random.Random(count)
    return [
        (each % 2 == 1, draw.uniform(0, 8) if each % 2 == 1 else draw.uniform(0, 3))
        for each in range(count)
    ]


EPOCHS = max(12, 8 * STOPS)
"""More epochs than in other tests, so that many moments are in the trainings."""
COMMANDS = {
    "compare": (*COMPARE_SMALL, "--epochs", EPOCHS, "--jobs", 2),
    "compare with Ray": (*COMPARE_SMALL, "--epochs", EPOCHS, "--jobs", 2, "--ray", "local"),
    "train": ("train", "--json", "--width", 2, "--depth", 1, "--epochs", 3 * EPOCHS),
    "study": ("study", "run", "{study}", "--scale", "smoke", "--jobs", 2, "--json"),
}


@pytest.fixture(scope="module")
def study_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("studies") / "mine.toml"
    path.write_text(TINY.replace("epochs = 1", f"epochs = {EPOCHS}"))
    return path


def finish(folder, log, arguments):
    """Run a command to its end, and return all scores and losses."""
    assert Command(log, *arguments, "--out", folder).process.wait() == 0, log.read_text()
    is_study = (folder / "study.json").exists()
    return scores_of_study(StudyFolder(folder)) if is_study else scores_of(RunFolder(folder))


@pytest.fixture(scope="module")
def left_alone(tmp_path_factory):
    """Returns the scores of a command that nothing stops. Each command runs once."""

    @functools.cache
    def scores(*arguments):
        folder = tmp_path_factory.mktemp("left-alone")
        return finish(folder / "run", folder / "log", arguments)

    return scores


CASES = [(name, way) for name in COMMANDS for way in STOPPED_BY]
if not STOPS:  # Other tests kill comparisons, trainings and studies after each of their steps.
    CASES = [case for case in CASES if "Ray" in case[0] or case[1] == "Ctrl+C"]
    CASES.remove(("train", "Ctrl+C"))


@pytest.mark.parametrize(("name", "way"), CASES)
def test_a_stopped_command_continues_to_the_same_result(
    tmp_path, study_file, left_alone, name, way
):
    if "Ray" in name:
        pytest.importorskip("ray", reason="needs the extra `ray`")
    command = tuple(study_file if each == "{study}" else each for each in COMMANDS[name])
    folder, log = tmp_path / "run", tmp_path / "log"
    STOPPED_BY[way](folder, log, (*command, "--out", folder), moments(STOPS or 1))
    found = finish(folder, log, command)
    assert found == left_alone(*COMMANDS["compare"] if "Ray" in name else command)
    assert not list(folder.rglob("*.partial"))
