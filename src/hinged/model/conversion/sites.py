"""The places of a model where activations are applied, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hinged.model.observation.text_tables import aligned

_HEAD = ("site", "was", "channels", "axis", "hinges", "range", "outside", "error", "")


@dataclass(frozen=True)
class Site:
    """One place in a model's forward pass where an activation is applied.

    Attributes:
        name: where its curve is, or would be, in the model, as in `model.get_submodule(name)`.
        activation: what was there, as `print` shows the module that computes it.
        channels: entries of the channel axis of its input; 1 where that axis is not known.
        axis: the channel axis, -1 for the last, None where it is not known.
        hinges: number of hinges `K` of its curves, 0 where it has none.
        range: first and last hinge.
        outside: share of the inputs seen that lay outside the range.
        error: largest difference between the curves and the activation over the range.
        calls: how often one forward pass comes by.
        source: method, file and line of the call.
        skipped: why it was left as it was, empty where it has curves.
        note: what else is worth knowing.
    """

    name: str
    activation: str
    channels: int
    axis: int | None
    hinges: int = 0
    range: tuple[float, float] | None = None
    outside: float | None = None
    error: float = 0.0
    calls: int = 1
    source: str = ""
    skipped: str = ""
    note: str = ""

    def _cells(self) -> tuple[str, ...]:
        ends = "" if self.range is None else f"{self.range[0]:.3g} to {self.range[1]:.3g}"
        outside = "" if self.outside is None else f"{self.outside:.2%}"
        error = f"{self.error:.2g}" if self.hinges else ""
        why = f"left alone: {self.skipped}" if self.skipped else self.note
        axis = "?" if self.axis is None else str(self.axis)
        hinges = str(self.hinges) if self.hinges else ""
        return (
            self.name or "(itself)",
            self.activation,
            str(self.channels),
            axis,
            hinges,
            ends,
            outside,
            error,
            why,
        )


@dataclass(frozen=True)
class Sites(Sequence[Site]):
    """All sites of a model in the order in which a forward pass meets them; `str` is a table.

    Attributes:
        all: the sites, those that were left alone among them.
        notes: sentences on what could not be looked at.
    """

    all: tuple[Site, ...]
    notes: tuple[str, ...] = ()

    @property
    def converted(self) -> tuple[Site, ...]:
        """Those with curves."""
        return tuple(site for site in self.all if not site.skipped)

    @property
    def skipped(self) -> tuple[Site, ...]:
        """Those left alone, each with its reason."""
        return tuple(site for site in self.all if site.skipped)

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.all)

    def __getitem__(self, index: int | slice) -> Site | tuple[Site, ...]:  # type: ignore[override]
        return self.all[index]

    def __str__(self) -> str:
        lines = [aligned([_HEAD, *(site._cells() for site in self.all)])]
        return "\n".join([*lines, *self.notes])
