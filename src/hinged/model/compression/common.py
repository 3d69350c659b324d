"""Checks and counts that `simplify`, `share` and `to_native` have in common."""

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
"""How far beyond the first and last hinge errors are bounded, in widths of the range."""


def check_tolerance(call: str, tolerance: float) -> None:
    """Raise `ArgumentError` that names `call` unless `tolerance` is a number of at least 0."""
    if not isinstance(tolerance, Real) or not float(tolerance) >= 0:
        hint = "expected a number of 0 or more, in units of the outputs of the activations"
        raise errors.ArgumentError(errors.message(f"{call}(tolerance=...)", repr(tolerance), hint))


def reason_to_skip(layer: PiecewiseLinear) -> str:
    """Return why the curves of a layer must not be changed, or an empty string.

    >>> reason_to_skip(PiecewiseLinear(2, device="meta"))
    'it is on the meta device'
    """
    if parametrize.is_parametrized(layer):
        return "its values have a parametrization of torch"
    if is_constrained(layer):
        return "it has a constraint; hinged.constrain(model) removes the constraint"
    tensors = [layer.hinges, *layer.parameters()]
    if any(tensor.is_meta for tensor in tensors):
        return "it is on the meta device"
    if not all(tensor.isfinite().all() for tensor in tensors):
        return "it holds NaN or infinity"
    return ""


def reason_without_inputs(histograms: dict[str, Histogram] | None, name: str) -> str:
    """Return the reason not to change a layer that the model did not call on the data.

    The result is an empty string if the layer was called, or if `histograms` is None.
    """
    return "no data reached it" if histograms is not None and name not in histograms else ""


def input_histograms(model: nn.Module, data: Any, call: str) -> dict[str, Histogram] | None:
    """Return a histogram of the inputs of each curve layer, or None if `data` is None."""
    if data is None:
        return None

    def histogram(layer: PiecewiseLinear, x: Tensor, _y: Tensor) -> Histogram:
        return Histogram.of(x, layer.channels, layer.dim)

    return collect_custom_statistics(model, data, histogram, call)


def input_distribution(histograms: dict[str, Histogram] | None, name: str) -> dict[str, Tensor]:
    """Return the inputs of a layer as keyword arguments for functions of `hinged.curve`.

    Args:
        histograms: the histograms of the inputs by the layer's name, or None.
        name: the layer's name.

    Returns:
        A dictionary with `positions` and `shares`, both of shape `(C, B)` for `B` bins. It is empty
        if `histograms` is None.
    """
    if histograms is None:
        return {}
    positions, shares = histograms[name].points()
    return {"positions": positions, "shares": shares}


def parameter_count(layer: PiecewiseLinear) -> int:
    """Return the number of entries in all parameters of a layer."""
    return sum(parameter.numel() for parameter in layer.parameters())


def sum_counts(counts: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Return the sums of the first and of the second entries of pairs `(before, after)`.

    >>> sum_counts([(9, 3), (18, 18)])
    (27, 21)
    """
    before, after = zip(*counts, strict=True)
    return sum(before), sum(after)
