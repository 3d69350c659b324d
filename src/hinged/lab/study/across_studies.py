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
from hinged.lab.reporting.significance import finite_pairs, paired_t_test
from hinged.lab.study.record import RecordRow, StudyRecord
from hinged.lab.study.rivals import LEVEL, rows_in_same_setting
from hinged.lab.study.wording import activation_words, setting_words

_RELUS = ("relu", "leaky_relu")
_OTHERS = ("prelu", "silu", "gelu")


class Gain(Settings):
    """The score of trained curves minus the score of another activation, in one setting.

    Attributes:
        activation: name of the other activation.
        pairs: number of seeds at which the curves and the other activation have finite scores.
        mean: mean of the differences, positive if curves are better.
        p: p-value of the paired t-test, not corrected for several tests. None if all differences
            are equal but not 0.
    """

    activation: str
    pairs: int
    mean: float
    p: float | None

    @property
    def is_significant(self) -> bool:
        """Whether curves are better and the uncorrected p-value is below 5 %."""
        return self.mean > 0 and self.p is not None and self.p < LEVEL


class GainsInSetting(Settings):
    """The gains of trained curves over all other activations, in one setting.

    A setting is a data set together with a network.

    Attributes:
        name: name of the study, followed by the values in which this setting differs from other
            settings of the study.
        score: mean score of the trained curves.
        gains: the gain over each other activation that was trained in this setting, by its name.
    """

    name: str
    score: float
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
                    name = f"{record.name}{', ' if row.label else ''}{row.label}"
                    settings.append(GainsInSetting(name=name, score=row.mean, gains=known))
    return settings


def gains_table(settings: Sequence[GainsInSetting]) -> str:
    """Return a Markdown table of gains, with one row for each setting (data set and network).

    Scores are in percent and gains in percentage points, for accuracy and for R2.
    """
    headings = ("setting", "n", "curves, %", *(f"over {name}" for name in _RELUS))
    rows = [
        (
            setting.name,
            str(setting.gains["relu"].pairs),
            f"{100 * setting.score:.2f}",
            *(_format_gain(setting.gains.get(name)) for name in _RELUS),
            _format_gain(setting.over_best_other, named=True),
        )
        for setting in settings
    ]
    return markdown_table((*headings, "over the best of PReLU, SiLU, GELU"), rows)


def gains_sentence(settings: Sequence[GainsInSetting]) -> str:
    """Return a sentence about the number of settings in which trained curves are better.

    The sentence also says in how many settings the gain is significant: by each test alone, and
    after Holm's correction for all tests of the table.
    """
    columns = {name: [s.gains.get(name) for s in settings] for name in _RELUS}
    columns["the best of PReLU, SiLU and GELU"] = [s.over_best_other for s in settings]
    gains = [gain for column in columns.values() for gain in column if gain is not None]
    corrected = holm_correction([math.nan if g.p is None else g.p for g in gains])
    significant = {id(g) for g, p in zip(gains, corrected, strict=True) if g.mean > 0 and p < LEVEL}
    parts = [_count_gains(name, column, significant) for name, column in columns.items()]
    return (
        f"In {len(settings)} settings, mean scores of trained curves are {'; '.join(parts)}. "
        "The numbers in parentheses count only differences that are significant at the 5 % level: "
        f"first by each test alone, then after Holm's correction for the {len(gains)} tests of "
        "the table."
    )


def describe_trainings(records: Iterable[StudyRecord]) -> str:
    """Return a text about the trainings of several records.

    It contains the range of epochs, the largest number of training samples and the data sets.
    """
    cells = [cell for record in records for cell in record.cells.values()]
    epochs = sorted({cell["training"]["epochs"] for cell in cells})
    sizes = sorted({cell["train_size"] for cell in cells if cell["train_size"] is not None})
    size = f" on at most {sizes[-1]:,} training samples" if sizes else ""
    data = ", ".join(dict.fromkeys(cell["data"] for cell in cells))
    return f"{epochs[0]} to {epochs[-1]} epochs{size}; data sets {data}"


def _count_gains(name: str, gains: Sequence[Gain | None], significant: set[int]) -> str:
    known = [gain for gain in gains if gain is not None]
    above, alone = sum(g.mean > 0 for g in known), sum(g.is_significant for g in known)
    worse = sum(g.mean < 0 and g.p is not None and g.p < LEVEL for g in known)
    corrected = sum(id(gain) in significant for gain in known)
    below = f", below in {worse}" if worse else ""
    return f"above {name} in {above} of {len(known)} ({alone}{below}; {corrected})"


def _compute_gain(row: RecordRow, other: RecordRow) -> Gain | None:
    ours, theirs = finite_pairs(row.values, other.values)
    if len(ours) < 2:
        return None
    test = paired_t_test(ours, theirs)
    return Gain(
        activation=other.activation,
        pairs=len(ours),
        mean=test.difference.mean,
        p=None if math.isnan(test.p) else test.p,
    )


def _format_gain(gain: Gain | None, named: bool = False) -> str:
    if gain is None:
        return "-"
    name = f"{gain.activation}: " if named else ""
    return f"{name}{100 * gain.mean:+.2f} (p {terminal.format_p_value(gain.p)})"
