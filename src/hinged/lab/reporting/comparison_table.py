"""The table of a comparison, which the terminal, the page and the JSON output show.

A comparison trains one network with several activations from the same seeds.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass
from typing import Any

from hinged.lab.experiment.schema import Experiment
from hinged.lab.reporting.multiple_testing import holm_correction
from hinged.lab.reporting.significance import (
    FEWEST_SEEDS,
    Interval,
    PairedTest,
    finite_pairs,
    mean_interval,
    paired_t_test,
)
from hinged.lab.reporting.warnings import find_warnings
from hinged.lab.runs.trial_result import TrialResult


@dataclass(frozen=True)
class ComparisonRow:
    """The results of one activation, in one row of the table.

    Attributes:
        activation: name of the activation.
        seeds: number of seeds whose training is finished.
        score: mean test score with its 95 % interval, over seeds with a finite score.
        versus: paired t-test of the scores against those of the baseline, over seeds at which both
            activations have a finite score. None for the baseline itself, and for fewer than two
            such seeds.
        p_corrected: p-value of `versus` after Holm's correction for all tests in the table; NaN if
            `versus` is None.
        parameters: number of trained parameters of the whole network.
        activation_parameters: number of trained parameters of its activations.
        step_ratio: time of a training step divided by the time of the baseline, the median over
            seeds. NaN if no seed is finished for both activations.
        step_ms: time of a training step in milliseconds, the median over seeds.
        kept_mib: memory in MiB that one batch keeps for the backward pass.
        diverged: the seeds at which the loss or the score became infinite or NaN.
    """

    activation: str
    seeds: int
    score: Interval
    versus: PairedTest | None
    p_corrected: float
    parameters: int
    activation_parameters: int
    step_ratio: float
    step_ms: float
    kept_mib: float
    diverged: tuple[int, ...] = ()


@dataclass(frozen=True)
class ComparisonTable:
    """The results of a comparison: one network, trained with several activations.

    Attributes:
        metric: name of the scores, for example `accuracy`. A larger score is better.
        baseline: name of the activation that the others are compared with.
        rows: one row for each activation with a finished training.
        finished: number of finished trainings.
        planned: number of all trainings of the experiment.
        warnings: a sentence for each reason why the results may prove nothing.
    """

    metric: str
    baseline: str
    rows: list[ComparisonRow]
    finished: int
    planned: int
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the table as dicts and lists that JSON can hold, with None in place of NaN."""
        plain: dict[str, Any] = replace_nan(asdict(self))
        for row, source in zip(plain["rows"], self.rows, strict=True):
            row["score"] = replace_nan(source.score._asdict())
            if source.versus is not None:
                difference = replace_nan(source.versus.difference._asdict())
                row["versus"] = {"difference": difference, "p": replace_nan(source.versus.p)}
        return plain


def build_comparison_table(experiment: Experiment, results: list[TrialResult]) -> ComparisonTable:
    """Return the table that compares the activations of an experiment.

    Args:
        experiment: the experiment, with its activations and its baseline.
        results: the results of its finished trainings.
    """
    by_activation: dict[str, dict[int, TrialResult]] = {}
    for result in results:
        by_activation.setdefault(result.activation, {})[result.seed] = result
    baseline = by_activation.get(experiment.baseline, {})
    names = [name for name in experiment.activations if name in by_activation]
    tests = {name: _test_against(by_activation[name], baseline) for name in names}
    tests[experiment.baseline] = None
    corrected = holm_correction([math.nan if (t := tests[n]) is None else t.p for n in names])
    rows = [
        _build_row(name, by_activation[name], baseline, tests[name], p)
        for name, p in zip(names, corrected, strict=True)
    ]
    metric = results[0].metric if results else "score"
    return ComparisonTable(
        metric,
        experiment.baseline,
        rows,
        len(results),
        len(experiment.trials),
        find_warnings(experiment, results),
    )


def verdict(table: ComparisonTable, activation: str = "hinged") -> str:
    """Return a sentence that compares the scores of an activation with those of the baseline.

    The sentence begins with the conclusion. Then it gives the mean difference, its 95 % interval
    and its p-value. With fewer than 5 seeds it gives only the mean difference, and no verdict.

    Args:
        table: the table of the comparison.
        activation: name of the activation.
    """
    rows = {row.activation: row for row in table.rows}
    row = rows.get(activation)
    if row is None or row.versus is None:
        return f"{activation} has not been compared with {table.baseline}."
    (mean, low, high), p, pairs = row.versus
    unit, scale, digits = (" points", 100, 2) if table.metric == "accuracy" else ("", 1, 4)
    side = "above" if mean >= 0 else "below"
    distance = f"{abs(mean) * scale:.{digits}f}{unit} {side} {table.baseline}"
    if pairs < FEWEST_SEEDS:
        return f"{activation} is on average {distance} over {pairs} seeds: too few for a verdict."
    comparisons = sum(not math.isnan(other.p_corrected) for other in table.rows)
    if math.isnan(p):
        return (
            f"{activation} differs from {table.baseline} without any spread: no test is possible."
        )
    corrected = f"{row.p_corrected:.2g} after correction for {comparisons} comparisons"
    numbers = (
        f"95 % interval {low * scale:+.{digits}f} to {high * scale:+.{digits}f}; p = {p:.2g}"
        f"{', ' + corrected if comparisons > 1 else ''}; {pairs} seeds"
    )
    conclusion = "No difference that these seeds can show"
    if row.p_corrected < 0.05:
        conclusion = "Better" if mean > 0 else "Worse"
    return f"{conclusion}: on average, {activation} is {distance} ({numbers})."


def _test_against(
    results: dict[int, TrialResult], baseline: dict[int, TrialResult]
) -> PairedTest | None:
    scores, baseline_scores = (
        {seed: group[seed].test_score for seed in sorted(group)} for group in (results, baseline)
    )
    ours, theirs = finite_pairs(scores, baseline_scores)
    return None if len(ours) < 2 else paired_t_test(ours, theirs)


def _build_row(
    name: str,
    results: dict[int, TrialResult],
    baseline: dict[int, TrialResult],
    versus: PairedTest | None,
    p_corrected: float,
) -> ComparisonRow:
    any_result = next(iter(results.values()))
    shared = results.keys() & baseline.keys()
    ratios = [results[seed].step_ms / baseline[seed].step_ms for seed in shared]
    return ComparisonRow(
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


def replace_nan(value: Any) -> Any:
    """Return a value for JSON: NaN becomes None, also in lists, tuples and dictionaries."""
    if isinstance(value, dict):
        return {name: replace_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [replace_nan(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
