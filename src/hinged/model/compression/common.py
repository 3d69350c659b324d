"""Checks and counts that `simplify`, `share` and `to_native` have in common."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real

from torch import Tensor, nn
from torch.nn.utils import parametrize

from hinged import errors
from hinged.model.observation.batches import Batches
from hinged.model.observation.histogram import Histogram
from hinged.model.observation.layer_statistics import collect_custom_statistics
from hinged.nn import PiecewiseLinear, is_constrained

BOUNDED_TAIL_WIDTHS = 1.0
"""Errors are limited up to this distance outside the first and last hinge.

The unit is the distance from the first to the last hinge.
"""


def check_tolerance(call: str, tolerance: float) -> None:
    """Raise `ArgumentError` if `tolerance` is not a number of at least 0.

    `call` is the name of the public function, for the error message.
    """
    if not isinstance(tolerance, Real) or not float(tolerance) >= 0:
        hint = "expected a number of 0 or more, in units of the outputs of the activations"
        shown = errors.shown(tolerance)
        raise errors.ArgumentError(errors.message(f"{call}(tolerance=...)", shown, hint))


def reason_to_skip(layer: PiecewiseLinear) -> str:
    """Return why the curves of a layer must not be changed; empty if they may be changed.

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
    """Return why a layer is not changed, if it received no inputs when the model ran on the data.

    The result is empty if the layer received inputs, or if `histograms` is None (no data given).
    """
    return "no data reached it" if histograms is not None and name not in histograms else ""


def input_histograms(model: nn.Module, batches: Batches | None) -> dict[str, Histogram] | None:
    """Run a model on data, and return a histogram of the inputs of each curve layer, by its name.

    The result is None if there are no data (`batches` is None).
    """
    if batches is None:
        return None

    def histogram(layer: PiecewiseLinear, x: Tensor, _y: Tensor) -> Histogram:
        return Histogram.of(x, layer.channels, layer.dim)

    return collect_custom_statistics(model, batches, histogram)


def input_distribution(histograms: dict[str, Histogram] | None, name: str) -> dict[str, Tensor]:
    """Return the distribution of a layer's inputs as keyword arguments for `hinged.curve`.

    Args:
        histograms: the histograms of the inputs by the layer's name, or None.
        name: the layer's name.

    Returns:
        A dictionary with two tensors of shape `(C, B)` for `C` channels and `B` bins: `positions`
        (the inputs in the bins) and `shares` (the fraction of the inputs in each bin). The
        dictionary is empty if `histograms` is None.
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
