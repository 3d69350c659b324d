"""A light check through training that inputs have not left the range of their curves."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.model.observation.histogram import by_channel
from hinged.nn import PiecewiseLinear, curve_layers

CALL = "hinged.monitor_range"


def monitor_range(model: nn.Module, *, every: int = 100, most: float = 0.05) -> RangeMonitor:
    """Warn from now on when more than a share of a layer's inputs leave its range.

    Beyond the first and last hinge a curve has no values of its own to train. Each layer looks at
    the inputs of its first call and then of every so-manieth; a call between costs a count. What
    has been warned of is not warned of again before it was well in between. Compiled code runs no
    hooks: there it looks at nothing.

    Args:
        model: any module with `PiecewiseLinear` layers; it computes what it did.
        every: how many calls of a layer pass from one look to the next.
        most: the share of the inputs that may lie outside.

    Returns:
        A handle; `remove()` or the end of its `with` block ends the watch.

    Raises:
        ArgumentError: a model without curves, a count below 1 or a share outside 0 to 1.

    Warns:
        OutsideRangeWarning: names the layer, the share and the range.

    >>> import warnings
    >>> model = nn.Sequential(nn.Linear(2, 8), PiecewiseLinear(8))
    >>> with warnings.catch_warnings(record=True) as said, monitor_range(model, most=0.1) as watch:
    ...     warnings.simplefilter("always")
    ...     _ = model(100 * torch.randn(64, 2))
    >>> said[0].category.__name__, watch.outside["1"] > 0.1
    ('OutsideRangeWarning', True)
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        hint = "expected a whole number of calls, at least 1"
        raise errors.ArgumentError(errors.message(f"{CALL}(every=...)", repr(every), hint))
    if not 0 <= most <= 1:
        hint = "expected a share of the inputs, 0 to 1"
        raise errors.ArgumentError(errors.message(f"{CALL}(most=...)", repr(most), hint))
    return RangeMonitor(model, every, most)


class RangeMonitor:
    """The handle that `monitor_range` returns.

    Attributes:
        outside: the share of its inputs outside its range that each layer saw at its last look.
    """

    def __init__(self, model: nn.Module, every: int, most: float) -> None:
        self.every = every
        self.most = most
        self.outside: dict[str, float] = {}
        self._warned: set[str] = set()
        self._handles = [
            layer.register_forward_hook(self._looker(name))
            for name, layer in curve_layers(model, CALL).items()
        ]

    def remove(self) -> None:
        """End the watch."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> RangeMonitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def _looker(self, name: str) -> Callable[..., None]:
        calls = 0

        def look(layer: PiecewiseLinear, args: tuple[Any, ...], _y: Tensor) -> None:
            nonlocal calls
            if torch.compiler.is_compiling():
                return
            if calls % self.every == 0 and args[0].numel():
                self._look(name, layer, args[0])
            calls += 1

        return look

    def _look(self, name: str, layer: PiecewiseLinear, x: Tensor) -> None:
        rows, hinges = by_channel(x, layer.channels, layer.dim), layer.hinges
        beyond = (rows < hinges[..., :1]) | (rows >= hinges[..., -1:])
        share = self.outside[name] = beyond.double().mean().item()
        if share <= self.most:
            self._warned.discard(name)
        elif name not in self._warned:
            self._warned.add(name)
            low, high = hinges.min().item(), hinges.max().item()
            got = f"{share:.1%} of the inputs outside the range, {low:.3g} to {high:.3g}"
            hint = "hinged.calibrate(model, data) moves the hinges to where the inputs are"
            message = errors.message(f"{CALL}({name or 'the layer'})", got, hint)
            warnings.warn(message, errors.OutsideRangeWarning, stacklevel=2)
