import contextlib
import io
from pathlib import Path

import pytest
from rich.console import Console

from hinged.lab.experiment.schema import Trial
from hinged.lab.reporting.terminal_progress import TerminalProgress
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import compare
from hinged.lab.runs.pending_trial import ExperimentRun
from hinged.lab.runs.run_folder import RunFolder
from tests.lab.helpers import RecordingListener, make_failure, make_result

RUN = ExperimentRun(build_experiment(training={"epochs": 12}), RunFolder(Path("run")))


class Screen:
    """A progress display that prints to a text, with a clock that the test sets."""

    def __init__(self, terminal=False):
        self.text, self.now = io.StringIO(), 0.0
        console = Console(file=self.text, width=100, force_terminal=terminal)
        self.progress = TerminalProgress(console, clock=lambda: self.now)

    def start(self, trial):
        self.progress.on_trial_start(RUN, trial)

    def end_epoch(self, trial, number, now):
        self.now = now
        self.progress.on_epoch(RUN, trial, number)

    @property
    def left(self):
        return self.progress._bar.tasks[0].fields["left"]

    @property
    def lines(self):
        return self.text.getvalue().splitlines()


def trials(count):
    return [Trial(activation="relu", seed=seed) for seed in range(count)]


def test_the_expected_time_is_said_once_after_the_first_epoch():
    screen, (first, second) = Screen(), trials(2)
    screen.progress.on_start(60, 10, 600, 1)
    assert screen.lines == ["10 of 60 trials were finished before."]
    screen.start(first)
    screen.end_epoch(first, 1, 0.2)
    assert screen.lines[1:] == [
        "50 trainings, 600 epochs in all: about 2 min, judging by the first epoch."
    ]
    assert screen.left == "about 2 min left"
    screen.end_epoch(first, 2, 0.4)
    screen.progress.on_result(RUN, make_result())
    screen.start(second)
    screen.end_epoch(second, 1, 0.6)
    assert len(screen.lines) == 3 and " 11/60  relu" in screen.lines[2]


def test_trainings_at_the_same_time_are_counted():
    screen, several = Screen(), trials(3)
    screen.progress.on_start(3, 0, 36, 8)  # More processes than trainings.
    for trial in several:
        screen.start(trial)
    screen.end_epoch(several[1], 1, 10.0)
    assert screen.lines == [
        "3 trainings, 3 at a time, 36 epochs in all: about 2 min, judging by the first epoch."
    ]
    screen.end_epoch(several[0], 1, 10.0)
    screen.end_epoch(several[2], 1, 10.0)
    assert screen.progress._bar.tasks[0].completed == 3
    assert screen.left == "about 110 s left"  # 33 epochs of 10 s, 3 at a time: 110 s.


def test_short_comparisons_and_unknown_clusters_say_nothing():
    screen, (first,) = Screen(), trials(1)
    screen.progress.on_start(1, 0, 12, 1)
    screen.start(first)
    screen.end_epoch(first, 1, 1.5)  # 18 s in all.
    assert screen.lines == [] and screen.left == "about 16 s left"
    screen = Screen()
    screen.progress.on_start(50, 0, 600, None)
    screen.progress.on_result(RUN, make_result())
    screen.progress.on_failure(RUN, make_failure(seed=1))
    assert len(screen.lines) == 2 and screen.left == ""
    assert screen.progress._bar.tasks[0].completed == 24


def test_nothing_is_left_after_the_last_epoch():
    screen, (first,) = Screen(), trials(1)
    screen.progress.on_start(1, 0, 12, 1)
    screen.start(first)
    for number in range(1, 13):
        screen.end_epoch(first, number, float(number))
    assert screen.left == ""
    screen.progress.on_result(RUN, make_result())
    assert screen.progress._bar.tasks[0].completed == 12


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_every_epoch_of_every_process_is_reported(small, tmp_path, jobs):
    listener = RecordingListener()
    compare(small, RunFolder(tmp_path / "run"), listener, jobs=jobs)
    expected = [(t.activation, t.seed) for t in small.trials]
    assert sorted(listener.started) == sorted(expected) and listener.jobs == jobs
    epochs = [(*trial, number) for trial in expected for number in (1, 2)]
    assert sorted(listener.epochs) == sorted(epochs)


@pytest.mark.parametrize("error", [RuntimeError("no data"), None])
def test_no_bar_is_left_above_an_early_error(error):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with contextlib.suppress(RuntimeError), TerminalProgress(console):
        if error is not None:
            raise error
    last = screen.getvalue().rpartition("\r")[2]
    assert ("setting up" in last) == (error is None)


def test_a_note_and_a_warning_are_lines_of_their_own():
    screen = Screen()
    screen.progress.on_start(2, 0, 4, 1)
    for _ in range(2):  # A tuning and the comparison after it say the same.
        screen.progress.on_note("age [in years]: 3 missing.")
        screen.progress.on_warning("Curves [of all] cannot move.")
    assert screen.lines == [
        "Data: age [in years]: 3 missing.",
        "Warning: Curves [of all] cannot move.",
    ]


def test_invisible_characters_of_names_are_shown_as_escapes():
    screen = Screen()
    screen.progress.on_start(2, 0, 4, 1)
    screen.progress.on_note("a\nb: 3 missing.")
    screen.progress.on_warning("c\x1b[2J: left out.")
    assert screen.lines == ["Data: a\\nb: 3 missing.", "Warning: c\\x1b[2J: left out."]


@pytest.mark.parametrize("name", ["a[b].py:f", "a[/b].py:f", "[red]x"])
def test_brackets_in_names_are_no_markup(name):
    screen = Screen()
    screen.progress.on_start(2, 0, 24, 1)
    screen.progress.on_result(RUN, make_result(activation=name))
    screen.progress.on_failure(RUN, make_failure(activation=name))
    assert all(name in line for line in screen.lines) and len(screen.lines) == 2
