"""Finds the `PiecewiseLinear` layers of a model."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from hinged import errors
from hinged.curve import Curve
from hinged.nn.piecewise_linear import PiecewiseLinear


def curve_layers(model: nn.Module, call: str) -> dict[str, PiecewiseLinear]:
    """Return the layers of curves in a model by name, each layer once.

    Raises:
        ArgumentError: the model has none; the message names `call`, the public function.

    >>> list(curve_layers(nn.Sequential(nn.Linear(2, 3), PiecewiseLinear(3)), "a call"))
    ['1']
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, PiecewiseLinear)}
    if not layers:
        got = f"a {type(model).__name__} without curves"
        hint = "convert it first, as in hinged.convert(model, batch)"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return layers


def check_start_curves(
    call: str, start: Mapping[str, Curve], layers: Mapping[str, PiecewiseLinear]
) -> None:
    """Raise `ArgumentError` unless `start` has one curve for each of `layers`, under its name."""
    if start.keys() != layers.keys():
        got = f"curves of {sorted(start.keys() ^ layers.keys())} in one and not in the other"
        hint = "take start from hinged.copy_curves(model) of this model"
        raise errors.ArgumentError(errors.message(f"{call}(start=...)", got, hint))
