"""`fit`: trains a network with one hidden layer by a method of `hinged.optim`."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from hinged import errors
from hinged.optim.batches import Rows, check_pair, check_samples
from hinged.optim.conjugate_gradient import conjugate_gradient
from hinged.optim.curve_step import check_activation
from hinged.optim.divergence import finite_error, undone_on_error
from hinged.optim.levenberg_marquardt import levenberg_marquardt
from hinged.optim.mean_error import mean_error
from hinged.optim.network import MLP
from hinged.optim.owo import rank_deficiency
from hinged.optim.owo_bp import owo_bp
from hinged.optim.owo_molf import owo_molf

CALL = "hinged.optim.fit"

METHODS: dict[str, Callable[[MLP, Rows, Tensor | None], Iterator[None]]] = {
    "cg": conjugate_gradient,
    "lm": levenberg_marquardt,
    "owo-bp": owo_bp,
    "owo-molf": owo_molf,
}
"""The training methods by name. A method takes a network, inputs and targets, as `fit` does, and
returns an iterator. Each `next` call on the iterator trains the network in place for one
iteration."""


@dataclass
class FitResult:
    """The errors and times of a training.

    Attributes:
        error: training error after each iteration. The error is the sum of the squared errors over
            the outputs, averaged over the samples.
        validation_error: error on the validation samples after each iteration; empty if there are
            no validation samples.
        seconds: duration of each iteration in seconds.
        best: number of the iteration, counted from 1, whose weights the network has at the end.
        rank_deficiency: number of directions of the output weights that the training samples do not
            determine at the end, because of dead units, constant features, or features and units
            that are linear combinations of others. 0 means that all are determined.
    """

    error: list[float] = field(default_factory=list)
    validation_error: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    best: int = 0
    rank_deficiency: int = 0


def fit(
    network: MLP,
    x: Rows,
    y: Tensor | None = None,
    method: str = "owo-molf",
    *,
    epochs: int = 100,
    validation: tuple[Tensor, Tensor] | None = None,
    on_epoch: Callable[[int], None] | None = None,
) -> FitResult:
    """Train a network with one hidden layer, and its curves, by a method with optimal step lengths.

    In every iteration, curves that require gradients take a separate step (`curve_step`). To keep
    the curves unchanged, call `network.activation.requires_grad_(False)` first.

    A table that does not fit into memory can be given as batches of rows. Each iteration then reads
    all batches about 3 to 10 times, and only one batch is in memory at a time. The result does not
    depend on the size and the order of the batches, except for rounding.

    Args:
        network: a network in float64 on the CPU, trained in place.
        x: training inputs of `P` samples with `N` features, `(P, N)`, float64. Or batches: an
            object such as a list or a DataLoader that can be iterated again and again, and yields
            pairs of inputs and targets with these shapes. `P` can differ between batches.
        y: training targets, `(P, M)` for `M` outputs, float64; None if `x` are batches.
        method: `"owo-molf"`, `"owo-bp"`, `"lm"` (Levenberg-Marquardt) or `"cg"` (conjugate
            gradients).
        epochs: number of iterations; each uses all samples together.
        validation: inputs and targets of validation samples. At the end, the network has the
            weights with the smallest error on these samples. None means that the network has the
            weights of the last iteration.
        on_epoch: a function that is called after each iteration with the number of completed
            iterations. None means that no function is called.

    Returns:
        A `FitResult` with the errors and times of all iterations, and the number of the best
        iteration.

    Raises:
        UnknownNameError: if `method` does not exist.
        ArgumentError: if `network` is not an `MLP`, if the activation is not a `PiecewiseLinear`
            and has parameters that require gradients, if the batches can be iterated only once, if
            inputs and targets have other shapes, if one of their numbers is infinite or NaN, if the
            numbers of the training become so, or if `validation` is not a pair of tensors. When an
            iteration ends with an error, the network has the parameters from before it.
        DtypeError: if the network, the inputs or the targets are not in float64.

    >>> from hinged.nn import PiecewiseLinear
    >>> from hinged.optim import net_control
    >>> x = torch.linspace(-3, 3, 200, dtype=torch.float64)[:, None]
    >>> _ = torch.manual_seed(0)
    >>> network = MLP(1, 5, 1, PiecewiseLinear(5, hinges=9))
    >>> net_control(network, x)
    >>> fit(network, x, x.sin(), epochs=20).error[-1] < 1e-3
    True

    The same with batches of 50 rows. With one feature, `net_control` gives the five units only two
    different pre-activations, so three units repeat others:

    >>> batches = [(part, part.sin()) for part in x.split(50)]
    >>> net_control(network, batches)
    >>> fit(network, batches, epochs=1).rank_deficiency
    3
    """
    if method not in METHODS:
        raise errors.unknown_name(f"{CALL}(method=...)", method, METHODS)
    if not isinstance(network, MLP):
        got, hint = errors.class_of(network), "expected a hinged.optim.MLP in float64"
        raise errors.ArgumentError(errors.message(f"{CALL}(network)", got, hint))
    check_activation(CALL, network)
    if validation is not None:
        check_pair(CALL, validation, "validation")
    for name, tensor in _tensors(network, validation).items():
        if tensor.dtype != torch.float64:
            hint = "expected float64: convert the network and the data with .double()"
            raise errors.DtypeError(errors.message(CALL, f"{tensor.dtype} in {name}", hint))
    if validation is not None:
        check_samples(f"{CALL}(validation=...)", network, validation)
    return _run(network, METHODS[method](network, x, y), epochs, (x, y), validation, on_epoch)


def _run(
    network: MLP,
    steps: Iterator[None],
    epochs: int,
    training: tuple[Rows, Tensor | None],
    validation: tuple[Tensor, Tensor] | None,
    on_epoch: Callable[[int], None] | None,
) -> FitResult:
    """Train for `epochs` iterations, and return the errors and times.

    With validation samples, the network then gets the weights with the least validation error.
    """
    result = FitResult()
    best_state: dict[str, Any] | None = None
    for epoch in range(1, epochs + 1):
        with undone_on_error(network):
            started = time.perf_counter()
            next(steps)
            result.seconds.append(time.perf_counter() - started)
            result.error.append(finite_error(network, *training))
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
    result.rank_deficiency = rank_deficiency(network, *training)
    return result


def _tensors(network: MLP, validation: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
    """Return the parameters and the validation samples, by the names for the error message."""
    validation_tensors = () if validation is None else validation
    named = {f"validation[{index}]": tensor for index, tensor in enumerate(validation_tensors)}
    return {**named, **dict(network.named_parameters())}
