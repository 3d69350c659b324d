"""The rows of a table in batches, and means over all rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor

from hinged import errors
from hinged.optim.network import MLP

Rows = Tensor | Iterable[Sequence[Tensor]]
"""Inputs of all rows, `(P, N)`, or batches of inputs and targets. The batches can be iterated
repeatedly."""

BATCH_ROWS = 16_384
"""Largest number of rows that are processed together."""

_CALL = "hinged.optim"


def batches(network: MLP, x: Rows, y: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the inputs `(P, N)` and the targets `(P, M)` of all rows in batches.

    Each batch has `P` rows, at most `BATCH_ROWS`.

    Args:
        network: the network, which has `N` features and `M` outputs.
        x: inputs of all rows, or batches of inputs and targets.
        y: targets of all rows; None if `x` are batches.

    Raises:
        ArgumentError: if `x` can be iterated only once, if the shapes of inputs and targets do not
            suit the network, or if there are no rows.
        DtypeError: if the dtype of inputs or targets is not that of the network.

    >>> import torch
    >>> network = MLP(3, 5, 1, torch.nn.ReLU())
    >>> x, y = torch.zeros(20_000, 3).double(), torch.zeros(20_000, 1).double()
    >>> [len(inputs) for inputs, targets in batches(network, x, y)]
    [16384, 3616]
    """
    is_empty = True
    for pair in _pairs(x, y):
        _check_pair(network, pair)
        for inputs, targets in zip(*(part.split(BATCH_ROWS) for part in pair), strict=True):
            if len(inputs):
                yield inputs, targets
                is_empty = False
    if is_empty:
        raise errors.ArgumentError(errors.message(_CALL, "no rows", "expected at least one row"))


def input_batches(network: MLP, x: Rows) -> Iterator[Tensor]:
    """Yield the inputs of all rows in batches of at most `BATCH_ROWS`.

    Args:
        network: the network.
        x: inputs of all rows, or batches of inputs and targets.
    """
    if isinstance(x, Tensor):
        yield from x.split(BATCH_ROWS)
    else:
        for inputs, _ in batches(network, x, None):
            yield inputs


def mean_over_rows(parts: Iterable[tuple[int, Sequence[Any]]]) -> Sequence[Any]:
    """Return the means of some quantities over all rows.

    Args:
        parts: for each batch, the number of its rows, and the means over these rows: numbers or
            tensors.

    >>> mean_over_rows([(10, [1.0]), (30, [3.0])])
    [2.5]
    """
    rows = 0
    means: Sequence[Any] = ()
    for count, values in parts:
        rows += count
        pairs = zip(means, values, strict=True) if means else ()
        means = [mean + count / rows * (value - mean) for mean, value in pairs] or values
    return means


def _pairs(x: Rows, y: Tensor | None) -> Iterable[Sequence[Tensor]]:
    """Return an iterable of pairs of inputs and targets."""
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return [(x, y)]
    if isinstance(x, Tensor) or y is not None or not isinstance(x, Iterable):
        got = f"{errors.class_of(x)} as x and {errors.class_of(y)} as y"
        hint = "expected two tensors, or batches of inputs and targets as x and None as y"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    if isinstance(x, Iterator):
        hint = (
            "it can be iterated only once, but the rows are read many times: pass a list of "
            "batches, a DataLoader, or an object whose __iter__ returns a new iterator"
        )
        raise errors.ArgumentError(errors.message(_CALL, errors.class_of(x), hint))
    return x


def _check_pair(network: MLP, pair: Sequence[Tensor]) -> None:
    """Raise an error unless a pair contains inputs and targets for a network."""
    is_pair = isinstance(pair, list | tuple) and len(pair) == 2
    if not is_pair or not all(isinstance(part, Tensor) for part in pair):
        got = f"{errors.class_of(pair)} as a batch"
        hint = "expected a pair of tensors: inputs and targets"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    x, y = pair
    features, outputs = network.hidden.in_features, network.output.out_features
    if x.shape != (*y.shape[:1], features) or y.shape != (*x.shape[:1], outputs):
        got = f"inputs of shape {tuple(x.shape)} and targets of shape {tuple(y.shape)}"
        hint = f"expected (rows, {features}) and (rows, {outputs})"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    dtype = network.hidden.weight.dtype
    for name, tensor in (("x", x), ("y", y)):
        if tensor.dtype != dtype:
            hint = f"expected {dtype}, the dtype of the network: convert the data"
            raise errors.DtypeError(errors.message(_CALL, f"{tensor.dtype} in {name}", hint))
