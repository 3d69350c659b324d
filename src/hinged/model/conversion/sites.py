"""Lists the sites of a model: the places where it applies an activation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from hinged import errors
from hinged.model.conversion.candidates import find_candidates
from hinged.model.conversion.decisions import Settings, decide
from hinged.model.conversion.unsupported_models import reject_unsupported
from hinged.model.observation.layer_statistics import collect_statistics
from hinged.model.observation.text_tables import format_table
from hinged.nn import PiecewiseLinear, Site

CALL = "hinged.sites"
_SITES = "_hinged_sites"
_HEAD = ("site", "was", "channels", "axis", "hinges", "range", "outside", "error", "")


@dataclass(frozen=True)
class Sites(Sequence[Site]):
    """All sites of a model in the order of the forward pass; `str` gives a table.

    Attributes:
        all: the sites, including those without curves.
        notes: sentences about the whole model: how exact the start is, what could not be examined.
    """

    all: tuple[Site, ...]
    notes: tuple[str, ...] = ()

    @property
    def converted(self) -> tuple[Site, ...]:
        """The sites with curves."""
        return tuple(site for site in self.all if not site.skipped)

    @property
    def skipped(self) -> tuple[Site, ...]:
        """The sites without curves; `site.skipped` gives the reason."""
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


def sites(
    model: nn.Module,
    data: Any = None,
    *,
    gates: bool = False,
    activations: Sequence[type[nn.Module]] = (),
) -> Sites:
    """Return the sites of a model: every place where it applies an activation.

    For a converted model, these are the sites that `convert` found, with their present hinges and
    ranges. With `data`, the share of the inputs outside the range is measured again. For any other
    model, they show what `convert` would do on `data`; the model is not changed.

    Args:
        model: a model.
        data: as in `convert`; optional if the model was converted.
        gates, activations: as in `convert`.

    Returns:
        The sites in the order of the forward pass; `print` shows a table.

    Raises:
        ArgumentError: the model was not converted, and there are no data.

    >>> import torch
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> [site] = sites(model, torch.randn(8, 2))
    >>> site.name, site.channels, site.axis
    ('1', 3, -1)
    """
    recorded = recorded_sites(model)
    if recorded is not None:
        return _update_sites(model, recorded, data)
    if data is None:
        got = f"a {type(model).__name__} that was not converted, and no data"
        hint = "give a batch: sites(model, data)"
        raise errors.ArgumentError(errors.message(f"{CALL}(model)", got, hint))
    reject_unsupported(model, CALL)
    search = find_candidates(model, data, CALL, gates=gates, activations=activations)
    decisions = decide(model, search.candidates, Settings(), CALL)
    return Sites(tuple(each.site for each in decisions), tuple(search.notes))


def record_sites(model: nn.Module, new: Sequence[Site], notes: Sequence[str]) -> None:
    """Store the sites of a conversion in the model, after those that are converted already."""
    earlier = recorded_sites(model)
    converted = () if earlier is None else earlier.converted
    vars(model)[_SITES] = Sites((*converted, *new), tuple(notes))


def forget_sites(model: nn.Module) -> None:
    """Remove the sites that are stored in the model and in its parts."""
    for module in model.modules():
        vars(module).pop(_SITES, None)


def recorded_sites(model: nn.Module) -> Sites | None:
    """Return the sites that are stored in the model and in its parts; None if there are none."""
    records = {name: vars(m)[_SITES] for name, m in model.named_modules() if _SITES in vars(m)}
    if not records:
        return None
    merged: list[Site] = []
    for part, part_sites in records.items():
        known = {site.name for site in merged}  # A part may have been converted before the whole.
        named = [replace(site, name=f"{part}.{site.name}".strip(".")) for site in part_sites]
        merged += [site for site in named if site.name not in known]
    return Sites(tuple(merged), records[""].notes if "" in records else ())


def _update_sites(model: nn.Module, recorded: Sites, data: Any) -> Sites:
    """Return recorded sites with the present hinges of their layers."""
    modules = dict(model.named_modules(remove_duplicate=False))
    has_curves = any(isinstance(module, PiecewiseLinear) for module in modules.values())
    statistics = collect_statistics(model, data, CALL) if data is not None and has_curves else {}
    updated = []
    for site in recorded:
        layer = modules.get(site.name)
        if not isinstance(layer, PiecewiseLinear):
            note = "" if site.skipped else f"now {layer}"
            updated.append(replace(site, note=site.note or note))
            continue
        outside = site.outside
        if site.name in statistics:
            outside = statistics[site.name].lines.share_outside.mean().item()
        ends = (layer.hinges.min().item(), layer.hinges.max().item())
        hinges = layer.hinges.shape[-1]
        updated.append(replace(site, hinges=hinges, range=ends, outside=outside))
    return Sites(tuple(updated), recorded.notes)
