"""The rows of a table in batches, and means over all rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from hinged import errors
from hinged.optim.network import MLP

Rows = Tensor | Iterable[Sequence[Tensor]]
"""Inputs of all rows, `(P, N)`, or batches of inputs and targets. The batches can be iterated
repeatedly."""

BATCH_ROWS = 16_384
"""Largest number of rows that are processed together."""

_CALL = "hinged.optim"
_NAMES = ("inputs", "targets")
_SEVERAL_PASSES = (
    "pass a list of batches, a DataLoader, or an object whose __iter__ returns a new iterator"
)


def batches(network: MLP, x: Rows, y: Tensor | None) -> Iterator[tuple[Tensor, Tensor]]:
    """Return an iterator over the inputs `(P, N)` and the targets `(P, M)` of all rows in batches.

    Each batch has `P` rows, at most `BATCH_ROWS`.

    Args:
        network: the network, which has `N` features and `M` outputs.
        x: inputs of all rows, or batches of inputs and targets.
        y: targets of all rows; None if `x` are batches.

    Raises:
        ArgumentError: if `x` can be iterated only once, if the shapes of inputs and targets do not
            suit the network, if a number is infinite or NaN, or if there are no rows.
        DtypeError: if the dtype of inputs or targets is not that of the network.

    >>> import torch
    >>> network = MLP(3, 5, 1, torch.nn.ReLU())
    >>> x, y = torch.zeros(20_000, 3).double(), torch.zeros(20_000, 1).double()
    >>> [len(inputs) for inputs, targets in batches(network, x, y)]
    [16384, 3616]
    """
    expected = "expected at least one row"
    if not isinstance(x, Tensor):
        expected += (
            " whenever the batches are iterated. Batches that can be iterated only once have none "
            f"the second time: {_SEVERAL_PASSES}"
        )
    parts = _parts(network, _checked_pairs(_pairs(x, y)), expected)
    return ((inputs, targets) for inputs, targets in parts)


def input_batches(network: MLP, x: Rows) -> Iterator[Tensor]:
    """Yield the inputs of all rows in batches of at most `BATCH_ROWS`.

    Args:
        network: the network.
        x: inputs of all rows, or batches of inputs and targets.

    Raises:
        ArgumentError: as `batches` does.
        DtypeError: as `batches` does.
    """
    if isinstance(x, Tensor):
        for (inputs,) in _parts(network, [(x,)]):
            yield inputs
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
        hint = "it can be iterated only once, but the rows are read many times: " + _SEVERAL_PASSES
        raise errors.ArgumentError(errors.message(_CALL, errors.class_of(x), hint))
    return x


def check_pair(call: str, pair: Any, name: str) -> None:
    """Raise an error unless an object is a pair of tensors.

    Args:
        call: the call that the user made, for the error message.
        pair: the object.
        name: what the call got it as, for the error message.

    Raises:
        ArgumentError: if it is not a pair of tensors.
    """
    is_pair = isinstance(pair, list | tuple) and len(pair) == 2
    if not is_pair or not all(isinstance(part, Tensor) for part in pair):
        got = f"{errors.class_of(pair)} as {name}"
        hint = "expected a pair of tensors: inputs and targets"
        raise errors.ArgumentError(errors.message(call, got, hint))


def check_samples(call: str, network: MLP, samples: Sequence[Tensor]) -> None:
    """Raise an error unless a network can be applied to samples that are in memory.

    Args:
        call: the call that the user made, for the error message.
        network: the network.
        samples: inputs and targets.

    Raises:
        ArgumentError: if their shapes do not suit the network, if a number is infinite or NaN, or
            if there are no samples.
    """
    _check_shapes(call, network, samples)
    if not len(samples[0]):
        raise errors.ArgumentError(errors.message(call, "no rows", "expected at least one row"))
    _check_finite(call, samples)


def _checked_pairs(pairs: Iterable[Sequence[Tensor]]) -> Iterator[Sequence[Tensor]]:
    """Yield batches, and raise an error for one that is not a pair of tensors."""
    for pair in pairs:
        check_pair(_CALL, pair, "a batch")
        yield pair


def _parts(
    network: MLP, tables: Iterable[Sequence[Tensor]], expected: str = "expected at least one row"
) -> Iterator[tuple[Tensor, ...]]:
    """Yield the rows of tables in parts of at most `BATCH_ROWS` rows, and check them.

    Args:
        network: the network.
        tables: the inputs of each table, and its targets if there are any.
        expected: the hint of the error if there are no rows.
    """
    is_empty = True
    for table in tables:
        _check_shapes(_CALL, network, table)
        _check_dtypes(network, table)
        for part in zip(*(tensor.split(BATCH_ROWS) for tensor in table), strict=True):
            if len(part[0]):
                _check_finite(_CALL, part)
                yield part
                is_empty = False
    if is_empty:
        raise errors.ArgumentError(errors.message(_CALL, "no rows", expected))


def _check_shapes(call: str, network: MLP, table: Sequence[Tensor]) -> None:
    """Raise an error unless inputs, and targets if there are any, have the shapes of a network."""
    widths = (network.hidden.in_features, network.output.out_features)[: len(table)]
    rows = table[0].shape[:1]
    if any(tensor.shape != (*rows, width) for tensor, width in zip(table, widths, strict=True)):
        shapes = zip(_NAMES, (tuple(tensor.shape) for tensor in table), strict=False)
        got = " and ".join(f"{name} of shape {shape}" for name, shape in shapes)
        hint = "expected " + " and ".join(f"(rows, {width})" for width in widths)
        raise errors.ArgumentError(errors.message(call, got, hint))


def _check_dtypes(network: MLP, table: Sequence[Tensor]) -> None:
    """Raise an error unless inputs and targets have the dtype of a network."""
    dtype = network.hidden.weight.dtype
    for name, tensor in zip(("x", "y"), table, strict=False):
        if tensor.dtype != dtype:
            hint = f"expected {dtype}, the dtype of the network: convert the data"
            raise errors.DtypeError(errors.message(_CALL, f"{tensor.dtype} in {name}", hint))


def _check_finite(call: str, part: Sequence[Tensor]) -> None:
    """Raise an error if inputs or targets contain infinite numbers or NaN."""
    for name, tensor in zip(_NAMES, part, strict=False):
        # The extremes need a twentieth of the time of `tensor.isfinite().all()`.
        if tensor.numel() and not torch.stack(tensor.aminmax()).isfinite().all():
            hint = "expected finite numbers: remove or replace these rows"
            raise errors.ArgumentError(errors.message(call, f"infinite or NaN {name}", hint))
