"""What the terminal shows: progress while it runs, and the table at the end."""

from __future__ import annotations

import math
from types import TracebackType

from rich import box
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
from rich.table import Table

from hinged.lab.experiment.schema import Trial
from hinged.lab.reporting.comparison_table import Row, Summary
from hinged.lab.reporting.significance import Interval
from hinged.lab.runs.compare import ProgressListener
from hinged.lab.runs.pending_trial import ExperimentRun
from hinged.lab.runs.trial_result import TrialFailure, TrialResult


class TerminalProgress(ProgressListener):
    """A progress bar over all epochs of all trials, with a line for each finished one.

    Args:
        console: where to draw; bars need a terminal, lines are printed anywhere.
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
        self._epochs = self._done = self._total = 0

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
        """Set the length of the bar."""
        self._total, self._done, self._epochs = trials, finished, 0
        if finished:
            self._console.print(f"{finished} of {trials} trials were finished before.")
        self._bar.reset(self._task, total=epochs, description="training")

    def on_trial_start(self, task: ExperimentRun, trial: Trial) -> None:
        """Name the present trial."""
        words = [task.label, trial.activation, f"seed {trial.seed}"]
        self._bar.update(self._task, description=escape(", ".join(filter(None, words))))

    def on_epoch(self, number: int) -> None:
        """Move on within the present trial."""
        self._bar.update(self._task, completed=self._epochs + number)

    def on_result(self, task: ExperimentRun, result: TrialResult) -> None:
        """Print a line, and move on to the next trial."""
        self._next(
            task,
            f"{result.activation:<12}seed {result.seed:<3} {result.metric} "
            f"{score(result.test_score, result.metric)}  [dim]{result.seconds:.1f} s[/]"
            f"{'  [red]diverged[/]' if result.diverged else ''}",
        )

    def on_failure(self, task: ExperimentRun, failure: TrialFailure) -> None:
        """Print the last line of the error, and move on to the next trial."""
        said = failure.traceback.strip().splitlines()[-1]
        self._next(
            task,
            f"{failure.activation:<12}seed {failure.seed:<3} [red]failed:[/] {escape(said)}",
        )

    def _next(self, task: ExperimentRun, line: str) -> None:
        self._done += 1
        self._epochs += task.experiment.training.epochs
        self._bar.update(self._task, completed=self._epochs)
        label = f"{escape(task.label)}  " if task.label else ""
        self._console.print(
            f"[dim]{self._done:>3}/{self._total}[/]  {label}{line}", highlight=False
        )


HEADINGS = (
    "activation",
    "{metric}",
    "minus {baseline}'s",
    "p (corrected)",
    "parameters (activ.)",
    "time a step",
    "kept for backward",
)


def cells(row: Row, metric: str) -> tuple[str, ...]:
    """Return the texts of one row, in the order of `HEADINGS`."""
    difference, p = _versus(row, metric)
    ratio = "" if math.isnan(row.step_ratio) else f" (x{row.step_ratio:.2f})"
    return (
        row.activation,
        _estimate(row.score, metric),
        difference,
        p,
        f"{row.parameters:,} ({row.activation_parameters:,})",
        f"{row.step_ms:.2f} ms{ratio}",
        f"{row.kept_mib:.2f} MiB",
    )


def headings(summary: Summary) -> tuple[str, ...]:
    """Return the headings of the table."""
    metric = "accuracy, %" if summary.metric == "accuracy" else summary.metric
    return tuple(heading.format(metric=metric, baseline=summary.baseline) for heading in HEADINGS)


def table(summary: Summary) -> Table:
    """Return the summary as a table of rich."""
    drawn = Table(
        title=f"{summary.finished} of {summary.planned} trials; ± is half the 95 % interval",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )
    for heading in headings(summary):
        broken = heading.replace(" (", "\n(").replace("for ", "for\n")
        drawn.add_column(broken, justify="left" if heading == "activation" else "right")
    for row in summary.rows:
        drawn.add_row(
            *cells(row, summary.metric), style="bold" if row.activation == "hinged" else ""
        )
    return drawn


def score(value: float, metric: str) -> str:
    """Return an accuracy in percent, another metric as it is."""
    return _number(value, metric, "")


def _estimate(interval: Interval, metric: str, sign: str = "") -> str:
    """Return the mean and half of its interval, which is symmetric."""
    mean = _number(interval.mean, metric, sign)
    half = interval.high - interval.mean
    return mean if math.isnan(half) else f"{mean} ± {_number(half, metric, '')}"


def _number(value: float, metric: str, sign: str) -> str:
    if math.isnan(value):
        return "-"
    return f"{100 * value:{sign}.2f}" if metric == "accuracy" else f"{value:{sign}.4f}"


def _versus(row: Row, metric: str) -> tuple[str, str]:
    if row.versus is None:
        return "", ""
    p = p_value(row.versus.p), p_value(row.p_corrected)
    return _estimate(row.versus.difference, metric, "+"), f"{p[0]} ({p[1]})"


def p_value(p: float | None) -> str:
    """Return a p-value as tables show it; a dash where there is none.

    >>> p_value(0.0312), p_value(0.0002), p_value(None)
    ('0.031', '< 0.001', '-')
    """
    if p is None or math.isnan(p):
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
