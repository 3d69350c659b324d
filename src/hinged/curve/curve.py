"""The class `Curve`, which holds the hinges, values and tails of piecewise-linear functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.evaluate import evaluate

TAILS = ("linear", "constant", "free")


@dataclass(frozen=True, eq=False)
class Curve:
    """A piecewise-linear function for each of `C` channels, defined by its values at `K` hinges.

    Hinges are the input positions `h[0] < ... < h[K-1]`. The output at hinge `h[k]` is the value
    `v[k]`. Between `h[k]` and `h[k+1]` the output is `(1 - t) v[k] + t v[k+1]`, where
    `t = (x - h[k]) / (h[k+1] - h[k])`. This straight line is called a piece. The interval from the
    first to the last hinge is called the range. Outside the range, the output follows two straight
    lines, which are called tails.

    Args:
        hinges: ascending input positions, shape `(K,)` for all channels or `(C, K)` for one row per
            channel.
        values: outputs at the hinges, shape `(C, K)`.
        tails: `"linear"` (the first and the last piece continue), `"constant"` (the first and the
            last value continue) or `"free"` (the tails have the slopes in `tail_slopes`).
        tail_slopes: slopes of the left and the right tail, shape `(C, 2)`. Free tails require this
            argument; for other tails it must be None.

    Raises:
        ArgumentError: if there are fewer than two hinges, if the hinges do not ascend, or if the
            shapes of the arguments do not match.
        DtypeError: if the values or the hinges are not floating point.

    >>> import hinged, torch
    >>> relu = hinged.Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> relu(torch.tensor([-5.0, 0.5, 7.0]))
    tensor([0.0000, 0.5000, 7.0000])
    """

    hinges: Tensor
    values: Tensor
    tails: str = "linear"
    tail_slopes: Tensor | None = None

    def __post_init__(self) -> None:
        _check_tensors("hinged.Curve", self.hinges, self.values)
        check_hinges(self.hinges, "hinged.Curve(hinges=...)")
        check_shapes("hinged.Curve", self.values, self.hinges, self.tails, self.tail_slopes)

    @property
    def channels(self) -> int:
        """The number of channels, `C`."""
        return self.values.shape[0]

    @property
    def range(self) -> tuple[Tensor, Tensor]:
        """The first and the last hinge, each of shape `()`, or `(C,)` for hinges `(C, K)`."""
        return self.hinges[..., 0], self.hinges[..., -1]

    def snapshot(self, dtype: torch.dtype | None = None) -> Curve:
        """Return a copy of the curve on the CPU, without gradients.

        Later training does not change the copy.

        Args:
            dtype: dtype of the copied tensors; None keeps the dtype of each tensor.
        """

        def copy(tensor: Tensor) -> Tensor:
            return tensor.detach().to("cpu", dtype, copy=True)

        slopes = None if self.tail_slopes is None else copy(self.tail_slopes)
        return Curve(copy(self.hinges), copy(self.values), self.tails, slopes)

    def __call__(self, x: Tensor, dim: int = 1) -> Tensor:
        """Return the outputs of the curve for the inputs `x`, with the shape and dtype of `x`.

        Args:
            x: inputs. Axis `dim` has `C` entries, one per channel. If `C` is 1, `x` may have any
                shape, and all inputs use the same function.
            dim: channel axis of `x`.
        """
        return evaluate(
            x,
            self.values,
            self.hinges,
            dim=dim,
            tails=self.tails,
            tail_slopes=self.tail_slopes,
            call="hinged.Curve",
        )


def _check_tensors(call: str, hinges: Tensor, values: Tensor) -> None:
    for name, given in {"hinges": hinges, "values": values}.items():
        if not isinstance(given, Tensor):
            hint = f"expected a tensor: convert it with torch.tensor({name})"
            got = errors.class_of(given)
            raise errors.ArgumentError(errors.message(f"{call}({name}=...)", got, hint))


def check_hinges(hinges: Tensor, call: str) -> None:
    """Raise `ArgumentError` unless `hinges` holds at least two finite, ascending positions.

    Args:
        hinges: positions, shape `(K,)` or `(C, K)`.
        call: name of the function and argument that the user passed, for the error message.
    """
    if hinges.dim() not in (1, 2):
        got = f"positions of shape {tuple(hinges.shape)}"
        hint = "give them as (K,) or (C, K), for K hinges and C channels"
        raise errors.ArgumentError(errors.message(call, got, hint))
    check_hinge_count(hinges.shape[-1], call)
    if not hinges.isfinite().all():
        hint = "every position must be a finite number"
        raise errors.ArgumentError(errors.message(call, "positions with NaN or infinity", hint))
    if not (hinges.diff(dim=-1) > 0).all():
        raise errors.ArgumentError(
            errors.message(
                call,
                _not_ascending(hinges),
                "positions must ascend: sort them and remove repetitions",
            )
        )


def _not_ascending(hinges: Tensor) -> str:
    """Describe the first two neighbouring hinges that do not ascend, for an error message."""
    rows = hinges.detach().reshape(-1, hinges.shape[-1])
    row, k = (rows.diff(dim=-1) <= 0).nonzero()[0].tolist()
    left, right = rows[row, k].item(), rows[row, k + 1].item()
    kind = "a repeated hinge" if left == right else "hinges that are not sorted"
    return f"{kind} ({left:g} followed by {right:g} at index {k})"


def check_shapes(
    call: str, values: Tensor, hinges: Tensor, tails: str, tail_slopes: Tensor | None
) -> None:
    """Raise `ArgumentError` unless the shapes of the tensors of a curve match.

    The check reads shapes and dtypes, but no numbers. It therefore does not wait for a GPU, and it
    works under `torch.compile`.

    Args:
        call: name of the function that the user called, for the error message.
        values: outputs at the hinges; the expected shape is `(C, K)`.
        hinges: positions; the expected shape is `(K,)` or `(C, K)`.
        tails: name of the kind of tails; the known names are those in `TAILS`.
        tail_slopes: slopes of free tails; the expected shape is `(C, 2)`. Other tails require None.
    """
    if shapes_match(values, hinges, tails, tail_slopes):
        return
    if tails not in TAILS:
        raise errors.unknown_name(f"{call}(tails=...)", tails, TAILS)
    _check_values(call, values, hinges)
    if (tails == "free") != (tail_slopes is not None):
        got = f"tails={tails!r} {'without' if tail_slopes is None else 'with'} tail_slopes"
        hint = (
            "free tails take tail_slopes of shape (C, 2) for C channels, "
            "and other tails take no tail_slopes"
        )
        raise errors.ArgumentError(errors.message(f"{call}(tail_slopes=...)", got, hint))
    if tail_slopes is not None and tail_slopes.shape != (values.shape[0], 2):
        hint = f"expected ({values.shape[0]}, 2), the left and right slope of each channel"
        got = f"shape {tuple(tail_slopes.shape)}"
        raise errors.ArgumentError(errors.message(f"{call}(tail_slopes=...)", got, hint))


def shapes_match(values: Any, hinges: Any, tails: str, tail_slopes: Any) -> bool:
    """Return whether the arguments of `check_shapes` pass its check. This takes a microsecond."""
    if not (isinstance(values, Tensor) and isinstance(hinges, Tensor)):
        return False
    shape, positions = values.shape, hinges.shape
    if len(shape) != 2 or not positions or not 2 <= shape[1] == positions[-1]:
        return False
    if len(positions) > 1 and (len(positions) > 2 or positions[0] not in (1, shape[0])):
        return False
    if tails == "free":
        slopes_match = tail_slopes is not None and tail_slopes.shape == (shape[0], 2)
    else:
        slopes_match = tail_slopes is None and tails in TAILS
    return slopes_match and values.is_floating_point() and hinges.is_floating_point()


def check_hinge_count(count: int, call: str) -> None:
    """Raise `ArgumentError` if there are fewer than two hinges.

    Args:
        count: the number of hinges.
        call: name of the function and argument that the user passed, for the error message.
    """
    if count < 2:
        got = f"{count} hinge{'' if count == 1 else 's'}"
        raise errors.ArgumentError(errors.message(call, got, "a curve needs at least 2 hinges"))


def _check_values(call: str, values: Tensor, hinges: Tensor) -> None:
    """Raise an error unless values and hinges are floating point and have matching shapes."""
    _check_tensors(call, hinges, values)
    if not (values.is_floating_point() and hinges.is_floating_point()):
        got = f"values of {values.dtype} and hinges of {hinges.dtype}"
        hint = "both must be floating point: convert them with .float()"
        raise errors.DtypeError(errors.message(f"{call}(...)", got, hint))
    if hinges.dim():
        check_hinge_count(hinges.shape[-1], f"{call}(hinges=...)")
    matches = values.dim() == 2 and hinges.dim() in (1, 2) and values.shape[1] == hinges.shape[-1]
    if not matches or (hinges.dim() == 2 and hinges.shape[0] not in (1, values.shape[0])):
        got = f"values of shape {tuple(values.shape)} with hinges of shape {tuple(hinges.shape)}"
        hint = "expected values (C, K) with hinges (K,) or (C, K), for C channels and K hinges"
        raise errors.ArgumentError(errors.message(f"{call}(values=...)", got, hint))
