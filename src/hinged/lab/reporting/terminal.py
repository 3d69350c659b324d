"""The progress of trainings and the table of a comparison, as text in the terminal.

A trial is one training: one activation from one seed.
"""

from __future__ import annotations

import math
from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hinged.lab.experiment.schema import Trial
from hinged.lab.reporting.comparison_table import ComparisonRow, ComparisonTable
from hinged.lab.reporting.fitted_table import FittedTable
from hinged.lab.reporting.significance import Interval
from hinged.lab.runs.pending_trial import ExperimentRun
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.trial_result import TrialFailure, TrialResult


class TerminalProgress(ProgressListener):
    """A progress bar over all epochs of a comparison, and a printed line after each training.

    The bar is visible while a `with` block of this object runs.

    Args:
        console: the `rich` console to print to. If it is not a terminal, it shows the lines
            without the bar.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description:<24}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("epochs"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("setting up", total=None)
        self._epochs = self._finished = self._trials = 0

    def __enter__(self) -> TerminalProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def on_start(self, trials: int, finished: int, epochs: int) -> None:
        """Set the length of the bar to the number of epochs to train."""
        self._trials, self._finished, self._epochs = trials, finished, 0
        if finished:
            self._console.print(f"{finished} of {trials} trials were finished before.")
        self._bar.reset(self._task, total=epochs, description="training")

    def on_trial_start(self, run: ExperimentRun, trial: Trial) -> None:
        """Show the activation and the seed of the current training next to the bar."""
        words = [run.label, trial.activation, f"seed {trial.seed}"]
        self._bar.update(self._task, description=escape(", ".join(filter(None, words))))

    def on_epoch(self, number: int) -> None:
        """Advance the bar after an epoch of the current training."""
        self._bar.update(self._task, completed=self._epochs + number)

    def on_result(self, run: ExperimentRun, result: TrialResult) -> None:
        """Print a line with the score of a finished training, and advance the bar."""
        self._end_trial(
            run,
            f"{result.activation:<11} seed {result.seed:<3} {result.metric} "
            f"{format_score(result.test_score, result.metric)}  [dim]{result.seconds:.1f} s[/]"
            f"{'  [red]diverged[/]' if result.diverged else ''}",
        )

    def on_failure(self, run: ExperimentRun, failure: TrialFailure) -> None:
        """Print a line with the error of a failed training, and advance the bar."""
        self._end_trial(
            run,
            f"{failure.activation:<11} seed {failure.seed:<3} "
            f"[red]failed:[/] {escape(failure.last_line)}",
        )

    def _end_trial(self, run: ExperimentRun, line: str) -> None:
        self._finished += 1
        self._epochs += run.experiment.training.epochs
        self._bar.update(self._task, completed=self._epochs)
        label = f"{escape(run.label)}  " if run.label else ""
        self._console.print(
            f"[dim]{self._finished:>3}/{self._trials}[/]  {label}{line}", highlight=False
        )


HEADINGS = (
    "activation",
    "{metric}",
    "minus {baseline}'s",
    "p (corrected)",
    "parameters (activ.)",
    "time per step",
    "kept for backward",
)


def headings(table: ComparisonTable) -> tuple[str, ...]:
    """Return the headings of the columns. Some name the metric and the baseline."""
    metric = "accuracy, %" if table.metric == "accuracy" else table.metric
    return tuple(heading.format(metric=metric, baseline=table.baseline) for heading in HEADINGS)


def row_texts(row: ComparisonRow, metric: str) -> tuple[str, ...]:
    """Return the texts of one row of the table, one text for each heading in `HEADINGS`."""
    difference = p = ""
    if row.versus is not None:
        difference = _format_interval(row.versus.difference, metric, "+")
        p = f"{format_p_value(row.versus.p)} ({format_p_value(row.p_corrected)})"
    ratio = "" if math.isnan(row.step_ratio) else f" (x{row.step_ratio:.2f})"
    return (
        row.activation,
        _format_interval(row.score, metric),
        difference,
        p,
        f"{row.parameters:,} ({row.activation_parameters:,})",
        f"{row.step_ms:.2f} ms{ratio}",
        f"{row.kept_mib:.2f} MiB",
    )


_LEFT_OUT = tuple(
    HEADINGS.index(heading)
    for heading in (
        "kept for backward",
        "parameters (activ.)",
        "time per step",
        "p (corrected)",
    )
)


def terminal_table(table: ComparisonTable) -> FittedTable:
    """Return the table of a comparison for the terminal.

    In a narrow terminal these columns are left out, in this order: memory, parameters, time and
    p-values.
    """
    return FittedTable(
        headings(table),
        [row_texts(row, table.metric) for row in table.rows],
        title=f"{table.finished} of {table.planned} trials; ± is half the 95 % interval",
        left_out=_LEFT_OUT,
        found_in="The page",
        bold=("hinged",),
    )


def format_score(value: float, metric: str, sign: str = "") -> str:
    """Return a score as text.

    Args:
        value: the score or a difference of scores.
        metric: name of the metric. An `accuracy` is shown in percent with 2 decimals, and any
            other metric with 4 decimals.
        sign: `+` to write a plus sign before positive values; empty for no plus sign.

    Returns:
        The text; a dash if the value is NaN.
    """
    if math.isnan(value):
        return "-"
    return f"{100 * value:{sign}.2f}" if metric == "accuracy" else f"{value:{sign}.4f}"


def format_p_value(p: float | None) -> str:
    """Return a p-value as text with 3 decimals, or a dash for None and NaN.

    >>> format_p_value(0.0312), format_p_value(0.0002), format_p_value(None)
    ('0.031', '< 0.001', '-')
    """
    if p is None or math.isnan(p):
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _format_interval(interval: Interval, metric: str, sign: str = "") -> str:
    """Return an interval as the text `mean ± half`, where `half` is half of its width."""
    mean = format_score(interval.mean, metric, sign)
    half = interval.high - interval.mean
    return mean if math.isnan(half) else f"{mean} ± {format_score(half, metric)}"
