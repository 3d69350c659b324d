"""Warns during training when many inputs of a curve layer lie outside its range."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.model.observation.channel_rows import channel_rows
from hinged.nn import PiecewiseLinear, curve_layers

CALL = "hinged.monitor_range"


def monitor_range(model: nn.Module, *, every: int = 100, max_outside: float = 0.05) -> RangeMonitor:
    """Warn, from now on, when too many inputs of a curve layer lie outside its range.

    The range of a `PiecewiseLinear` layer reaches from the first to the last hinge. Outside the
    range, the curve has no hinges and cannot bend. The monitor checks the first call of each layer
    and then every `every`-th call. After a warning about a layer, there is no second warning about
    this layer while its fraction of inputs outside stays above `max_outside`. Calls in compiled
    code are not checked, because they run no hooks.

    Args:
        model: any module with `PiecewiseLinear` layers. Its outputs do not change.
        every: the number of calls of a layer from one check to the next.
        max_outside: the largest fraction of inputs that may lie outside the range without a
            warning, from 0 to 1.

    Returns:
        A `RangeMonitor`. Call its `remove()` to end the monitoring, or use it in a `with` block.

    Raises:
        ArgumentError: if the model has no curves, `every` is below 1, or `max_outside` is not from
            0 to 1.

    Warns:
        OutsideRangeWarning: if the fraction of inputs outside the range is above `max_outside`. The
            message has the name of the layer, the fraction, and the range.

    >>> import hinged, torch, warnings
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8))
    >>> with warnings.catch_warnings(record=True) as caught, hinged.monitor_range(model) as monitor:
    ...     warnings.simplefilter("always")
    ...     _ = model(100 * torch.randn(64, 2))
    >>> caught[0].category.__name__, monitor.share_outside["1"] > 0.1
    ('OutsideRangeWarning', True)
    """
    if not errors.is_whole_number(every, 1):
        hint = "expected a whole number of calls, at least 1"
        raise errors.ArgumentError(errors.message(f"{CALL}(every=...)", errors.shown(every), hint))
    if not (isinstance(max_outside, Real) and 0 <= max_outside <= 1):
        hint = "expected a fraction of the inputs, from 0 to 1"
        got = errors.shown(max_outside)
        raise errors.ArgumentError(errors.message(f"{CALL}(max_outside=...)", got, hint))
    return RangeMonitor(model, every, max_outside)


class RangeMonitor:
    """A running monitor of the ranges of a model's curves; `monitor_range` returns it.

    Attributes:
        share_outside: the fraction of inputs outside the range at the last check, by the layer's
            name in the model.
    """

    def __init__(self, model: nn.Module, every: int, max_outside: float) -> None:
        self.every = every
        self.max_outside = max_outside
        self.share_outside: dict[str, float] = {}
        self._warned: set[str] = set()
        self._handles = [
            layer.register_forward_hook(self._make_hook(name))
            for name, layer in curve_layers(model, CALL).items()
        ]

    def remove(self) -> None:
        """Stop the monitoring."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> RangeMonitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _make_hook(self, name: str) -> Callable[..., None]:
        calls = 0

        def check_some_calls(layer: PiecewiseLinear, args: tuple[Any, ...], _y: Tensor) -> None:
            nonlocal calls
            if torch.compiler.is_compiling():
                return
            if calls % self.every == 0 and args[0].numel():
                self._check(name, layer, args[0])
            calls += 1

        return check_some_calls

    def _check(self, name: str, layer: PiecewiseLinear, x: Tensor) -> None:
        rows, hinges = channel_rows(x, layer.channels, layer.dim, CALL), layer.hinges
        outside = (rows < hinges[..., :1]) | (rows >= hinges[..., -1:])
        share = self.share_outside[name] = outside.double().mean().item()
        if share <= self.max_outside:
            self._warned.discard(name)
        elif name not in self._warned:
            self._warned.add(name)
            low, high = hinges.min().item(), hinges.max().item()
            got = f"{share:.1%} of the inputs outside the range, {low:.3g} to {high:.3g}"
            hint = "hinged.calibrate(model, data) moves the hinges to the inputs"
            message = errors.message(f"{CALL}({name or 'the layer'})", got, hint)
            warnings.warn(message, errors.OutsideRangeWarning, stacklevel=2)
