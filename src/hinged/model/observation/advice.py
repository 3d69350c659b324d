"""Signs that curves do badly, and what to do about each, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from hinged.curve import lipschitz, total_variation
from hinged.model.observation.layer_diagnosis import LayerDiagnosis

DEAD = 0.1
"""Share of dead units from which on it is said."""
OUTSIDE = 0.5
"""Share of inputs outside the range; a third is common in deep networks and does no harm."""
STEEP = 10.0
"""Slope; a ReLU has 1, and trained curves seldom more than 5."""
RUNS = 2.2
"""How often curves run through all their values, on average over channels; a ReLU does it once, |x|
twice. Layers trained in the study of failures came to 1.2 to 1.3 where rates were right, and to 2.2
to 3.1 where they were ten times as high."""
UNUSED = 0.5
"""Share of lines that no input hits."""
FEW = 4
"""Fewer hinges leave little to learn: the study of hinges has the figures."""


class Advice(NamedTuple):
    """One thing to do about one layer.

    Attributes:
        sign: what is seen, a key of `SIGNS`.
        layer: the layer's name.
        text: sign and cure in a sentence.
    """

    sign: str
    layer: str
    text: str


def advice(name: str, layer: LayerDiagnosis) -> Iterator[Advice]:
    """Yield what there is to say of a layer; nothing where nothing is wrong."""
    for sign, look in SIGNS.items():
        text = look(layer)
        if text is not None:
            yield Advice(sign, name, f"{name or 'the layer'}: {text}")


def _not_finite(layer: LayerDiagnosis) -> str | None:
    if layer.curve.values.isfinite().all():
        return None
    return "values are not finite: train again with a lower learning rate, or clip gradients"


def _dead(layer: LayerDiagnosis) -> str | None:
    dead, channels = int(layer.dead.sum()), layer.curve.channels
    if dead < DEAD * channels or not dead:
        return None
    return (
        f"{dead} of {channels} units are dead: lower the learning rate, normalise before the "
        'curves, or start them with a slope on both sides (init="leaky_relu")'
    )


def _outside(layer: LayerDiagnosis) -> str | None:
    share = layer.share_outside.mean().item()
    if share < OUTSIDE:
        return None
    return (
        f"{share:.0%} of the inputs lie outside the range, where curves are straight: "
        "hinged.calibrate(model, data) moves the hinges to them"
    )


def _steep(layer: LayerDiagnosis) -> str | None:
    steepest = lipschitz(layer.curve).max().item()
    if not STEEP <= steepest < float("inf"):
        return None
    return (
        f"slopes reach {steepest:.1f}: lower the curves' learning rate "
        "(hinged.param_groups(curve_lr=...)), or hinged.constrain(model, lipschitz=...)"
    )


def _oscillating(layer: LayerDiagnosis) -> str | None:
    values = layer.curve.values
    height = values.amax(dim=1) - values.amin(dim=1)
    lively = height > 0
    runs = (total_variation(layer.curve, order=1) / height)[lively].mean().item()
    if not RUNS <= runs < float("inf"):
        return None
    return (
        f"curves run up and down through their values {runs:.1f} times: lower the learning rate, "
        "that of the weights too, or add hinged.penalty(model) to the loss"
    )


def _unused(layer: LayerDiagnosis) -> str | None:
    unused = layer.seen.lines.never_hit.double().mean().item()
    if unused < UNUSED:
        return None
    return (
        f"no input hits {unused:.0%} of the lines: take fewer hinges, or move them to the inputs "
        "with hinged.calibrate(model, data)"
    )


def _few(layer: LayerDiagnosis) -> str | None:
    hinges = layer.curve.values.shape[1]
    if hinges >= FEW:
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
"""What is looked for, in the order in which it is told."""
