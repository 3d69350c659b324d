"""Evaluation of curves in plain torch: the definition every faster kernel must agree with.

A curve of `K` hinges has `K + 1` lines `y = s x + b`: line 0 is the left tail, lines 1 to K - 1 are
the pieces, line K is the right tail. Evaluating finds the line of each input and applies it. As
slope and intercept in `x`, a curve started as ReLU, identity or |x| is that function, bit for bit
(but for the sign of a zero):
its slopes are exactly 0 or +-1 and its intercepts exactly 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors


def evaluate(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    *,
    dim: int = 1,
    tails: str = "linear",
    tail_slopes: Tensor | None = None,
    uniform: bool = False,
) -> Tensor:
    """Return `y[..., c, ...] = s[c, j] x + b[c, j]`, with `j` the line on which `x` lies.

    Differentiable twice in `x`, `values` and `tail_slopes`; computes in float32 (in float64 where
    `x` is), and returns the dtype and memory format of `x`.

    Args:
        x: inputs; axis `dim` has `C` entries, or any size where `C` is 1.
        values: outputs at the hinges, shape `(C, K)`.
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        dim: the channel axis of `x`.
        tails: `"linear"`, `"constant"` or `"free"`, as in `Curve`.
        tail_slopes: end slopes for free tails, shape `(C, 2)`.
        uniform: the hinges are equally spaced to the last bit (see `is_uniform`), so that the
            line is found by arithmetic instead of by comparing.

    Returns:
        A tensor of the shape, dtype and memory format of `x`.

    Raises:
        DtypeError: `x` is not floating point.
        ArgumentError: axis `dim` of `x` does not have `C` entries.
    """
    check_input(x, values.shape[0], dim)
    dtype = torch.promote_types(x.dtype, torch.float32)
    positions = hinges.to(dtype)
    slopes, intercepts = lines(
        positions, values.to(dtype), tails, None if tail_slopes is None else tail_slopes.to(dtype)
    )
    inputs = _within_reach(x.to(dtype), slopes, dim)
    find = _line_by_arithmetic if uniform else _line_by_comparing
    line = find(inputs.detach(), per_channel(positions, x.dim(), dim))
    flat = line + _row_starts(slopes, x.dim(), dim)
    return (inputs * _pick(slopes, flat) + _pick(intercepts, flat)).to(x.dtype)


def lines(
    hinges: Tensor, values: Tensor, tails: str, tail_slopes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the slopes and the intercepts of all lines, each `(C, K + 1)`.

    `s[k] = (v[k+1] - v[k]) / (h[k+1] - h[k])` and `b[k] = v[k] - s[k] h[k]` for the pieces, with
    the tails before and behind them.
    """
    rise = values[..., 1:] - values[..., :-1]  # `diff` is unknown to the older ONNX exporter.
    inner = rise / (hinges[..., 1:] - hinges[..., :-1])
    # A piece meets the hinges on its two sides; the one nearer to 0 gives the intercept with the
    # least rounding, and exactly where it is 0.
    nearer_behind = hinges[..., 1:].abs() < hinges[..., :-1].abs()
    height = torch.where(nearer_behind, values[..., 1:], values[..., :-1])
    inner_at_0 = height - inner * torch.where(nearer_behind, hinges[..., 1:], hinges[..., :-1])
    if tails == "linear":
        return _with_ends(inner, inner), _with_ends(inner_at_0, inner_at_0)
    outermost = slice(None, None, hinges.shape[-1] - 1)
    ends = torch.zeros_like(values[..., :2]) if tail_slopes is None else tail_slopes
    ends_at_0 = values[..., outermost] - ends * hinges[..., outermost]
    return _with_ends(inner, ends), _with_ends(inner_at_0, ends_at_0)


def is_uniform(hinges: Tensor) -> bool:
    """Whether the hinges `(..., K)` of each row are equally spaced to the last bit.

    >>> is_uniform(torch.tensor([-1.0, 0.0, 1.0])), is_uniform(torch.tensor([-1.0, 0.0, 2.0]))
    (True, False)
    """
    steps = hinges.detach().double().diff(dim=-1)
    return bool((steps == steps[..., :1]).all())


def check_input(x: Tensor, channels: int, dim: int) -> None:
    """Raise unless curves of `channels` channels along axis `dim` apply to `x`."""
    if not x.is_floating_point():
        hint = "expected floating point: convert it with x.float()"
        raise errors.DtypeError(
            errors.message("hinged.PiecewiseLinear(x)", f"a tensor of {x.dtype}", hint)
        )
    if channels == 1:
        return
    if not -x.dim() <= dim < x.dim() or x.shape[dim] != channels:
        got = f"{tuple(x.shape)} with dim={dim}"
        hint = f"expected {channels} channels on that axis: set channels= or dim= to fit"
        raise errors.ArgumentError(errors.message("hinged.PiecewiseLinear(x)", got, hint))


def per_channel(rows: Tensor, rank: int, dim: int) -> Tensor:
    """Return `(K,)` or `(C, K)` as `(1, ..., C, ..., 1, K)`: broadcastable with `x[..., None]`."""
    if rows.dim() == 1 or rows.shape[0] == 1:
        return rows.reshape(-1)
    shape = [1] * rank
    shape[dim] = rows.shape[0]
    return rows.reshape(*shape, rows.shape[-1])


def _with_ends(inner: Tensor, ends: Tensor) -> Tensor:
    """Return `inner` with the first entry of `ends` before it and the last behind it."""
    return torch.cat((ends[..., :1], inner, ends[..., -1:]), dim=-1)


def _pick(table: Tensor, places: Tensor) -> Tensor:
    """Return the entries of the flattened table at `places`, in their shape.

    `index_select` has a batching rule for vmap, which `take` lacks, and a backward without
    sorting, which indexing lacks.
    """
    return table.flatten().index_select(0, places.flatten()).view(places.shape)


def _row_starts(table: Tensor, rank: int, dim: int) -> Tensor:
    """Return where each channel's row begins in the flattened table, broadcastable with `x`."""
    size = table.shape[1]
    starts = torch.arange(0, table.numel(), size, dtype=torch.int32, device=table.device)
    return per_channel(starts.unsqueeze(-1), rank, dim).squeeze(-1)


def _within_reach(x: Tensor, slopes: Tensor, dim: int) -> Tensor:
    """Return `x` with an infinity on a flat tail made finite, as `0 * inf` is NaN and not 0."""
    ends = slopes.detach()[:, :: slopes.shape[1] - 1]
    infinite = torch.full_like(ends, torch.inf)
    reach = per_channel(infinite.masked_fill(ends == 0, torch.finfo(x.dtype).max), x.dim(), dim)
    return x.clamp(-reach[..., 0], reach[..., 1])


def _line_by_arithmetic(x: Tensor, hinges: Tensor) -> Tensor:
    """Return 0 to K by counting steps from the hinge nearest to 0.

    Where 0 is a hinge, `x - anchor` is exact and keeps its sign, so that no small negative input
    lands on the right of the kink, as it does with `floor((x - h[0]) / step)`. Floor division,
    unlike the floor of a quotient, keeps the sign of inputs so small that the quotient is 0.
    """
    nearest = hinges.detach().abs().argmin(dim=-1, keepdim=True)
    anchor = hinges.gather(hinges.dim() - 1, nearest).squeeze(-1)
    step = hinges[..., 1] - hinges[..., 0]
    largest = torch.finfo(x.dtype).max
    steps = torch.div((x - anchor).clamp(-largest, largest), step, rounding_mode="floor")
    line = steps + (nearest.squeeze(-1) + 1)
    last = hinges.shape[-1]
    # What NaN becomes as an integer is undefined; the second clamp holds it to the table.
    return line.clamp(0, last).int().clamp(0, last)


def _line_by_comparing(x: Tensor, hinges: Tensor) -> Tensor:
    """Return 0 to K by counting the hinges at or left of `x` (0 for NaN)."""
    count = torch.zeros_like(x, dtype=torch.int32)
    for k in range(hinges.shape[-1]):
        count = count + (x >= hinges[..., k])
    return count
