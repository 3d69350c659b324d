"""`fit`: trains a network for many iterations and keeps the best weights."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hinged import errors
from hinged.optim.conjugate_gradient import conjugate_gradient
from hinged.optim.curve_step import check_activation
from hinged.optim.levenberg_marquardt import levenberg_marquardt
from hinged.optim.network import MLP
from hinged.optim.owo_bp import owo_bp
from hinged.optim.owo_molf import owo_molf

CALL = "hinged.optim.fit"

METHODS: dict[str, Callable[[MLP, Tensor, Tensor], Iterator[None]]] = {
    "cg": conjugate_gradient,
    "lm": levenberg_marquardt,
    "owo-bp": owo_bp,
    "owo-molf": owo_molf,
}
"""Each method is an iterator that improves a network in place, one iteration per item."""


@dataclass
class FitResult:
    """The errors and times of a training.

    Attributes:
        error: `E` after each iteration: squared errors summed over outputs, averaged over patterns.
        validation_error: the same for the validation patterns; empty without them.
        seconds: duration of each iteration.
        best: the number of iterations after which the network had its final weights.
    """

    error: list[float] = field(default_factory=list)
    validation_error: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best: int = 0


def fit(
    network: MLP,
    x: Tensor,
    y: Tensor,
    method: str = "owo-molf",
    *,
    epochs: int = 100,
    validation: tuple[Tensor, Tensor] | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> FitResult:
    """Train a network with one hidden layer, including its curves, by a second-order method.

    Curves that require gradients take their own step (`curve_step`) in every iteration. To keep
    them unchanged, call `network.activation.requires_grad_(False)`.

    Args:
        network: a network in float64 on the CPU; trained in place.
        x: training patterns, `(P, N)` float64.
        y: targets, `(P, M)` float64.
        method: a name in `METHODS`.
        epochs: number of iterations over all patterns.
        validation: patterns and targets; the network gets the weights that had the least error on
            them. Without validation it keeps the last weights.
        on_epoch: called after each iteration with the number of iterations so far.

    Returns:
        The errors of every iteration, and the best iteration.

    Raises:
        UnknownNameError: an unknown method.
        ArgumentError: an activation other than `hinged.PiecewiseLinear` with trainable parameters.
        DtypeError: network, patterns or targets that are not float64.

    >>> from hinged.nn import PiecewiseLinear
    >>> from hinged.optim import net_control
    >>> x = torch.linspace(-3, 3, 200, dtype=torch.float64)[:, None]
    >>> _ = torch.manual_seed(0)
    >>> network = MLP(1, 5, 1, PiecewiseLinear(5, hinges=9))
    >>> net_control(network, x)
    >>> fit(network, x, x.sin(), epochs=20).error[-1] < 1e-3
    True
    """
    if method not in METHODS:
        raise errors.unknown_name(f"{CALL}(method=...)", method, METHODS)
    check_activation(CALL, network)
    for name, tensor in _tensors(network, x, y, validation).items():
        if tensor.dtype != torch.float64:
            hint = "second-order steps need float64: convert network and data with .double()"
            raise errors.DtypeError(errors.message(CALL, f"{tensor.dtype} in {name}", hint))
    return _run(network, METHODS[method](network, x, y), epochs, (x, y), validation, on_epoch)


def mean_error(network: MLP, x: Tensor, y: Tensor) -> float:
    """Return `E`: squared errors summed over outputs, averaged over patterns.

    >>> network = MLP(2, 3, 2, torch.nn.ReLU())
    >>> x = torch.zeros(4, 2, dtype=torch.float64)
    >>> mean_error(network, x, network(x) + 1)
    2.0
    """
    with torch.no_grad():
        return float((y - network(x)).square().sum()) / len(x)


def _run(
    network: MLP,
    steps: Iterator[None],
    epochs: int,
    training: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor] | None,
    on_epoch: Callable[[int], None] | None,
) -> FitResult:
    result = FitResult()
    best_state: dict[str, Any] | None = None
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        next(steps)
        result.seconds.append(time.perf_counter() - started)
        result.error.append(mean_error(network, *training))
        if validation is not None:
            result.validation_error.append(mean_error(network, *validation))
            if result.validation_error[-1] <= min(result.validation_error):
                result.best, best_state = epoch, copy.deepcopy(network.state_dict())
        if on_epoch is not None:
            on_epoch(epoch)
    if best_state is None:
        result.best = epochs
    else:
        network.load_state_dict(best_state)
    return result


def _tensors(
    network: MLP, x: Tensor, y: Tensor, validation: tuple[Tensor, Tensor] | None
) -> dict[str, Tensor]:
    """Return all tensors that must be float64, by name."""
    validation_tensors = () if validation is None else validation
    named = {f"validation[{index}]": tensor for index, tensor in enumerate(validation_tensors)}
    return {"x": x, "y": y, **named, **dict(network.named_parameters())}
