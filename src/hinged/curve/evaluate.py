"""Evaluates curves in plain torch. This is the reference: every faster kernel must agree with it.

A curve with `K` hinges has `K + 1` lines `y = s x + b`: line 0 is the left tail, lines 1 to K - 1
are the pieces, line K is the right tail. Evaluation finds the line of each input and applies it. A
curve started as ReLU, identity or |x| equals that function bit for bit, except for the sign of a
zero: its slopes are exactly 0 or +-1, and its intercepts are exactly 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors

CALL = "hinged.curve.evaluate"


def evaluate(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    *,
    dim: int = 1,
    tails: str = "linear",
    tail_slopes: Tensor | None = None,
    uniform: bool = False,
    call: str = CALL,
) -> Tensor:
    """Return `y[..., c, ...] = s[c, j] x + b[c, j]`, where `j` is the line of `x`.

    The result can be differentiated twice in `x`, `values` and `tail_slopes`. The computation is
    in float32, or in float64 if `x` is float64.

    Args:
        x: inputs; axis `dim` has `C` entries, or any size if `C` is 1.
        values: outputs at the hinges, shape `(C, K)`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        dim: the channel axis of `x`.
        tails: `"linear"`, `"constant"` or `"free"`, as in `Curve`.
        tail_slopes: end slopes for free tails, shape `(C, 2)`.
        uniform: whether the hinges are equally spaced to the last bit (see `is_uniform`). The line
            is then found by arithmetic and not by comparisons.
        call: the name of the user's call, for error messages.

    Returns:
        A tensor of the shape, dtype and memory format of `x`.

    Raises:
        DtypeError: `x` is not floating point.
        ArgumentError: axis `dim` of `x` does not have `C` entries.
    """
    check_input(x, values.shape[0], dim, call)
    dtype = torch.promote_types(x.dtype, torch.float32)
    positions = hinges.to(dtype)
    slopes, intercepts = slopes_and_intercepts(
        positions, values.to(dtype), tails, None if tail_slopes is None else tail_slopes.to(dtype)
    )
    inputs = _with_finite_flat_tails(x.to(dtype), slopes, dim)
    find_line = _line_by_arithmetic if uniform else _line_by_comparing
    line = find_line(inputs.detach(), per_channel(positions, x.dim(), dim))
    flat = line + _row_starts(slopes, x.dim(), dim)
    return (inputs * _look_up(slopes, flat) + _look_up(intercepts, flat)).to(x.dtype)


def slopes_and_intercepts(
    hinges: Tensor, values: Tensor, tails: str, tail_slopes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the slopes and the intercepts of all lines, each `(C, K + 1)`.

    A piece has `s[k] = (v[k+1] - v[k]) / (h[k+1] - h[k])` and `b[k] = v[k] - s[k] h[k]`. The tails
    come before and after the pieces.
    """
    rise = values[..., 1:] - values[..., :-1]  # The older ONNX exporter does not support `diff`.
    inner = rise / (hinges[..., 1:] - hinges[..., :-1])
    # Of the two hinges of a piece, the one nearer to 0 gives the intercept with the least rounding
    # error. If that hinge is 0 there is no error.
    right_is_nearer = hinges[..., 1:].abs() < hinges[..., :-1].abs()
    height = torch.where(right_is_nearer, values[..., 1:], values[..., :-1])
    inner_at_0 = height - inner * torch.where(right_is_nearer, hinges[..., 1:], hinges[..., :-1])
    if tails == "linear":
        return _with_ends(inner, inner), _with_ends(inner_at_0, inner_at_0)
    outermost = slice(None, None, hinges.shape[-1] - 1)
    ends = torch.zeros_like(values[..., :2]) if tail_slopes is None else tail_slopes
    ends_at_0 = values[..., outermost] - ends * hinges[..., outermost]
    return _with_ends(inner, ends), _with_ends(inner_at_0, ends_at_0)


def is_uniform(hinges: Tensor) -> bool:
    """Whether the hinges `(..., K)` in each row are equally spaced to the last bit.

    >>> is_uniform(torch.tensor([-1.0, 0.0, 1.0])), is_uniform(torch.tensor([-1.0, 0.0, 2.0]))
    (True, False)
    """
    steps = hinges.detach().double().diff(dim=-1)
    return bool((steps == steps[..., :1]).all())


def check_input(x: Tensor, channels: int, dim: int, call: str) -> None:
    """Raise an error that names `call` unless `x` is floating point and its axis `dim` has
    `channels` entries (any size if `channels` is 1)."""
    if not x.is_floating_point():
        hint = "expected floating point: convert it with x.float()"
        raise errors.DtypeError(errors.message(f"{call}(x)", f"a tensor of {x.dtype}", hint))
    if channels == 1:
        return
    if not -x.dim() <= dim < x.dim() or x.shape[dim] != channels:
        got = f"{tuple(x.shape)} with dim={dim}"
        hint = f"expected {channels} channels on that axis: set channels= or dim= to fit"
        raise errors.ArgumentError(errors.message(f"{call}(x)", got, hint))


def per_channel(rows: Tensor, rank: int, dim: int) -> Tensor:
    """Return rows `(K,)` or `(C, K)` as `(1, ..., C, ..., 1, K)`, which broadcasts with
    `x[..., None]`."""
    if rows.dim() == 1 or rows.shape[0] == 1:
        return rows.reshape(-1)
    shape = [1] * rank
    shape[dim] = rows.shape[0]
    return rows.reshape(*shape, rows.shape[-1])


def _with_ends(inner: Tensor, ends: Tensor) -> Tensor:
    """Return `inner` with the first entry of `ends` before it and the last one after it."""
    return torch.cat((ends[..., :1], inner, ends[..., -1:]), dim=-1)


def _look_up(table: Tensor, indices: Tensor) -> Tensor:
    """Return the entries of the flattened table at `indices`, in the shape of `indices`.

    `take` has no batching rule for vmap, and the backward of indexing sorts. `index_select` has
    neither problem.
    """
    return table.flatten().index_select(0, indices.flatten()).view(indices.shape)


def _row_starts(table: Tensor, rank: int, dim: int) -> Tensor:
    """Return the start of each channel's row in the flattened table; it broadcasts with `x`."""
    size = table.shape[1]
    starts = torch.arange(0, table.numel(), size, dtype=torch.int32, device=table.device)
    return per_channel(starts.unsqueeze(-1), rank, dim).squeeze(-1)


def _with_finite_flat_tails(x: Tensor, slopes: Tensor, dim: int) -> Tensor:
    """Return `x` with infinities on flat tails made finite, because `0 * inf` is NaN and not 0."""
    ends = slopes.detach()[:, :: slopes.shape[1] - 1]
    infinite = torch.full_like(ends, torch.inf)
    reach = per_channel(infinite.masked_fill(ends == 0, torch.finfo(x.dtype).max), x.dim(), dim)
    return x.clamp(-reach[..., 0], reach[..., 1])


def _line_by_arithmetic(x: Tensor, hinges: Tensor) -> Tensor:
    """Return line 0 to K of each input, by counting steps from the hinge nearest to 0.

    If 0 is a hinge, `x - anchor` is exact and keeps its sign. A small negative input then stays
    left of the kink; `floor((x - h[0]) / step)` could put it on the right. Floor division keeps the
    sign of a very small input, while the floor of a quotient that underflows to 0 does not.
    """
    nearest = hinges.detach().abs().argmin(dim=-1, keepdim=True)
    anchor = hinges.gather(hinges.dim() - 1, nearest).squeeze(-1)
    step = hinges[..., 1] - hinges[..., 0]
    largest = torch.finfo(x.dtype).max
    steps = torch.div((x - anchor).clamp(-largest, largest), step, rounding_mode="floor")
    line = steps + (nearest.squeeze(-1) + 1)
    last = hinges.shape[-1]
    # The integer value of NaN is undefined. The second clamp keeps it inside the table.
    return line.clamp(0, last).int().clamp(0, last)


def _line_by_comparing(x: Tensor, hinges: Tensor) -> Tensor:
    """Return line 0 to K of each input, by counting the hinges at or left of `x` (0 for NaN)."""
    count = torch.zeros_like(x, dtype=torch.int32)
    for k in range(hinges.shape[-1]):
        count = count + (x >= hinges[..., k])
    return count
