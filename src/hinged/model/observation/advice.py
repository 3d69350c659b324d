"""Checks whether the curves of a layer show signs of a problem, and gives advice for each sign."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from hinged.curve import lipschitz, total_variation
from hinged.model.observation.layer_diagnosis import LayerDiagnosis

MIN_DEAD_SHARE = 0.1
"""Advice is given if at least this fraction of the units of a layer is dead (has a constant
output)."""
MIN_OUTSIDE_SHARE = 0.5
"""Advice is given if at least this fraction of the inputs lies outside the range (first to last
hinge).

In deep networks, a third of the inputs often lies outside and does no harm.
"""
MIN_STEEP_SLOPE = 10.0
"""Advice is given if the largest absolute slope of a layer's curves is at least this number.

A ReLU has the slope 1. Trained curves seldom have more than 5.
"""
MIN_SWEEPS = 2.2
"""Advice is given if the curves of a layer have at least this number of sweeps, on average.

The number of sweeps of a curve tells how often the curve runs up and down through its values. It is
the sum of the absolute differences between neighbouring values, divided by the difference between
the largest and the smallest value. It is 1 for a ReLU and 2 for |x|. In an experiment with failing
networks, the average was 1.2 to 1.3 at good learning rates, and 2.2 to 3.1 at learning rates ten
times as high.
"""
MIN_UNUSED_SHARE = 0.5
"""Advice is given if at least this fraction of the lines (pieces and tails of curves) has no
inputs."""
MIN_HINGES = 4
"""Advice is given if the curves of a layer have fewer hinges than this number.

In an experiment with several numbers of hinges, curves with fewer hinges learned little.
"""
MIN_TRAVEL = 0.02
"""Advice is given if the curves of a layer have travelled less than this from their start, relative
to the scale of their inputs.

In an experiment with several learning rates of curves, networks in which all curves had travelled
less than this had at most a fifth of the gain of curves.
"""


class Advice(NamedTuple):
    """Advice on one problem in one layer.

    Attributes:
        sign: the name of the sign that shows the problem, a key of `SIGNS`.
        layer: the layer's name in the model.
        text: a sentence that describes the sign and the remedy.
    """

    sign: str
    layer: str
    text: str


def advice(name: str, layer: LayerDiagnosis) -> Iterator[Advice]:
    """Yield one `Advice` for each sign of a problem in a layer."""
    for sign, check in SIGNS.items():
        text = check(layer)
        if text is not None:
            yield Advice(sign, name, f"{name or 'the layer'}: {text}")


def _not_finite(layer: LayerDiagnosis) -> str | None:
    if layer.curve.values.isfinite().all():
        return None
    return (
        "values are NaN or infinite: train again with a lower learning rate, or clip the gradients"
    )


def _dead(layer: LayerDiagnosis) -> str | None:
    dead, channels = int(layer.dead.sum()), layer.curve.channels
    if dead < MIN_DEAD_SHARE * channels or not dead:
        return None
    return (
        f"{dead} of {channels} units are dead: lower the learning rate, put a normalisation layer "
        'before the curves, or start the curves as a leaky ReLU (init="leaky_relu")'
    )


def _outside(layer: LayerDiagnosis) -> str | None:
    share = layer.share_outside.mean().item()
    if share < MIN_OUTSIDE_SHARE:
        return None
    return (
        f"{share:.0%} of the inputs lie outside the range of the hinges, where curves cannot bend: "
        "call hinged.calibrate(model, data), which moves the hinges to the inputs"
    )


def _steep(layer: LayerDiagnosis) -> str | None:
    steepest = lipschitz(layer.curve).max().item()
    if not MIN_STEEP_SLOPE <= steepest < float("inf"):
        return None
    return (
        f"slopes reach {steepest:.1f}: lower the learning rate of the curves "
        "(hinged.param_groups(curve_lr=...)), or call hinged.constrain(model, lipschitz=...)"
    )


def _oscillating(layer: LayerDiagnosis) -> str | None:
    values = layer.curve.values
    height = values.amax(dim=1) - values.amin(dim=1)
    not_flat = height > 0
    sweeps = (total_variation(layer.curve, order=1) / height)[not_flat].mean().item()
    if not MIN_SWEEPS <= sweeps < float("inf"):
        return None
    return (
        f"curves run up and down through their values {sweeps:.1f} times on average: lower the "
        "learning rate of curves and weights, or add hinged.penalty(model) to the loss"
    )


def _unused(layer: LayerDiagnosis) -> str | None:
    unused = layer.statistics.lines.never_hit.double().mean().item()
    if unused < MIN_UNUSED_SHARE:
        return None
    return (
        f"{unused:.0%} of the lines (pieces and tails of curves) had no inputs: use fewer hinges, "
        "or move the hinges to the inputs with hinged.calibrate(model, data)"
    )


def _few(layer: LayerDiagnosis) -> str | None:
    hinges = layer.curve.values.shape[1]
    if hinges >= MIN_HINGES:
        return None
    return f"curves with {hinges} hinges can learn little: try 5 to 17 hinges"


def _short_travel(layer: LayerDiagnosis) -> str | None:
    travel = layer.travel
    if travel is None or not layer.trainable:
        return None
    distance = travel.square().mean().sqrt().item()
    if distance == 0:
        return (
            "curves are the same as at the start: check that an optimizer trains them "
            "(hinged.param_groups)"
        )
    if not distance < MIN_TRAVEL:
        return None
    return (
        f"curves moved by only {distance:.1%} of the scale of their inputs: raise their learning "
        "rate (hinged.param_groups(curve_lr=...)), lower curve_decay, or train longer"
    )


SIGNS: dict[str, Callable[[LayerDiagnosis], str | None]] = {
    "not finite": _not_finite,
    "dead units": _dead,
    "inputs outside": _outside,
    "steep": _steep,
    "oscillating": _oscillating,
    "unused lines": _unused,
    "few hinges": _few,
    "short travel": _short_travel,
}
"""For each sign of a problem, by its name, the function that checks a layer for this sign.

The function returns a sentence of advice if the layer shows the sign, and None otherwise. `advice`
calls the functions in this order.
"""
