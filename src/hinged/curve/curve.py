"""`Curve`: the hinges, values and tails of one or more channels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.evaluate import evaluate

TAILS = ("linear", "constant", "free")


@dataclass(frozen=True, eq=False)
class Curve:
    """The piecewise-linear functions of `C` channels, each with `K` hinges.

    Between two hinges, with `t = (x - h[k]) / (h[k+1] - h[k])`, the curve is
    `(1 - t) v[k] + t v[k+1]`. Outside the range it follows its tails.

    Args:
        hinges: positions on the input axis, ascending, shape `(K,)` or `(C, K)`, in units of `x`.
        values: outputs at the hinges, shape `(C, K)`.
        tails: `"linear"` (the end pieces continue), `"constant"` (the end values continue) or
            `"free"` (the slopes in `tail_slopes`).
        tail_slopes: slopes left of the first and right of the last hinge, shape `(C, 2)`; required
            for free tails, None for the others.

    Raises:
        ArgumentError: fewer than two hinges, hinges that do not ascend, or shapes that do not
            match.

    >>> import torch
    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> relu(torch.tensor([-5.0, 0.5, 7.0]))
    tensor([0.0000, 0.5000, 7.0000])
    """

    hinges: Tensor
    values: Tensor
    tails: str = "linear"
    tail_slopes: Tensor | None = None

    def __post_init__(self) -> None:
        check_hinges(self.hinges, "hinged.Curve(hinges=...)")
        check_shapes("hinged.Curve", self.values, self.hinges, self.tails, self.tail_slopes)

    @property
    def channels(self) -> int:
        """`C`, the number of channels."""
        return self.values.shape[0]

    @property
    def range(self) -> tuple[Tensor, Tensor]:
        """First and last hinge, each of shape `()` or `(C,)`."""
        return self.hinges[..., 0], self.hinges[..., -1]

    def snapshot(self, dtype: torch.dtype | None = None) -> Curve:
        """Return a copy on the CPU without gradients, which later training does not change."""

        def copy(tensor: Tensor) -> Tensor:
            return tensor.detach().to("cpu", dtype, copy=True)

        slopes = None if self.tail_slopes is None else copy(self.tail_slopes)
        return Curve(copy(self.hinges), copy(self.values), self.tails, slopes)

    def __call__(self, x: Tensor, dim: int = 1) -> Tensor:
        """Return the curve at `x`. Axis `dim` of `x` has `C` entries, or any size if `C` is 1."""
        return evaluate(
            x,
            self.values,
            self.hinges,
            dim=dim,
            tails=self.tails,
            tail_slopes=self.tail_slopes,
            call="hinged.Curve",
        )


def check_hinges(hinges: Tensor, call: str) -> None:
    """Raise `ArgumentError` unless `hinges` are at least two ascending finite positions."""
    if hinges.dim() not in (1, 2):
        got = f"positions of shape {tuple(hinges.shape)}"
        raise errors.ArgumentError(errors.message(call, got, "give them as (K,) or (C, K)"))
    if hinges.shape[-1] < 2:
        got = f"{hinges.shape[-1]} hinge{'s' * (hinges.shape[-1] != 1)}"
        raise errors.ArgumentError(errors.message(call, got, "a curve needs at least 2"))
    if not hinges.isfinite().all():
        hint = "every position must be a finite number"
        raise errors.ArgumentError(errors.message(call, "positions with NaN or infinity", hint))
    if not (hinges.diff(dim=-1) > 0).all():
        raise errors.ArgumentError(
            errors.message(call, _not_ascending(hinges), "positions must ascend: sort them")
        )


def _not_ascending(hinges: Tensor) -> str:
    rows = hinges.detach().reshape(-1, hinges.shape[-1])
    row, k = (rows.diff(dim=-1) <= 0).nonzero()[0].tolist()
    left, right = rows[row, k].item(), rows[row, k + 1].item()
    kind = "a repeated hinge" if left == right else "hinges that are not sorted"
    return f"{kind} ({left:g} followed by {right:g} at place {k})"


def check_shapes(
    call: str, values: Tensor, hinges: Tensor, tails: str, tail_slopes: Tensor | None
) -> None:
    """Raise `ArgumentError` unless the shapes of a curve's tensors match.

    The numbers are not read, so the check costs nothing on a GPU and works under a compiler.
    """
    if tails not in TAILS:
        raise errors.unknown_name(f"{call}(tails=...)", tails, TAILS)
    _check_values(call, values, hinges)
    if (tails == "free") != (tail_slopes is not None):
        got = f"tails={tails!r} {'without' if tail_slopes is None else 'with'} tail_slopes"
        hint = "free tails take tail_slopes of shape (C, 2), other tails take none"
        raise errors.ArgumentError(errors.message(f"{call}(tail_slopes=...)", got, hint))
    if tail_slopes is not None and tail_slopes.shape != (values.shape[0], 2):
        hint = f"expected ({values.shape[0]}, 2), the left and right slope of each channel"
        got = f"shape {tuple(tail_slopes.shape)}"
        raise errors.ArgumentError(errors.message(f"{call}(tail_slopes=...)", got, hint))


def _check_values(call: str, values: Tensor, hinges: Tensor) -> None:
    if not (values.is_floating_point() and hinges.is_floating_point()):
        got = f"values of {values.dtype} and hinges of {hinges.dtype}"
        hint = "both must be floating point: convert them with .float()"
        raise errors.DtypeError(errors.message(f"{call}(...)", got, hint))
    if hinges.shape[-1:] == (1,):
        hint = "a curve needs at least 2"
        raise errors.ArgumentError(errors.message(f"{call}(hinges=...)", "1 hinge", hint))
    matches = values.dim() == 2 and values.shape[-1] == hinges.shape[-1]
    if not matches or (hinges.dim() == 2 and hinges.shape[0] not in (1, values.shape[0])):
        got = f"values of shape {tuple(values.shape)} with hinges of {tuple(hinges.shape)}"
        hint = "expected values (C, K) with hinges (K,) or (C, K)"
        raise errors.ArgumentError(errors.message(f"{call}(values=...)", got, hint))
