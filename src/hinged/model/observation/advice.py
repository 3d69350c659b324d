"""Signs that a layer's curves work badly, each with a sentence on what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from hinged.curve import lipschitz, total_variation
from hinged.model.observation.layer_diagnosis import LayerDiagnosis

MIN_DEAD_SHARE = 0.1
"""Share of dead units from which on there is advice."""
MIN_OUTSIDE_SHARE = 0.5
"""Share of inputs outside the range. In deep networks a third is common and does no harm."""
MIN_STEEP_SLOPE = 10.0
"""Slope from which on there is advice. A ReLU has 1; trained curves seldom have more than 5."""
MIN_SWEEPS = 2.2
"""How many times curves sweep through all their values, on average over channels.

A ReLU does it once, |x| twice. In the study of failures, trained layers came to 1.2 to 1.3 at good
learning rates and to 2.2 to 3.1 at rates ten times as high.
"""
MIN_UNUSED_SHARE = 0.5
"""Share of lines without inputs."""
MIN_HINGES = 4
"""Fewer hinges leave little to learn; the study of hinges has the figures."""


class Advice(NamedTuple):
    """What to do about one sign in one layer.

    Attributes:
        sign: the sign that was found, a key of `SIGNS`.
        layer: the layer's name.
        text: the sign and the remedy in a sentence.
    """

    sign: str
    layer: str
    text: str


def advice(name: str, layer: LayerDiagnosis) -> Iterator[Advice]:
    """Yield the advice for a layer; nothing if all is well."""
    for sign, check in SIGNS.items():
        text = check(layer)
        if text is not None:
            yield Advice(sign, name, f"{name or 'the layer'}: {text}")


def _not_finite(layer: LayerDiagnosis) -> str | None:
    if layer.curve.values.isfinite().all():
        return None
    return "values are not finite: train again with a lower learning rate, or clip gradients"


def _dead(layer: LayerDiagnosis) -> str | None:
    dead, channels = int(layer.dead.sum()), layer.curve.channels
    if dead < MIN_DEAD_SHARE * channels or not dead:
        return None
    return (
        f"{dead} of {channels} units are dead: lower the learning rate, normalise before the "
        'curves, or start them with a slope on both sides (init="leaky_relu")'
    )


def _outside(layer: LayerDiagnosis) -> str | None:
    share = layer.share_outside.mean().item()
    if share < MIN_OUTSIDE_SHARE:
        return None
    return (
        f"{share:.0%} of the inputs lie outside the range, where curves are straight: "
        "hinged.calibrate(model, data) moves the hinges to them"
    )


def _steep(layer: LayerDiagnosis) -> str | None:
    steepest = lipschitz(layer.curve).max().item()
    if not MIN_STEEP_SLOPE <= steepest < float("inf"):
        return None
    return (
        f"slopes reach {steepest:.1f}: lower the curves' learning rate "
        "(hinged.param_groups(curve_lr=...)), or hinged.constrain(model, lipschitz=...)"
    )


def _oscillating(layer: LayerDiagnosis) -> str | None:
    values = layer.curve.values
    height = values.amax(dim=1) - values.amin(dim=1)
    not_flat = height > 0
    sweeps = (total_variation(layer.curve, order=1) / height)[not_flat].mean().item()
    if not MIN_SWEEPS <= sweeps < float("inf"):
        return None
    return (
        f"curves run up and down through their values {sweeps:.1f} times: lower the learning rate "
        "of curves and weights, or add hinged.penalty(model) to the loss"
    )


def _unused(layer: LayerDiagnosis) -> str | None:
    unused = layer.statistics.lines.never_hit.double().mean().item()
    if unused < MIN_UNUSED_SHARE:
        return None
    return (
        f"no input hits {unused:.0%} of the lines: use fewer hinges, or move them to the inputs "
        "with hinged.calibrate(model, data)"
    )


def _few(layer: LayerDiagnosis) -> str | None:
    hinges = layer.curve.values.shape[1]
    if hinges >= MIN_HINGES:
        return None
    return f"{hinges} hinges leave little to learn: try 5 to 17"


SIGNS: dict[str, Callable[[LayerDiagnosis], str | None]] = {
    "not finite": _not_finite,
    "dead units": _dead,
    "inputs outside": _outside,
    "steep": _steep,
    "oscillating": _oscillating,
    "unused lines": _unused,
    "few hinges": _few,
}
"""Checks by the name of the sign, in the order of the advice."""
