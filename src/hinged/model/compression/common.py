"""Checks and figures that `simplify`, `share` and `to_native` have in common."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from hinged import errors
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.layer_statistics import collect_custom_statistics
from hinged.nn import PiecewiseLinear, is_constrained

BOUNDED_TAIL_WIDTHS = 1.0
"""Errors are bounded this far beyond the range on both sides, in widths of the range."""


def check_tolerance(call: str, tolerance: float) -> None:
    """Raise `ArgumentError` unless a tolerance is 0 or more."""
    if not isinstance(tolerance, Real) or not float(tolerance) >= 0:
        hint = "expected 0 or more, in units of the activations' outputs"
        raise errors.ArgumentError(errors.message(f"{call}(tolerance=...)", repr(tolerance), hint))


def reason_to_skip(layer: PiecewiseLinear) -> str:
    """Return why the curves of a layer must not be replaced, or an empty string.

    >>> reason_to_skip(PiecewiseLinear(2, device="meta"))
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


def reason_without_inputs(histograms: dict[str, Histogram] | None, name: str) -> str:
    """Return that no data reached a layer, or an empty string."""
    return "no data reached it" if histograms is not None and name not in histograms else ""


def input_histograms(model: nn.Module, data: Any, call: str) -> dict[str, Histogram] | None:
    """Return a histogram of the inputs of each layer, or None without data."""
    if data is None:
        return None

    def histogram(layer: PiecewiseLinear, x: Tensor, _y: Tensor) -> Histogram:
        return Histogram.of(x, layer.channels, layer.dim)

    return collect_custom_statistics(model, data, histogram, call)


def input_distribution(histograms: dict[str, Histogram] | None, name: str) -> dict[str, Tensor]:
    """Return the arguments `positions` and `shares` of `hinged.curve` for the inputs of a layer.

    Without data there are none.
    """
    if histograms is None:
        return {}
    positions, shares = histograms[name].points()
    return {"positions": positions, "shares": shares}


def parameter_count(layer: PiecewiseLinear) -> int:
    """Return how many numbers are trained in a layer."""
    return sum(parameter.numel() for parameter in layer.parameters())


def sum_counts(counts: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the sums of the counts before and after.

    >>> sum_counts([(9, 3), (18, 18)])
    (27, 21)
    """
    before, after = zip(*counts, strict=True)
    return sum(before), sum(after)
