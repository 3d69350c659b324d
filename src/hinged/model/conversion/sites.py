"""The places of a model where activations are applied, as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hinged.model.observation.text_tables import format_table
from hinged.nn import Site

_HEAD = ("site", "was", "channels", "axis", "hinges", "range", "outside", "error", "")


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
        lines = [format_table([_HEAD, *(_cells(site) for site in self.all)])]
        return "\n".join([*lines, *self.notes])


def _cells(site: Site) -> tuple[str, ...]:
    ends = "" if site.range is None else f"{site.range[0]:.3g} to {site.range[1]:.3g}"
    return (
        site.name or "(itself)",
        site.activation,
        str(site.channels),
        "?" if site.axis is None else str(site.axis),
        str(site.hinges) if site.hinges else "",
        ends,
        "" if site.outside is None else f"{site.outside:.2%}",
        f"{site.error:.2g}" if site.hinges else "",
        f"left alone: {site.skipped}" if site.skipped else site.note,
    )
