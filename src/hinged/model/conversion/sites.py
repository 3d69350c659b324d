"""Lists the sites of a model. A site is a place where the model applies an activation."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from hinged import errors
from hinged.model.conversion.candidates import find_candidates
from hinged.model.conversion.decisions import Settings, decide
from hinged.model.conversion.install import ORIGINALS
from hinged.model.conversion.named_activations import Activation, check_activations
from hinged.model.conversion.unsupported_models import reject_unsupported
from hinged.model.module_tree import REPLACED
from hinged.model.observation.batches import Batches, CallModel
from hinged.model.observation.layer_statistics import LayerStatistics, collect_custom_statistics
from hinged.model.observation.text_tables import format_table
from hinged.nn import PiecewiseLinear, Site, check_model
from hinged.nn.site import RECORDED_SITES

CALL = "hinged.sites"
_HEAD = ("site", "was", "channels", "axis", "hinges", "range", "outside", "error", "")


@dataclass(frozen=True)
class Sites(Sequence[Site]):
    """A sequence of all sites of a model, in the order of the forward pass. `print` shows a table.

    A site is a place where the model applies an activation.

    Attributes:
        all: every site, with or without curves.
        notes: sentences about the whole model: whether the outputs are unchanged, or how much the
            conversion changed them and why; and whether the model raised an error when it was
            examined in training or evaluation mode.
        unreached: activations that the model did not apply to the data, such as those of a branch
            that was not executed, and activations inside recurrent layers such as `nn.LSTM`. They
            are not part of the sequence. `site.skipped` gives the reason.
    """

    all: tuple[Site, ...]
    notes: tuple[str, ...] = ()
    unreached: tuple[Site, ...] = ()

    @property
    def converted(self) -> tuple[Site, ...]:
        """The sites whose activation was replaced by curves."""
        return tuple(site for site in self.all if not site.skipped)

    @property
    def skipped(self) -> tuple[Site, ...]:
        """The sites whose activation was not replaced. `site.skipped` says why."""
        return tuple(site for site in self.all if site.skipped)

    def __len__(self) -> int:
        return len(self.all)

    def __iter__(self) -> Iterator[Site]:
        return iter(self.all)

    def __getitem__(self, index: int | slice) -> Site | tuple[Site, ...]:  # type: ignore[override]
        return self.all[index]

    def __str__(self) -> str:
        lines = [format_table([_HEAD, *(_cells(site) for site in self.all)])]
        if self.unreached:
            rows = [(site.name, site.activation, site.skipped) for site in self.unreached]
            lines.append(format_table([("site", "not examined", ""), *rows]))
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
        f"not converted: {site.skipped}" if site.skipped else site.note,
    )


def sites(
    model: nn.Module,
    data: Any = None,
    *,
    gates: bool = False,
    activations: Sequence[Activation] = (),
    call: CallModel | None = None,
    batches: int | None = None,
) -> Sites:
    """Return every place where a model applies an activation; such a place is called a site.

    For a model that `convert` has changed, these are the sites that `convert` found, with the
    current number of hinges and the current range (first and last hinge). For any other model, the
    result shows what `convert` would do with this `data`. The model is not changed.

    Args:
        model: any module.
        data: one batch or an iterable of batches, in any form that `convert` takes. It can be None
            for a converted model. If you pass data for a converted model, the fraction of inputs
            outside the range is measured again.
        gates: whether to list activations as convertible that must keep their bounds, such as
            gates and bounded outputs. `hinged.convert` explains which these are. Ignored for a
            converted model.
        activations: your own module classes and functions that compute an elementwise activation,
            as in `convert`. Ignored for a converted model.
        call: a function that calls the model with a batch, as in `convert`.
        batches: the largest number of batches to use. None uses all.

    Returns:
        A `Sites` object, a sequence of `Site` in the order of the forward pass. `print` shows it as
        a table.

    Raises:
        ArgumentError: if the model was not converted and `data` is None; or if the model is of a
            kind that `convert` rejects, such as a compiled model.

    >>> import hinged, torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    >>> [site] = hinged.sites(model, torch.randn(8, 2))
    >>> site.name, site.channels, site.axis
    ('1', 3, -1)
    """
    check_model(model, CALL)
    errors.check_flags(CALL, gates=gates)
    check_activations(activations, CALL)
    given = Batches(data, CALL, call, batches)
    recorded = recorded_sites(model)
    if recorded is not None:
        return _update_sites(model, recorded, None if data is None else given)
    if data is None:
        got = f"{errors.class_of(model)} that was not converted, and data=None"
        hint = "pass a batch to run the model on: hinged.sites(model, data)"
        raise errors.ArgumentError(errors.message(f"{CALL}(model)", got, hint))
    reject_unsupported(model, CALL)
    search = find_candidates(model, given, gates=gates, activations=activations)
    decisions = decide(model, search.candidates, Settings(), CALL)
    found = tuple(each.site for each in decisions)
    return Sites(found, tuple(search.notes), tuple(search.unreached))


def record_sites(model: nn.Module, new: Sites) -> None:
    """Store the sites of a conversion in the model, after the sites of earlier conversions."""
    earlier = recorded_sites(model)
    converted = () if earlier is None else earlier.converted
    vars(model)[RECORDED_SITES] = replace(new, all=(*converted, *new.all))


def forget_sites(model: nn.Module) -> None:
    """Remove the stored sites from the model and from all its submodules."""
    for module in model.modules():
        vars(module).pop(RECORDED_SITES, None)


def recorded_sites(model: nn.Module) -> Sites | None:
    """Return the sites that are stored in the model or its submodules; None if none are stored."""
    records = {
        name: vars(m)[RECORDED_SITES]
        for name, m in model.named_modules()
        if RECORDED_SITES in vars(m)
    }
    if not records:
        return None
    merged: list[Site] = []
    for part, part_sites in records.items():
        known = {site.name for site in merged}  # A submodule may be converted first.
        merged += [site for site in _named_from(part, part_sites) if site.name not in known]
    if "" in records:
        whole: Sites = records[""]
        return replace(whole, all=tuple(merged))
    unreached = [_named_from(part, found.unreached) for part, found in records.items()]
    return Sites(tuple(merged), unreached=tuple(itertools.chain(*unreached)))


def _named_from(part: str, found: Sequence[Site]) -> list[Site]:
    """Return sites of a part of a model, with their names in the whole model."""
    return [replace(site, name=f"{part}.{site.name}".strip(".")) for site in found]


def _update_sites(model: nn.Module, recorded: Sites, given: Batches | None) -> Sites:
    """Return the recorded sites, updated with the current number and range of the hinges.

    With batches, the fraction of inputs outside the range is measured again.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    has_curves = any(isinstance(module, PiecewiseLinear) for module in modules.values())
    statistics = {}
    if given is not None and has_curves:
        statistics = collect_custom_statistics(model, given, LayerStatistics.of)
    updated = []
    for site in recorded:
        layer = modules.get(site.name)
        if not isinstance(layer, PiecewiseLinear):
            updated.append(site if site.skipped else _without_curves(site, modules))
            continue
        outside = site.outside
        if site.name in statistics:
            outside = statistics[site.name].lines.share_outside.mean().item()
        ends = (layer.hinges.min().item(), layer.hinges.max().item())
        hinges = layer.hinges.shape[-1]
        note = site.note
        if not layer.values.requires_grad:
            note = "; ".join(filter(None, [note, "frozen"]))
        updated.append(replace(site, hinges=hinges, range=ends, outside=outside, note=note))
    return replace(recorded, all=tuple(updated))


def _without_curves(site: Site, modules: Mapping[str, nn.Module]) -> Site:
    """Return a converted site whose curves `to_native` has replaced or `revert` has removed.

    Args:
        site: the site, as it was recorded.
        modules: the modules of the model, by name.
    """
    layer, parts = modules.get(site.name), site.name.split(".")
    above = [modules.get(".".join(parts[:depth])) for depth in range(len(parts))]
    if layer is not None and (REPLACED in vars(layer) or any(map(_has_rewritten_method, above))):
        return replace(site, note=site.note or f"now {layer}")
    return replace(site, hinges=0, range=None, outside=None, error=0.0, skipped="reverted")


def _has_rewritten_method(module: nn.Module | None) -> bool:
    """Whether the conversion has changed a method of a module."""
    originals = None if module is None else vars(module).get(ORIGINALS)
    return originals is not None and bool(originals.methods)
