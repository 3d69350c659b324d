"""One recipe in many settings: trained curves against each activation, from the records of several
studies.

A setting is a data set and a network. Every record already pairs seeds within it; here the pairs
are taken from the records' values, so that nothing is trained again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import Settings
from hinged.lab.reporting import markdown, significance, terminal
from hinged.lab.study.answer import LEVEL
from hinged.lab.study.cells import plain
from hinged.lab.study.record import Record, Row

PLAIN = ("relu", "leaky_relu")
OTHERS = ("prelu", "silu", "gelu")


class Gain(Settings):
    """Trained curves over one activation in one setting.

    Attributes:
        activation: the other.
        pairs: seeds that both finished.
        mean: of the paired differences in the score.
        p: of the paired t-test, not corrected; None without spread.
    """

    activation: str
    pairs: int
    mean: float
    p: float | None

    @property
    def shown(self) -> bool:
        """Whether curves are shown to be better at the 5 % level."""
        return self.mean > 0 and self.p is not None and self.p < LEVEL


class Setting(Settings):
    """A data set and a network.

    Attributes:
        name: study and place in its grid.
        score: mean of the trained curves.
        gains: over each activation that was trained there.
    """

    name: str
    score: float
    gains: dict[str, Gain]

    @property
    def best(self) -> Gain | None:
        """Return the gain over the best of PReLU, SiLU and GELU by mean score: the smallest."""
        others = [self.gains[name] for name in OTHERS if name in self.gains]
        return min(others, key=lambda gain: gain.mean, default=None)


def settings(records: Iterable[Record]) -> list[Setting]:
    """Return the settings of records in which curves and ReLU were trained on the same seeds."""
    found = []
    for record in records:
        for row in record.rows:
            if row.activation == "hinged":
                gains = {other.activation: _gain(row, other) for other in _beside(record, row)}
                known = {name: gain for name, gain in gains.items() if gain is not None}
                if "relu" in known and row.mean is not None:
                    name = f"{record.name}{', ' if row.label else ''}{row.label}"
                    found.append(Setting(name=name, score=row.mean, gains=known))
    return found


def table(found: Sequence[Setting]) -> str:
    """Return the settings as a table; differences in points (of R2 too)."""
    headings = ("setting", "n", "curves, %", *(f"over {name}" for name in PLAIN))
    rows = [
        (
            setting.name,
            str(setting.gains["relu"].pairs),
            f"{100 * setting.score:.2f}",
            *(_text(setting.gains.get(name)) for name in PLAIN),
            _text(setting.best, named=True),
        )
        for setting in found
    ]
    return markdown.table((*headings, "over the best of PReLU, SiLU, GELU"), rows)


def sentence(found: Sequence[Setting]) -> str:
    """Return in words in how many settings curves are ahead of what, and in how many of them that
    is shown at the 5 % level: by each test alone, and after Holm's correction over all tests of the
    table."""
    columns = {name: [s.gains.get(name) for s in found] for name in PLAIN}
    columns["the best of PReLU, SiLU and GELU"] = [s.best for s in found]
    gains = [gain for column in columns.values() for gain in column if gain is not None]
    corrected = significance.holm([math.nan if g.p is None else g.p for g in gains])
    sure = {id(g) for g, p in zip(gains, corrected, strict=True) if g.mean > 0 and p < LEVEL}
    parts = [_count(name, column, sure) for name, column in columns.items()]
    return (
        f"In {len(found)} settings, mean scores of trained curves are {'; '.join(parts)}. In "
        f"parentheses: shown at the 5 % level by each test alone, and by Holm's correction for the "
        f"{len(gains)} tests of the table."
    )


def scales(records: Iterable[Record]) -> str:
    """Return in words how large the trainings of several records were."""
    cells = [cell for record in records for cell in record.cells.values()]
    epochs = sorted({cell["training"]["epochs"] for cell in cells})
    sizes = sorted({cell["train_size"] for cell in cells if cell["train_size"] is not None})
    size = f" on at most {sizes[-1]:,} samples of the sets that are larger" if sizes else ""
    data = ", ".join(dict.fromkeys(cell["data"] for cell in cells))
    return f"{epochs[0]} to {epochs[-1]} epochs{size}; data {data}"


def _count(name: str, gains: Sequence[Gain | None], sure: set[int]) -> str:
    known = [gain for gain in gains if gain is not None]
    above, shown = sum(g.mean > 0 for g in known), sum(g.shown for g in known)
    worse = sum(g.mean < 0 and g.p is not None and g.p < LEVEL for g in known)
    corrected = sum(id(gain) in sure for gain in known)
    below = f", below in {worse}" if worse else ""
    return f"above {name} in {above} of {len(known)} ({shown}{below}; {corrected})"


def _beside(record: Record, row: Row) -> list[Row]:
    """Return the rows of the other activations under the same settings."""

    def setting(cell: str, activation: str) -> Experiment:
        return plain(Experiment.model_validate(record.cells[cell]), activation)

    return [
        other
        for other in record.rows
        if other.activation != row.activation
        and setting(other.cell, other.activation) == setting(row.cell, other.activation)
    ]


def _gain(row: Row, other: Row) -> Gain | None:
    mine, theirs = significance.pairs(row.values, other.values)
    if len(mine) < 2:
        return None
    tested = significance.paired(mine, theirs)
    return Gain(
        activation=other.activation,
        pairs=len(mine),
        mean=tested.difference.mean,
        p=None if math.isnan(tested.p) else tested.p,
    )


def _text(gain: Gain | None, named: bool = False) -> str:
    if gain is None:
        return "-"
    name = f"{gain.activation}: " if named else ""
    return f"{name}{100 * gain.mean:+.2f} (p {terminal.p_value(gain.p)})"
