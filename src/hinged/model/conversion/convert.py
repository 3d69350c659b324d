"""Puts trainable curves in the place of a model's activations, and takes them out again."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from hinged import errors
from hinged.curve.start_functions import Start
from hinged.model.conversion.calls import Call
from hinged.model.conversion.candidates import Found, Survey, site_name, survey
from hinged.model.conversion.install import (
    KEPT,
    Kept,
    Layers,
    all_or_nothing,
    install,
    restore,
    update_optimizers,
)
from hinged.model.conversion.output_check import compared, run_with
from hinged.model.conversion.sites import Sites
from hinged.model.observation.layer_statistics import collect_statistics
from hinged.nn import PiecewiseLinear, Site
from hinged.nn.site import SHARING

CALL = "hinged.convert"
Where = Callable[[Site], bool]
_SITES = "_hinged_sites"
_WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel")
_COMPILED = ("OptimizedModule", "ScriptModule", "RecursiveScriptModule", "TopLevelTracedModule")


def convert(
    model: nn.Module,
    data: Any,
    hinges: int = 9,
    *,
    init: Start = "same",
    spread: float = 3.0,
    sharing: str = "channel",
    tails: str = "linear",
    where: Where | None = None,
    gates: bool = False,
    activations: Sequence[type[nn.Module]] = (),
    optimizers: Optimizer | Sequence[Optimizer] = (),
) -> nn.Module:
    """Make every activation of a model a trainable curve that starts as the same function.

    The model runs over `data` once, without gradients, to find every place where an activation is
    applied: modules, one module used at several places, functions and methods (`F.relu(x)`,
    `x.relu_()`), in loops as well. Each becomes a `PiecewiseLinear` with one curve a channel, whose
    hinges span the mean +- `spread` standard deviations of its inputs. Which axis holds the
    channels is followed from the layers that feed the site. Parameters, buffers, other keys of
    `state_dict`, class, methods, hooks, training flags and random state stay as they were. What
    cannot be converted is left alone; `hinged.sites(model)` lists all sites and the reasons.

    Piecewise-linear activations (ReLU, leaky ReLU, PReLU, ReLU6, hardtanh, hardsigmoid ...) are met
    exactly; of smooth ones (GELU, SiLU ...) the curve is the closest fit, off by the error listed.

    Gates (a sigmoid, hardsigmoid or tanh that multiplies another tensor) and bounded outputs of the
    model stay unless `gates` is true.

    Args:
        model: any module; it is changed in place.
        data: one batch or an iterable of batches, as a DataLoader is. A batch is the model's input
            (a tensor), its keyword arguments (a dictionary), or a pair that begins with one of
            these or with a tuple of positional arguments, the targets behind.
        hinges: number of hinges `K` of each curve.
        init: what the curves start as: `"same"` for what they replace, or any start that
            `PiecewiseLinear` takes, for all sites.
        spread: half the range, in standard deviations.
        sharing: `"channel"` for a curve a channel, `"layer"` for one a site.
        tails: as in `PiecewiseLinear`.
        where: takes a `Site` and says whether to convert it.
        gates: convert gates and bounded outputs as well.
        activations: module classes of your own that are elementwise activations as a whole.
        optimizers: one or several optimisers that train the model. The curves are added to the
            first one, in a group with the settings of `hinged.param_groups`; parameters of the
            replaced activations are removed. Make learning-rate schedulers afterwards.

    Returns:
        The model, the same object unless it is itself an activation.

    Raises:
        ArgumentError: a model that is wrapped, compiled or scripted, no data, or settings that
            cannot work (too few hinges for a site). The model is unchanged then.

    Warns:
        NoEffectWarning: there was nothing to convert.

    >>> class Network(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.conv = nn.Conv2d(3, 8, 3)
    ...         self.head = nn.Linear(8, 2)
    ...     def forward(self, x):
    ...         x = self.conv(x).relu().mean(dim=(2, 3))
    ...         return self.head(x)
    >>> model, x = Network(), torch.randn(4, 3, 9, 9)
    >>> before = model(x)
    >>> model = convert(model, x)
    >>> torch.allclose(model(x), before)
    True
    >>> [(site.name, site.activation, site.channels) for site in sites(model)]
    [('hinged.relu_1', 'ReLU()', 8)]
    """
    _check(model, sharing, spread)
    seen = survey(model, data, CALL, gates=gates, activations=activations)
    plans = _planned(model, seen, _Settings(hinges, init, spread, sharing, tails), where)
    replaced, output = _installed(model, plans, seen)
    layers = _layers(plans)
    if not layers:
        got = f"a {type(model).__name__} with {len(plans)} activations, none to convert"
        hint = "hinged.sites(model, data) lists them and the reasons"
        message = errors.message(f"{CALL}(model)", got, hint)
        warnings.warn(message, errors.NoEffectWarning, stacklevel=2)
        return model
    update_optimizers(
        optimizers, layers, {id(p.found.call.module) for p in plans if p.layer is None}
    )
    notes = [*seen.notes, compared(seen.output, output, init == "same")]
    vars(replaced)[_SITES] = _together(_known(model), plans, notes)
    return replaced


def revert(model: nn.Module) -> nn.Module:
    """Put the original activations back where `convert` put curves, and forget the curves.

    Outputs and `state_dict` are then bit for bit those of the model that was converted, with
    whatever its other parameters have learned since.

    Args:
        model: a converted model, or a part of one; it is changed in place.

    Returns:
        The model.

    Raises:
        ArgumentError: nothing in it was converted.

    >>> model = convert(nn.Sequential(nn.Linear(2, 3), nn.GELU()), torch.randn(8, 2))
    >>> revert(model)[1]
    GELU(approximate='none')
    """
    if isinstance(model, PiecewiseLinear) and KEPT in vars(model):
        kept: Kept = vars(model)[KEPT]
        return kept.modules[""].train(model.training)
    changed = [module for module in model.modules() if KEPT in vars(module)]
    if not changed:
        got, hint = f"a {type(model).__name__} without converted sites", "convert it first"
        raise errors.ArgumentError(errors.message("hinged.revert(model)", got, hint))
    for module in changed:
        restore(module)
    for module in model.modules():
        vars(module).pop(_SITES, None)
    return model


def sites(
    model: nn.Module,
    data: Any = None,
    *,
    gates: bool = False,
    activations: Sequence[type[nn.Module]] = (),
) -> Sites:
    """Return the sites of a model: every place where it applies an activation.

    Of a converted model these are the sites that `convert` found, with their present hinges and
    ranges; with `data`, the share of the inputs outside is measured anew. Of another model,
    `convert` is tried on `data` without changing anything: what it would do, and why not.

    Args:
        model: a model.
        data: what `convert` takes; needed unless the model was converted.
        gates, activations: as in `convert`.

    Returns:
        The sites in the order of the forward pass; `print` shows a table.

    Raises:
        ArgumentError: neither data nor a converted model.

    >>> found = sites(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), torch.randn(8, 2))
    >>> found[0].name, found[0].channels, found[0].axis
    ('1', 3, -1)
    """
    known = _known(model)
    if known is not None:
        return _present(model, known, data)
    if data is None:
        got = f"a {type(model).__name__} that was not converted, and no data"
        hint = "give a batch: sites(model, data)"
        raise errors.ArgumentError(errors.message("hinged.sites(model)", got, hint))
    _check(model, "channel", 3.0, "hinged.sites")
    seen = survey(model, data, "hinged.sites", gates=gates, activations=activations)
    plans = _planned(model, seen, _Settings(), None)
    return Sites(tuple(plan.site for plan in plans), tuple(seen.notes))


@dataclass(frozen=True)
class _Settings:
    hinges: int = 9
    init: Start = "same"
    spread: float = 3.0
    sharing: str = "channel"
    tails: str = "linear"


@dataclass(eq=False)
class _Plan:
    found: Found
    site: Site
    layer: PiecewiseLinear | None


def _check(model: nn.Module, sharing: str, spread: float, call: str = CALL) -> None:
    if sharing not in SHARING:
        raise errors.unknown_name(f"{call}(sharing=...)", sharing, SHARING)
    if not 0 < spread < float("inf"):
        hint = "expected a positive number of standard deviations"
        raise errors.ArgumentError(errors.message(f"{call}(spread=...)", repr(spread), hint))
    if any(parameter.is_meta for parameter in model.parameters()):
        hint = "it must run: give it memory and weights first, as by to_empty(device='cpu')"
        got = "a model on the meta device"
        raise errors.ArgumentError(errors.message(f"{call}(model)", got, hint))
    kinds = {base.__name__ for module in model.modules() for base in type(module).__mro__}
    for wrapper in _WRAPPERS:
        if wrapper in kinds:
            hint = "convert the model itself (its .module) and wrap it afterwards"
            got = f"a model in {wrapper}"
            raise errors.ArgumentError(errors.message(f"{call}(model)", got, hint))
    for compiled in _COMPILED:
        if compiled in kinds:
            hint = "convert the model before it is compiled or scripted"
            raise errors.ArgumentError(errors.message(f"{call}(model)", f"a {compiled}", hint))


def _planned(
    model: nn.Module, seen: Survey, settings: _Settings, where: Where | None
) -> list[_Plan]:
    names = {id(module): name for name, module in model.named_modules()}
    dtypes = [parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()]
    for each in seen.found:  # Under autocast inputs are narrower than any parameter.
        if dtypes and each.call.dtype not in dtypes:
            each.call.dtype = dtypes[0]
    return [_plan(each, site_name(names, each), settings, where) for each in seen.found]


def _plan(found: Found, name: str, settings: _Settings, where: Where | None) -> _Plan:
    call = found.call
    site = Site(
        name,
        _described(call),
        call.channels,
        call.axis,
        calls=call.count,
        source=call.place.words,
        skipped=found.skipped,
    )
    if site.skipped:
        return _Plan(found, site, None)
    try:
        layer = _layer(call, settings)
    except errors.ArgumentError as refused:
        raise errors.ArgumentError(f"At site {name!r}, {_described(call)}: {refused}") from None
    ends = (layer.hinges.min().item(), layer.hinges.max().item())
    site = replace(
        site,
        hinges=layer.hinges.shape[-1],
        range=ends,
        outside=call.histogram.share_outside(*ends).item(),
        error=layer.start_error,
        note="one curve for all: the channel axis is not known" if call.axis is None else "",
    )
    if where is not None and not where(site):
        return _Plan(found, replace(site, skipped="where=... says so"), None)
    return _Plan(found, site, layer)


def _described(call: Call) -> str:
    """Return how `print` shows an activation, without saying whether it works in place."""
    shown = call.native if call.module is None else call.module
    return re.sub(r"(, )?inplace=(True|False)", "", str(shown))


def _layer(call: Call, settings: _Settings) -> PiecewiseLinear:
    mean, std = call.inputs.mean.item(), call.inputs.std.item()
    half = settings.spread * (std if std > 0 else 1.0)
    with torch.inference_mode(False):  # What is made in that mode cannot be trained.
        layer = PiecewiseLinear(
            call.channels if settings.sharing == "channel" else 1,
            settings.hinges,
            (mean - half, mean + half),
            call.native if settings.init == "same" else settings.init,
            dim=1 if call.axis is None else call.axis,
            tails=settings.tails,
            device=call.inputs.mean.device,
            dtype=call.dtype,
        )
    training = call.module.training if call.module is not None else True
    return layer.train(training)


class _MissedError(Exception):
    """Some layers are not reached."""


def _layers(plans: list[_Plan]) -> Layers:
    return [(plan.found, plan.layer) for plan in plans if plan.layer is not None]


def _installed(model: nn.Module, plans: list[_Plan], seen: Survey) -> tuple[nn.Module, Any]:
    """Install the layers and run the model on the first batch; do without those that this misses.

    A model may call an activation by a reference that nobody sees, as from a list of its own.
    """
    while True:
        layers = _layers(plans)
        if not layers:
            return model, None
        try:
            with all_or_nothing(model):
                replaced = install(model, layers)
                output, called = run_with(replaced, layers, seen.inputs)
                missed = [p for p in plans if p.layer and p.found.reached and p.layer not in called]
                if missed:
                    raise _MissedError
                return replaced, output
        except _MissedError:
            for plan in missed:
                why = "the model calls it in a way that a curve in its place would not be reached"
                plan.site, plan.layer = replace(plan.site, skipped=why), None


def _known(model: nn.Module) -> Sites | None:
    """Return the sites of earlier conversions of the model and of parts of it."""
    kept = {name: vars(m)[_SITES] for name, m in model.named_modules() if _SITES in vars(m)}
    if not kept:
        return None
    every: list[Site] = []
    for part, found in kept.items():
        named = (replace(site, name=f"{part}.{site.name}".strip(".")) for site in found)
        every += [site for site in named if site.name not in [each.name for each in every]]
    return Sites(tuple(every), kept[""].notes if "" in kept else ())


def _together(before: Sites | None, plans: list[_Plan], notes: list[str]) -> Sites:
    """Return the sites of this conversion and those that an earlier one has converted."""
    earlier = () if before is None else before.converted
    return Sites((*earlier, *(plan.site for plan in plans)), tuple(notes))


def _present(model: nn.Module, known: Sites, data: Any) -> Sites:
    """Return the sites with the hinges that their layers have now."""
    modules = dict(model.named_modules(remove_duplicate=False))
    layers = {n: m for n, m in modules.items() if isinstance(m, PiecewiseLinear)}
    seen = {} if data is None or not layers else collect_statistics(model, data, "hinged.sites")
    now = []
    for site in known:
        layer = layers.get(site.name)
        if layer is None:
            folded = "" if site.skipped else f"now {modules.get(site.name)}"
            now.append(replace(site, note=site.note or folded))
            continue
        ends = (layer.hinges.min().item(), layer.hinges.max().item())
        outside = site.outside
        if site.name in seen:
            outside = seen[site.name].lines.share_outside.mean().item()
        now.append(replace(site, hinges=layer.hinges.shape[-1], range=ends, outside=outside))
    return Sites(tuple(now), known.notes)
