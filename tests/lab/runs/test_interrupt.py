"""Ctrl+C at random moments of commands with several processes, as a terminal sends it."""

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
from tests.lab.helpers import COMPARE_SMALL, scores_of
from tests.lab.study.helpers import TINY, scores_of_study

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("interruptible"),
    pytest.mark.skipif(sys.platform != "linux", reason="finds the processes in /proc"),
]

MEASURED = "HINGED_TEST_INTERRUPTS"
"""Name of the variable with the number of moments, for a measurement on an idle machine."""
INTERRUPTS = int(os.environ.get(MEASURED, "2"))
LIMIT = 3.0 if MEASURED in os.environ else 60.0
"""Seconds after which no process may be left. Next to other tests, processes take longer to end."""


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

    def interrupt(self):
        """Press Ctrl+C: the terminal sends the signal to all processes of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

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


def interrupt_repeatedly(folder, log, arguments, moments):
    """Run a command, and interrupt it at each moment: seconds after its start or its training."""
    for after_start, seconds in moments:
        started = time.time()

        def trains(started=started):
            locks = list(folder.rglob(".locks/*-seed*"))  # Written when a training starts.
            return any(path.stat().st_mtime > started for path in locks)

        command = Command(log, *arguments)
        if not after_start:
            command.wait_for(trains, 60)
        command.wait_for(lambda: False, seconds)
        if command.process.poll() is not None:
            assert command.process.returncode == 0, log.read_text()
            continue
        pressed = time.monotonic()
        command.interrupt()
        try:
            code = command.process.wait(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(command.process.pid, signal.SIGKILL)
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


def moments(seed):
    """Half of the moments are in the start of the command, half in the training."""
    draw = random.Random(seed)
    return [
        (each % 2 == 0, draw.uniform(0, 8) if each % 2 == 0 else draw.uniform(0, 3))
        for each in range(INTERRUPTS)
    ]


LONGER = (*COMPARE_SMALL, "--epochs", 12)
"""The small comparison with more epochs, so that many moments are in its trainings."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The scores of the comparison without an interrupt."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    last = Command(folder / "log", *LONGER, "--jobs", 2, "--out", folder / "run")
    assert last.process.wait() == 0, (folder / "log").read_text()
    return scores_of(RunFolder(folder / "run"))


@pytest.mark.parametrize("where", [("--jobs", 2), ("--jobs", 2, "--ray", "local")])
def test_compare_ends_at_once_and_continues_to_the_same_result(tmp_path, uninterrupted, where):
    if "--ray" in where:
        pytest.importorskip("ray", reason="needs the extra `ray`")
    folder, log = tmp_path / "run", tmp_path / "log"
    command = (*LONGER, *where, "--out", folder)
    interrupt_repeatedly(folder, log, command, moments(seed=len(where)))
    assert Command(log, *command).process.wait() == 0, log.read_text()
    assert scores_of(RunFolder(folder)) == uninterrupted
    assert not list(folder.rglob("*.partial"))


def test_a_study_ends_at_once_and_continues_to_the_same_result(tmp_path):
    (tmp_path / "mine.toml").write_text(TINY.replace("epochs = 1", "epochs = 12"))
    command = ("study", "run", tmp_path / "mine.toml", "--scale", "smoke", "--jobs", 2, "--json")
    folder, log = tmp_path / "study", tmp_path / "log"
    interrupt_repeatedly(folder, log, (*command, "--out", folder), moments(seed=0))
    for out in (folder, tmp_path / "uninterrupted"):
        last = Command(log, *command, "--out", out)
        assert last.process.wait() == 0, log.read_text()
    assert scores_of_study(StudyFolder(folder)) == scores_of_study(StudyFolder(out))
    assert not list(folder.rglob("*.partial"))
