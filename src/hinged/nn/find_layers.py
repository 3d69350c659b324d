"""The layers of curves in a model."""

from __future__ import annotations

from torch import nn

from hinged import errors
from hinged.nn.piecewise_linear import PiecewiseLinear


def curve_layers(model: nn.Module, call: str) -> dict[str, PiecewiseLinear]:
    """Return the layers of curves by name, each once.

    Raises:
        ArgumentError: there are none; the sentence names `call`.

    >>> list(curve_layers(nn.Sequential(nn.Linear(2, 3), PiecewiseLinear(3)), "a call"))
    ['1']
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, PiecewiseLinear)}
    if not layers:
        got = f"a {type(model).__name__} without curves"
        hint = "convert it first, as in hinged.convert(model, batch)"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return layers
