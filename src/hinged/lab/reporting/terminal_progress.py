"""The progress of trainings in the terminal, with the expected time.

A trial is one training: one activation from one seed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from hinged import errors
from hinged.lab.experiment.schema import Trial
from hinged.lab.reporting.terminal import format_score
from hinged.lab.reporting.time_estimate import TimeEstimate, in_words
from hinged.lab.runs.pending_trial import ExperimentRun
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.trial_result import TrialFailure, TrialResult

_WORTH_SAYING = 20.0
"""Shortest expected time in seconds that is printed as a line."""


class TerminalProgress(ProgressListener):
    """A progress bar over all epochs of a comparison, and a printed line after each training.

    After the first epoch, a line says how long all trainings will take, unless they take less than
    20 seconds. The bar is visible while a `with` block of this object runs.

    Args:
        console: the `rich` console to print to. If it is not a terminal, it shows the lines
            without the bar.
        clock: a function that returns the time in seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console, self._clock = console, clock
        self._shown_notes: set[str] = set()
        self._bar = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
        )
        self._task = self._bar.add_task("setting up", total=None, left="")
        self._begin(0, 0, 0, None)

    def __enter__(self) -> TerminalProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None and not self._trials:  # The bar would stand above the error message.
            self._bar.update(self._task, visible=False)
        self._bar.stop()

    def on_start(self, trials: int, finished: int, epochs: int, jobs: int | None) -> None:
        """Set the length of the bar to the number of epochs to train."""
        self._begin(trials, finished, epochs, jobs)
        if finished:
            self._console.print(f"{finished} of {trials} trials were finished before.")
        self._bar.reset(self._task, total=epochs, description="training", left="")

    def on_note(self, sentence: str) -> None:
        """Print what was found in the data as a line, unless it was printed before."""
        if sentence in self._shown_notes:
            return
        self._shown_notes.add(sentence)
        self._print_line("[dim]Data:[/]", sentence)

    def on_warning(self, sentence: str) -> None:
        """Print the warning as a line, unless it was printed before."""
        if sentence in self.shown_warnings:
            return
        self.shown_warnings |= {sentence}
        self._print_line("[yellow]Warning:[/]", sentence)

    def _print_line(self, label: str, sentence: str) -> None:
        """Print a sentence, which may contain names from files, as one line after a label."""
        text = escape(errors.printable(sentence))
        self._console.print(f"{label} {text}", highlight=False, soft_wrap=True)

    def on_trial_start(self, run: ExperimentRun, trial: Trial) -> None:
        """Show the activation and the seed of the training next to the bar."""
        self._estimate.start_training(_key(run, trial), self._clock())
        words = [run.label, trial.activation, f"seed {trial.seed}"]
        self._bar.update(self._task, description=escape(", ".join(filter(None, words))))

    def on_epoch(self, run: ExperimentRun, trial: Trial, number: int) -> None:
        """Advance the bar after an epoch, and print the expected time after the first epoch."""
        is_first = not self._estimate.is_possible
        self._estimate.end_epoch(_key(run, trial), self._clock())
        if is_first and self._estimate.is_possible:
            self._say_expected_time()
        self._advance(run, trial, number)

    def on_result(self, run: ExperimentRun, result: TrialResult) -> None:
        """Print a line with the score of a finished training, and advance the bar."""
        self._end_trial(
            run,
            result,
            f"{escape(f'{result.activation:<11}')} seed {result.seed:<3} {result.metric} "
            f"{format_score(result.test_score, result.metric)}  [dim]{result.seconds:.1f} s[/]"
            f"{'  [red]diverged[/]' if result.diverged else ''}",
        )

    def on_failure(self, run: ExperimentRun, failure: TrialFailure) -> None:
        """Print a line with the error of a failed training, and advance the bar."""
        self._end_trial(
            run,
            failure,
            f"{escape(f'{failure.activation:<11}')} seed {failure.seed:<3} "
            f"[red]failed:[/] {escape(failure.last_line)}",
        )

    def _begin(self, trials: int, finished: int, epochs: int, jobs: int | None) -> None:
        self._trials, self._finished = trials, finished
        self._to_train, self._total = trials - finished, epochs
        self._at_once = None if jobs is None else min(jobs, self._to_train)
        self._estimate = TimeEstimate(epochs, self._at_once)
        self._epochs: dict[tuple[str, str], int] = {}

    def _say_expected_time(self) -> None:
        seconds = self._estimate.seconds_left(0)
        if seconds < _WORTH_SAYING:
            return
        at_once = f", {self._at_once} at a time" if self._at_once != 1 else ""
        trainings = "training" if self._to_train == 1 else "trainings"
        self._console.print(
            f"{self._to_train} {trainings}{at_once}, {self._total} epochs in all: about "
            f"{in_words(seconds)}, judging by the first epoch.",
            highlight=False,
            soft_wrap=True,
        )

    def _advance(self, run: ExperimentRun, trial: Trial, number: int) -> None:
        """Set the number of finished epochs of a training, and show the remaining time."""
        self._epochs[_key(run, trial)] = number
        completed, left = sum(self._epochs.values()), ""
        if self._estimate.is_possible and completed < self._total:
            left = f"about {in_words(self._estimate.seconds_left(completed))} left"
        self._bar.update(self._task, completed=completed, left=left)

    def _end_trial(self, run: ExperimentRun, end: TrialResult | TrialFailure, line: str) -> None:
        self._finished += 1
        trial = Trial(activation=end.activation, seed=end.seed)
        self._advance(run, trial, run.experiment.training.epochs)
        label = f"{escape(run.label)}  " if run.label else ""
        self._console.print(
            f"[dim]{self._finished:>3}/{self._trials}[/]  {label}{line}", highlight=False
        )


def _key(run: ExperimentRun, trial: Trial) -> tuple[str, str]:
    return str(run.folder.path), trial.key
