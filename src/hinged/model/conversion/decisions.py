"""Decides which activations are replaced, and builds the curves that replace them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import torch
from torch import nn

from hinged import errors
from hinged.curve.curve import TAILS
from hinged.curve.placement.fit_to_inputs import fit_to_inputs
from hinged.curve.start_functions import START_FUNCTIONS, Start, resolve_start
from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.candidates import Candidate
from hinged.model.conversion.targets import site_name
from hinged.model.observation.histogram import Histogram
from hinged.nn import PiecewiseLinear, Site
from hinged.nn.site import SHARING

Where = Callable[[Site], bool]
Hinges = int | Mapping[str, int] | Callable[[Site], int]
"""A number of hinges for all sites, numbers by name of the site, or a function of a `Site`."""
DEFAULT_HINGES = 9


@dataclass(frozen=True)
class Settings:
    """Settings of the curves: the arguments of `hinged.convert` that have the same names."""

    hinges: Hinges = DEFAULT_HINGES
    init: Start = "same"
    spread: float = 3.0
    sharing: str = "channel"
    tails: str = "linear"

    def check(self, call: str) -> None:
        """Raise `ArgumentError` if a setting is invalid for every activation.

        `call` is the name of the public function, for the error message.
        """
        numbers = self.hinges.values() if isinstance(self.hinges, Mapping) else [self.hinges]
        for number in [] if callable(self.hinges) else numbers:
            _check_number_of_hinges(number, call)
        if self.init != "same":
            resolve_start(self.init, f"{call}(init=...)", ("same", *START_FUNCTIONS))
        if self.tails not in TAILS:
            raise errors.unknown_name(f"{call}(tails=...)", self.tails, TAILS)
        if self.sharing not in SHARING:
            raise errors.unknown_name(f"{call}(sharing=...)", self.sharing, SHARING)
        if not (isinstance(self.spread, Real) and 0 < self.spread < float("inf")):
            got, hint = (
                errors.shown(self.spread),
                "expected a positive number of standard deviations",
            )
            raise errors.ArgumentError(errors.message(f"{call}(spread=...)", got, hint))

    def hinges_at(self, site: Site, call: str) -> int:
        """Return the number of hinges of the curves at a site.

        Raises:
            ArgumentError: if a function in `hinges` returns something else.
        """
        if isinstance(self.hinges, Mapping):
            return self.hinges.get(site.name, DEFAULT_HINGES)
        number = self.hinges(site) if callable(self.hinges) else self.hinges
        _check_number_of_hinges(number, call)
        return number


def _check_number_of_hinges(number: Any, call: str) -> None:
    if errors.is_whole_number(number):
        return
    hint = "expected a whole number of hinges for each curve"
    if isinstance(number, Sequence | torch.Tensor) and not isinstance(number, str):
        hint += ": their positions follow from the inputs of each activation. To choose positions, "
        hint += "put a hinged.PiecewiseLinear(hinges=[...]) into the model yourself"
    raise errors.ArgumentError(errors.message(f"{call}(hinges=...)", errors.shown(number), hint))


@dataclass(eq=False)
class Decision:
    """The decision whether one activation is replaced.

    Attributes:
        candidate: the activation that could be replaced.
        site: the description of this activation that `hinged.sites` shows.
        layer: the curve layer that replaces it, or None if it is not replaced.
    """

    candidate: Candidate
    site: Site
    layer: PiecewiseLinear | None

    def skip(self, reason: str) -> None:
        """Decide not to replace the activation, and record the reason for the user."""
        self.site, self.layer = replace(self.site, skipped=reason), None


def decide(
    model: nn.Module,
    candidates: list[Candidate],
    settings: Settings,
    call: str,
    where: Where | None = None,
) -> list[Decision]:
    """Decide whether each candidate is replaced, and build the curves that replace it.

    Args:
        model: the model that contains the candidates.
        candidates: the activations that could be replaced, from `find_candidates`.
        settings: the settings of the curves.
        call: the name of the public function for error messages.
        where: a function that takes a `Site` and returns whether to replace this activation. None
            replaces all.

    Returns:
        One decision for each candidate, in the same order.

    Raises:
        ArgumentError: if the settings cannot work for an activation, such as too few hinges. The
            message names the activation.
    """
    names = {id(module): name for name, module in model.named_modules()}
    dtypes = [parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()]
    decisions = []
    for candidate in candidates:
        observed = candidate.call
        if dtypes and observed.dtype not in dtypes:
            observed.dtype = dtypes[0]  # Autocast changed the dtype.
        name = site_name(observed, candidate.target, names)
        decision = _decide_one(candidate, name, settings, call)
        if decision.layer is not None and where is not None and not where(decision.site):
            decision.skip("the function given as where=... returned False")
        decisions.append(decision)
    known = {each.site.name for each in decisions}
    for name in settings.hinges if isinstance(settings.hinges, Mapping) else ():
        if name not in known:
            raise errors.unknown_name(f"{call}(hinges=...)", name, sorted(known))
    return decisions


def _decide_one(candidate: Candidate, name: str, settings: Settings, call: str) -> Decision:
    observed = candidate.call
    site = Site(
        name,
        _describe_activation(observed),
        observed.channels,
        observed.axis,
        calls=observed.count,
        source=observed.location.description,
        skipped=candidate.skipped,
    )
    if site.skipped:
        return Decision(candidate, site, None)
    try:
        layer = _build_layer(observed, settings, settings.hinges_at(site, call))
    except errors.ArgumentError as error:
        reason = re.sub(r"hinged\.[\w.]+(?=\((hinges|init|tails)\b)", call, str(error), count=1)
        raise errors.ArgumentError(f"At site {name!r}, {site.activation}: {reason}") from None
    ends = (layer.hinges.min().item(), layer.hinges.max().item())
    notes = ["closest fit"] if settings.init == "same" and layer.start_error > 0 else []
    if observed.axis is None:
        why = "their number can vary" if observed.channels_vary else "their axis is not known"
        notes.append(f"one curve for all channels: {why}")
    site = replace(
        site,
        hinges=layer.hinges.shape[-1],
        range=ends,
        outside=observed.histogram.share_outside(*ends).item(),
        error=layer.start_error,
        note="; ".join(notes),
    )
    return Decision(candidate, site, layer)


def _describe_activation(call: ActivationCall) -> str:
    """Return the activation as `print` shows it, without the argument `inplace`."""
    shown = call.native if call.module is None else call.module
    return re.sub(r"(, )?inplace=(True|False)", "", str(shown))


def _build_layer(call: ActivationCall, settings: Settings, hinges: int) -> PiecewiseLinear:
    mean, std = call.inputs.mean.item(), call.inputs.std.item()
    half = settings.spread * (std if std > 0 else 1.0)
    covered = (mean - half, mean + half)
    start: Start = call.native if settings.init == "same" else settings.init
    with torch.inference_mode(False):  # Tensors made in inference mode cannot be trained.
        layer = PiecewiseLinear(
            call.channels if settings.sharing == "channel" else 1,
            hinges,
            covered,
            start,
            dim=call.dim,
            tails=settings.tails,
            device=call.inputs.mean.device,
            dtype=call.dtype,
        )
        if layer.start_error > 0:
            _fit_to_inputs(layer, start, call.histogram, covered)
    return layer.train(call.module is None or call.module.training)


def _fit_to_inputs(
    layer: PiecewiseLinear, start: Start, inputs: Histogram, covered: tuple[float, float]
) -> None:
    """Let the curves of a layer start as the closest curves to a function on its inputs.

    Args:
        layer: the layer. If the fit fails, as for a function without a value at some input, its
            curves stay unchanged.
        start: the function.
        inputs: the inputs of all channels.
        covered: the interval that the hinges cover at least.
    """
    positions, shares = (tensor[0].cpu() for tensor in inputs.points())
    if not shares.any():
        return
    with contextlib.suppress(errors.ArgumentError):
        found = fit_to_inputs(
            start,
            positions,
            shares,
            layer.hinges.shape[-1],
            covered,
            channels=layer.channels,
            tails=layer.tails,
            dtype=layer.hinges.dtype,
        )
        layer.start_as(found.curve, found.error.max().item())
