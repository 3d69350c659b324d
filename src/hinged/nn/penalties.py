"""`penalty`: a term of the loss that makes curves simpler."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.measures import squared_distance, total_variation
from hinged.nn.find_layers import check_start_curves, curve_layers
from hinged.nn.piecewise_linear import PiecewiseLinear

KINDS = ("curvature", "differences", "drift")
REDUCTIONS = ("mean", "sum")
CALL = "hinged.penalty"


def penalty(
    model: nn.Module,
    kind: str = "curvature",
    *,
    start: Mapping[str, Curve] | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Return a penalty on all curves of a model, a term to multiply by a weight and add to the
    loss.

    The argument `kind` selects the measure of each curve (see `hinged.curve.measures`):

    - `"curvature"` is the sum of the absolute changes of slope at the hinges, the total variation
      of second order. This penalty makes curves straighter. `hinged.simplify` can then remove
      hinges.
    - `"differences"` is the sum of the absolute differences between values at neighbouring hinges.
      This penalty makes curves flatter.
    - `"drift"` is the integral of the squared difference between a curve and its curve in `start`,
      from the first to the last hinge. This penalty keeps curves close to `start`.

    A penalty changes which curves are best. If curves overfit, first raise `curve_decay` in
    `hinged.param_groups`, which pulls them to their start: this pull does not depend on the loss.

    Args:
        model: a model with `PiecewiseLinear` layers, or one such layer.
        kind: `"curvature"`, `"differences"` or `"drift"`.
        start: for `"drift"`, the curves of each layer by layer name, from
            `hinged.copy_curves(model)`. None for the other kinds.
        reduction: `"mean"` for the mean over all curves of all layers, which does not grow with the
            model, or `"sum"` for their sum.

    Returns:
        The penalty, a differentiable scalar tensor on the device of the first layer. Its dtype is
        float32, or float64 if a layer is in float64.

    Raises:
        ArgumentError: if the model has no curves, if `kind` is `"drift"` and `start` is None, if
            `kind` is not `"drift"` and `start` is given, or if `start` has other layers than the
            model.
        UnknownNameError: if `kind` or `reduction` is none of the names above.

    >>> import hinged, torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 4), hinged.PiecewiseLinear(4), nn.Linear(4, 1))
    >>> start = hinged.copy_curves(model)
    >>> hinged.penalty(model).item(), hinged.penalty(model, "drift", start=start).item()
    (1.0, 0.0)
    >>> loss = model(torch.randn(8, 2)).square().mean() + 1e-3 * hinged.penalty(model, "curvature")
    >>> loss.backward()
    """
    if kind not in KINDS:
        raise errors.unknown_name(f"{CALL}(kind=...)", kind, KINDS)
    if reduction not in REDUCTIONS:
        raise errors.unknown_name(f"{CALL}(reduction=...)", reduction, REDUCTIONS)
    layers = curve_layers(model, CALL)
    _check_start(kind, start, layers)
    parts = [
        _measure(kind, _in_float32(layer.curve()), start[name] if start is not None else None)
        for name, layer in layers.items()
    ]
    widest = functools.reduce(torch.promote_types, [part.dtype for part in parts])
    all_curves = torch.cat([part.to(parts[0].device, widest) for part in parts])
    return all_curves.mean() if reduction == "mean" else all_curves.sum()


def _measure(kind: str, curve: Curve, start: Curve | None) -> Tensor:
    if start is not None:
        return squared_distance(curve, _in_float32(start, curve.values))
    return total_variation(curve, order=2 if kind == "curvature" else 1)


def _in_float32(curve: Curve, like: Tensor | None = None) -> Curve:
    """Return a copy of a curve on the device of `like`, in float64 if `like` is in float64 and else
    in float32.

    If `like` is None, the values of the curve take its place. Sums in half precision would be too
    inexact.
    """
    values = curve.values if like is None else like
    wide = torch.promote_types(values.dtype, torch.float32)
    hinges, heights = (each.to(values.device, wide) for each in (curve.hinges, curve.values))
    ends = None if curve.tail_slopes is None else curve.tail_slopes.to(values.device, wide)
    return Curve(hinges, heights, curve.tails, ends)


def _check_start(
    kind: str, start: Mapping[str, Curve] | None, layers: Mapping[str, PiecewiseLinear]
) -> None:
    if (kind == "drift") != (start is not None):
        got = f"kind={kind!r} {'without' if start is None else 'with'} a start"
        hint = (
            '"drift" needs start=hinged.copy_curves(model) from before the training, and the other '
            "kinds need no start"
        )
        raise errors.ArgumentError(errors.message(f"{CALL}(start=...)", got, hint))
    if start is not None:
        check_start_curves(CALL, start, layers)
