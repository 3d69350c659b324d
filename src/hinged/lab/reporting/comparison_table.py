"""From trials to the table that terminal, page and JSON show."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from hinged.lab.experiment.schema import Experiment
from hinged.lab.reporting.significance import Interval, Paired, holm, mean_interval, paired
from hinged.lab.runs.trial_result import TrialResult


@dataclass(frozen=True)
class Row:
    """One activation.

    Attributes:
        activation: its name.
        seeds: how many seeds were finished.
        diverged: the seeds whose training diverged.
        score: mean test score with its 95 % interval, over seeds that have one.
        versus: differences to the baseline over the seeds that both finished; None for the
            baseline itself and where fewer than two are shared.
        p_corrected: the p-value after Holm's correction for the number of rows.
        parameters, activation_parameters: numbers trained, in all and in the activations.
        step_ratio: time of a training step over the baseline's, median over seeds.
        step_ms: milliseconds a training step, median over seeds.
        kept_mib: MiB kept for the backward pass of one batch.
    """

    activation: str
    seeds: int
    score: Interval
    versus: Paired | None
    p_corrected: float
    parameters: int
    activation_parameters: int
    step_ratio: float
    step_ms: float
    kept_mib: float
    diverged: tuple[int, ...] = ()


@dataclass(frozen=True)
class Summary:
    """The figures of a comparison.

    Attributes:
        metric: what the scores measure; larger is better.
        baseline: the activation that the others are compared with.
        rows: one for each activation with a finished trial.
        finished, planned: number of trials.
    """

    metric: str
    baseline: str
    rows: list[Row]
    finished: int
    planned: int

    def as_json(self) -> dict[str, Any]:
        """Return plain data; what is undefined (NaN) is None."""
        plain: dict[str, Any] = _without_nan(asdict(self))
        for row, source in zip(plain["rows"], self.rows, strict=True):
            row["score"] = _without_nan(source.score._asdict())
            if source.versus is not None:
                difference = _without_nan(source.versus.difference._asdict())
                row["versus"] = {"difference": difference, "p": _without_nan(source.versus.p)}
        return plain


def summarise(experiment: Experiment, results: list[TrialResult]) -> Summary:
    """Return the table of the finished trials."""
    by_activation: dict[str, dict[int, TrialResult]] = {}
    for result in results:
        by_activation.setdefault(result.activation, {})[result.seed] = result
    baseline = by_activation.get(experiment.baseline, {})
    names = [name for name in experiment.activations if name in by_activation]
    versus = {name: _versus(by_activation[name], baseline) for name in names}
    versus[experiment.baseline] = None
    corrected = holm([math.nan if (v := versus[name]) is None else v.p for name in names])
    rows = [
        _row(name, by_activation[name], baseline, versus[name], p)
        for name, p in zip(names, corrected, strict=True)
    ]
    metric = results[0].metric if results else "score"
    return Summary(metric, experiment.baseline, rows, len(results), len(experiment.trials))


def verdict(summary: Summary, activation: str = "hinged") -> str:
    """Return in one sentence how an activation did against the baseline."""
    rows = {row.activation: row for row in summary.rows}
    row = rows.get(activation)
    if row is None or row.versus is None:
        return f"{activation} has not been compared with {summary.baseline}."
    (mean, low, high), p, pairs = row.versus
    comparisons = sum(not math.isnan(other.p_corrected) for other in summary.rows)
    if math.isnan(p):
        return (
            f"{activation} differs from {summary.baseline} without any spread: no test is possible."
        )
    unit, scale = (" points", 100) if summary.metric == "accuracy" else ("", 1)
    size = (
        f"{abs(mean) * scale:.2f}{unit} {'above' if mean >= 0 else 'below'} {summary.baseline} "
        f"(95 % interval {low * scale:+.2f} to {high * scale:+.2f}, p = {p:.2g}, "
        f"{row.p_corrected:.2g} after correction for {comparisons} comparisons, {pairs} seeds)"
    )
    if row.p_corrected < 0.05:
        return f"{activation} is {size}: a difference at the 5 % level."
    return f"{activation} is {size}: no difference that these seeds can show at the 5 % level."


def diverged(summary: Summary) -> str:
    """Return in one sentence which trainings diverged; empty where none did."""
    named = [
        f"{row.activation} ({', '.join(f'seed {seed}' for seed in row.diverged)})"
        for row in summary.rows
        if row.diverged
    ]
    if not named:
        return ""
    return (
        f"Diverged, their loss is no number: {'; '.join(named)}. Where that left no score, means "
        "and differences are without them."
    )


def _versus(results: dict[int, TrialResult], baseline: dict[int, TrialResult]) -> Paired | None:
    shared = [
        seed
        for seed in sorted(results.keys() & baseline.keys())
        if math.isfinite(results[seed].test_score) and math.isfinite(baseline[seed].test_score)
    ]
    if len(shared) < 2:
        return None
    return paired(
        [results[seed].test_score for seed in shared],
        [baseline[seed].test_score for seed in shared],
    )


def _row(
    name: str,
    results: dict[int, TrialResult],
    baseline: dict[int, TrialResult],
    versus: Paired | None,
    p_corrected: float,
) -> Row:
    any_result = next(iter(results.values()))
    shared = results.keys() & baseline.keys()
    ratios = [results[seed].step_ms / baseline[seed].step_ms for seed in shared]
    return Row(
        activation=name,
        seeds=len(results),
        score=mean_interval([s for r in results.values() if math.isfinite(s := r.test_score)]),
        versus=versus,
        p_corrected=p_corrected,
        parameters=any_result.parameters,
        activation_parameters=any_result.activation_parameters,
        step_ratio=statistics.median(ratios) if ratios else math.nan,
        step_ms=statistics.median(result.step_ms for result in results.values()),
        kept_mib=any_result.kept_bytes / 2**20,
        diverged=tuple(sorted(seed for seed, result in results.items() if result.diverged)),
    )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
