"""The comparison of trained curves with other activations, over several studies.

A setting here is a data set together with a network. The gain is the difference in score between
curves and another activation in one setting. Gains are computed from the records of the studies, so
no network is trained again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hinged.lab.experiment.settings import Settings
from hinged.lab.reporting import terminal
from hinged.lab.reporting.markdown import markdown_table
from hinged.lab.reporting.multiple_testing import holm_correction
from hinged.lab.reporting.significance import FEWEST_SEEDS, finite_pairs, paired_t_test
from hinged.lab.study.measure_words import number_range
from hinged.lab.study.record import RecordRow, StudyRecord
from hinged.lab.study.rivals import LEVEL, rows_in_same_setting
from hinged.lab.study.wording import activation_words, setting_words

_RELUS = ("relu", "leaky_relu")
_OTHERS = ("prelu", "silu", "gelu")
_BEST_OTHER = "the best of PReLU, SiLU and GELU"
_MOST_NAMED = 3
"""Largest number of settings that a sentence names."""


class Gain(Settings):
    """The score of trained curves minus the score of another activation, in one setting.

    Attributes:
        activation: name of the other activation.
        pairs: number of seeds at which the curves and the other activation have finite scores.
        mean: mean of the differences, positive if curves are better.
        low: lower bound of the 95 % interval of the mean.
        high: upper bound of the 95 % interval of the mean.
        p: p-value of the paired t-test, not corrected for several tests. None if all differences
            are equal but not 0.
    """

    activation: str
    pairs: int
    mean: float
    low: float
    high: float
    p: float | None


class GainsInSetting(Settings):
    """The gains of trained curves over all other activations, in one setting.

    A setting is a data set together with a network.

    Attributes:
        name: name of the study, followed by the values in which this setting differs from other
            settings of the study.
        score: mean score of the trained curves.
        step_ratio: time of a training step divided by the time with ReLU; None if it is unknown.
        gains: the gain over each other activation that was trained in this setting, by its name.
    """

    name: str
    score: float
    step_ratio: float | None = None
    gains: dict[str, Gain]

    @property
    def over_best_other(self) -> Gain | None:
        """Return the gain over PReLU, SiLU or GELU, whichever has the best mean score.

        None is returned if none of the three was trained in this setting.
        """
        others = [self.gains[name] for name in _OTHERS if name in self.gains]
        return min(others, key=lambda gain: gain.mean, default=None)


def collect_gains(records: Iterable[StudyRecord]) -> list[GainsInSetting]:
    """Return the gains of trained curves in each setting (data set and network) of the records.

    Settings in which curves and ReLU have fewer than two common seeds are left out.
    """
    settings = []
    for record in records:
        for row in record.rows:
            if row.activation == "hinged":
                others = rows_in_same_setting(record, row)
                gains = {other.activation: _compute_gain(row, other) for other in others}
                known = {name: gain for name, gain in gains.items() if gain is not None}
                if "relu" in known and row.mean is not None:
                    name = ": ".join(filter(None, [record.name, setting_words(record, row)]))
                    ratio = row.step_ratio if record.baseline == "relu" else None
                    settings.append(
                        GainsInSetting(name=name, score=row.mean, step_ratio=ratio, gains=known)
                    )
    return settings


def gains_table(settings: Sequence[GainsInSetting]) -> str:
    """Return a Markdown table of gains, with one row for each setting (data set and network).

    Scores are in percent and gains in percentage points, for accuracy and for R2.
    """
    headings = ("setting", "curves, %", *(f"over {activation_words(name)}" for name in _RELUS))
    rows = [
        (
            setting.name,
            f"{100 * setting.score:.2f}",
            *(_format_gain(setting.gains.get(name)) for name in _RELUS),
            _format_gain(setting.over_best_other, named=True),
        )
        for setting in settings
    ]
    return markdown_table((*headings, f"over {_BEST_OTHER}"), rows)


def summary_lines(settings: Sequence[GainsInSetting]) -> list[str]:
    """Return sentences about how often curves are better than other activations, and their cost.

    A difference counts if it is significant at the 5 % level after Holm's correction for all tests
    of `gains_table`, and comes from at least five seeds.
    """
    columns = {activation_words(name): [s.gains.get(name) for s in settings] for name in _RELUS}
    columns[_BEST_OTHER] = [setting.over_best_other for setting in settings]
    known = {
        name: [(setting, gain) for setting, gain in zip(settings, column, strict=True) if gain]
        for name, column in columns.items()
    }
    ps = [gain.p for column in known.values() for _, gain in column]
    corrected = iter(holm_correction([math.nan if p is None else p for p in ps]))
    lines = [
        _count_gains(name, [(setting, gain, next(corrected)) for setting, gain in column])
        for name, column in known.items()
        if column
    ]
    ratios = [setting.step_ratio for setting in settings if setting.step_ratio is not None]
    if ratios:
        span = number_range(ratios, 2)
        lines.append(f"**Cost**: a training step takes {span} times as long as with ReLU.")
    return lines


def how_gains_are_counted(settings: Sequence[GainsInSetting]) -> str:
    """Return a sentence about the tests behind `summary_lines`."""
    tests = sum(
        gain is not None
        for setting in settings
        for gain in (*(setting.gains.get(name) for name in _RELUS), setting.over_best_other)
    )
    pairs = sorted({setting.gains["relu"].pairs for setting in settings})
    seeds = f"{pairs[0]}" if len(pairs) == 1 else f"{pairs[0]} to {pairs[-1]}"
    return (
        f"A difference counts if it is significant at the 5 % level: paired t-tests over {seeds} "
        f"seeds or folds, with Holm's correction for all {tests} tests. Points are percentage "
        "points of accuracy; for tables, they are hundredths of R2."
    )


def describe_trainings(records: Sequence[StudyRecord]) -> str:
    """Return a text about the trainings of several records.

    It contains the range of epochs and the largest number of training samples, and names the
    records of an earlier version that trained curves without their metric.
    """
    cells = [cell for record in records for cell in record.cells.values()]
    epochs = sorted({cell["training"]["epochs"] for cell in cells})
    sizes = sorted({cell["train_size"] for cell in cells if cell["train_size"] is not None})
    every = any(cell["train_size"] is None for cell in cells)
    amounts = ["all training samples"] if every else []
    amounts += [f"at most {sizes[-1]:,}"] if sizes else []
    text = f"{epochs[0]} to {epochs[-1]} epochs on {' or on '.join(amounts)}"
    text += "" if every else " training samples"
    old = [record.name for record in records if record.precedes_the_metric]
    without = f"; in the records of {', '.join(old)}, curves were trained without their metric"
    return text + without if old else text


def _count_gains(name: str, gains: Sequence[tuple[GainsInSetting, Gain, float]]) -> str:
    """Return a sentence about the gains over one activation.

    Args:
        name: the other activation, in words.
        gains: each setting with its gain, and the p-value of the gain after correction.
    """
    sure = [(s, g) for s, g, p in gains if p < LEVEL and g.pairs >= FEWEST_SEEDS]
    better = [gain.mean for _, gain in sure if gain.mean > 0]
    worse = [(setting, gain) for setting, gain in sure if gain.mean < 0]
    by = f", by {number_range([100 * mean for mean in better], 1)} points" if better else ""
    losses = ", ".join(f"{setting.name}, by {-100 * gain.mean:.1f}" for setting, gain in worse)
    where = f" ({losses} points)" if 0 < len(worse) <= _MOST_NAMED else ""
    rest = len(gains) - len(better) - len(worse)
    return (
        f"**Against {name}**: curves are better in {len(better)} of {len(gains)} settings{by}, "
        f"worse in {len(worse)}{where}, and not significantly different in {rest}."
    )


def _compute_gain(row: RecordRow, other: RecordRow) -> Gain | None:
    ours, theirs = finite_pairs(row.values, other.values)
    if len(ours) < 2:
        return None
    test = paired_t_test(ours, theirs)
    return Gain(
        activation=other.activation,
        pairs=len(ours),
        mean=test.difference.mean,
        low=test.difference.low,
        high=test.difference.high,
        p=None if math.isnan(test.p) else test.p,
    )


def _format_gain(gain: Gain | None, named: bool = False) -> str:
    if gain is None:
        return "-"
    name = f"{activation_words(gain.activation)}: " if named else ""
    text = f"{name}{100 * gain.mean:+.2f} (p {terminal.format_p_value(gain.p)})"
    return text.replace(" ", "\N{NO-BREAK SPACE}")
