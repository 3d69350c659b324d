"""Training to the end, and keeping the best network."""

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
"""Each improves a network in place, one iteration each time it is asked to go on."""


@dataclass
class Fit:
    """How a training went.

    Attributes:
        error: `E` after each iteration: squared errors summed over outputs, averaged over patterns.
        validation_error: the same on the validation patterns; empty without them.
        seconds: of each iteration.
        best: the number of iterations after which the network was kept.
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
) -> Fit:
    """Train a network with one hidden layer by a second-order method, its curves included.

    Curves are trained where they require gradients, by a step of their own in every iteration
    (`curve_step`); `network.activation.requires_grad_(False)` keeps them as they are.

    Args:
        network: trained in place, in float64 and on the CPU.
        x: training patterns, `(P, N)` float64.
        y: targets, `(P, M)` float64.
        method: a name in `METHODS`.
        epochs: iterations over all patterns at most.
        validation: patterns and targets; the network is left as it was when its error on them was
            least. Without them it is left as it is at the end.
        on_epoch: called with the number of iterations done.

    Returns:
        The errors of every iteration and which was the best.

    Raises:
        UnknownNameError: an unknown method.
        ArgumentError: an activation with trained parameters that are no curves'.
        DtypeError: anything that is not float64.

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
) -> Fit:
    history = Fit()
    kept: dict[str, Any] | None = None
    for epoch in range(1, epochs + 1):
        started = time.perf_counter()
        next(steps)
        history.seconds.append(time.perf_counter() - started)
        history.error.append(mean_error(network, *training))
        if validation is not None:
            history.validation_error.append(mean_error(network, *validation))
            if history.validation_error[-1] <= min(history.validation_error):
                history.best, kept = epoch, copy.deepcopy(network.state_dict())
        if on_epoch is not None:
            on_epoch(epoch)
    if kept is None:
        history.best = epochs
    else:
        network.load_state_dict(kept)
    return history


def _tensors(
    network: MLP, x: Tensor, y: Tensor, validation: tuple[Tensor, Tensor] | None
) -> dict[str, Tensor]:
    """Return all that must be float64, by name."""
    held_out = () if validation is None else validation
    more = dict(zip(("validation[0]", "validation[1]"), held_out, strict=False))
    return {"x": x, "y": y, **more, **dict(network.named_parameters())}
