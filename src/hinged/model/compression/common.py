"""What the verbs that make trained curves simpler have in common."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from hinged import errors
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.layer_statistics import collect
from hinged.nn import PiecewiseLinear, is_constrained

REACH = 1.0
"""How far beyond the range the largest difference is bounded, in widths of the range."""
UNREACHED = "no data reached it"


def check_tolerance(call: str, tolerance: float) -> None:
    """Raise `ArgumentError` unless a tolerance is 0 or more."""
    if not isinstance(tolerance, Real) or not float(tolerance) >= 0:
        hint = "expected 0 or more, in units of the activations' outputs"
        raise errors.ArgumentError(errors.message(f"{call}(tolerance=...)", repr(tolerance), hint))


def why_left_alone(layer: PiecewiseLinear) -> str:
    """Return why the curves of a layer are not to be exchanged, or an empty string.

    >>> why_left_alone(PiecewiseLinear(2, device="meta"))
    'it is on the meta device'
    """
    if parametrize.is_parametrized(layer):
        return "its values are parametrised"
    if is_constrained(layer):
        return "it is held to a constraint; hinged.constrain(model) lifts it"
    tensors = [layer.hinges, *layer.parameters()]
    if any(tensor.is_meta for tensor in tensors):
        return "it is on the meta device"
    if not all(tensor.isfinite().all() for tensor in tensors):
        return "it holds NaN or infinity"
    return ""


def histograms(model: nn.Module, data: Any, call: str) -> dict[str, Histogram] | None:
    """Return histograms of what reaches each layer, or None where no data is given."""
    if data is None:
        return None

    def histogram(layer: PiecewiseLinear, x: Tensor, _y: Tensor) -> Histogram:
        return Histogram.of(x, layer.channels, layer.dim)

    return collect(model, data, histogram, call)


def inputs(seen: dict[str, Histogram] | None, name: str) -> dict[str, Tensor]:
    """Return the inputs of a layer as what `hinged.curve` takes: `positions` and `shares`."""
    if seen is None:
        return {}
    positions, shares = seen[name].points()
    return {"positions": positions, "shares": shares}


def parameters(layer: PiecewiseLinear) -> int:
    """Return how many numbers a layer trains."""
    return sum(parameter.numel() for parameter in layer.parameters())


def total(parameters: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the sums of numbers before and after.

    >>> total([(9, 3), (18, 18)])
    (27, 21)
    """
    before, after = zip(*parameters, strict=True)
    return sum(before), sum(after)
