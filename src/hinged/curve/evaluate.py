"""The evaluation of curves in plain PyTorch, which is the reference for all faster kernels.

A curve with `K` hinges has `K + 1` lines `y = s x + b`. Line 0 is the left tail, lines 1 to `K - 1`
are the pieces between hinges, and line `K` is the right tail. Evaluation finds the line of each
input and then computes `s x + b`. A curve that starts as ReLU, identity or |x| equals that function
bit for bit, except for the sign of a zero. The reason is that its slopes are exactly 0, 1 or -1 and
its intercepts are exactly 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors

CALL = "hinged.curve.evaluate"
MOST_COMPARED = 16
"""With more hinges than this that are not equally spaced, the line of an input is found by halving
the range, and not by comparing the input with every hinge."""


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
    """Return the outputs of piecewise-linear curves for the inputs `x`.

    A curve with `K` hinges has `K + 1` lines: the left tail, the pieces between hinges, and the
    right tail. The output for an input `x` in channel `c` is `s[c, j] x + b[c, j]`. Here `j` is the
    line on which `x` lies, `s` are the slopes and `b` the intercepts.

    The result can be differentiated twice with respect to `x`, `values` and `tail_slopes`. The
    computation uses float32, or float64 if `x` is float64.

    Args:
        x: inputs of floating-point dtype. Axis `dim` has `C` entries, one per channel. If `C` is 1,
            `x` may have any shape.
        values: outputs at the hinges, shape `(C, K)`.
        hinges: ascending input positions, shape `(K,)` or `(C, K)`.
        dim: channel axis of `x`.
        tails: outputs outside the range: `"linear"` (the first and last piece continue),
            `"constant"` (the first and last value continue) or `"free"` (slopes from
            `tail_slopes`).
        tail_slopes: slopes of the left and the right tail, shape `(C, 2)`, for free tails; None for
            other tails.
        uniform: whether the hinges of each row are equally spaced without any rounding error (see
            `is_uniform`). If True, the line of an input is computed from the spacing. If False,
            each input is compared with every hinge.
        call: name of the function that the user called, for error messages.

    Returns:
        A tensor with the shape, dtype and memory format of `x`.

    Raises:
        DtypeError: if `x` is not floating point.
        ArgumentError: if axis `dim` of `x` does not have `C` entries.

    >>> h = torch.tensor([-1.0, 0.0, 1.0])
    >>> evaluate(torch.tensor([[-2.0, 0.25, 3.0]]), h.abs()[None], h)
    tensor([[2.0000, 0.2500, 3.0000]])
    """
    check_input(x, values.shape[0], dim, call)
    dtype = torch.promote_types(x.dtype, torch.float32)
    positions = hinges.to(dtype)
    slopes, intercepts = slopes_and_intercepts(
        positions, values.to(dtype), tails, None if tail_slopes is None else tail_slopes.to(dtype)
    )
    inputs = _with_finite_flat_tails(x.to(dtype), slopes, dim)
    line = _find_line(inputs.detach(), positions, dim, uniform)
    flat = line + _row_starts(slopes, x.dim(), dim)
    slope = _look_up(slopes, flat)
    if inputs.requires_grad and torch.is_grad_enabled() and not _is_traced():
        slope = slope + 0 * inputs.sign()  # The derivative depends on `x`, with the derivative 0.
    return (inputs * slope + _look_up(intercepts, flat)).to(x.dtype)


def _is_traced() -> bool:
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def slopes_and_intercepts(
    hinges: Tensor, values: Tensor, tails: str, tail_slopes: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the slopes and the intercepts of all pieces and tails, shape `(C, K + 1)` each.

    Piece `k` has the slope `s[k] = (v[k+1] - v[k]) / (h[k+1] - h[k])` and the intercept
    `b[k] = v[k] - s[k] h[k]`, where `h` are the hinges and `v` the values. Both tensors contain
    first the left tail, then the pieces, and then the right tail.

    Args:
        hinges: ascending positions, shape `(K,)` or `(C, K)`.
        values: outputs at the hinges, shape `(C, K)`.
        tails: `"linear"`, `"constant"` or `"free"`.
        tail_slopes: slopes of free tails, shape `(C, 2)`; None for other tails.
    """
    # The TorchScript-based ONNX exporter does not support `diff`.
    rise = values[..., 1:] - values[..., :-1]
    inner = rise / (hinges[..., 1:] - hinges[..., :-1])
    # The intercept is computed from the hinge of the piece that is nearer to 0, because this makes
    # the rounding error smaller. The error is 0 if the hinge is 0.
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
    """Return whether the hinges of every row are equally spaced, compared in float64 without
    tolerance.

    Args:
        hinges: positions, shape `(..., K)`.

    >>> is_uniform(torch.tensor([-1.0, 0.0, 1.0])), is_uniform(torch.tensor([-1.0, 0.0, 2.0]))
    (True, False)
    """
    steps = hinges.detach().double().diff(dim=-1)
    return bool((steps == steps[..., :1]).all())


_DENSE = (torch.strided, torch.jagged)  # Nested tensors can be jagged.


def check_input(x: Tensor, channels: int, dim: int, call: str) -> None:
    """Raise an error unless `x` is floating point, dense, and has the expected number of channels.

    Args:
        x: inputs that the user passed.
        channels: expected number of entries of axis `dim`; 1 allows any number.
        dim: channel axis of `x`.
        call: name of the function that the user called, for the error message.
    """
    if not isinstance(x, Tensor):
        hint = "expected a tensor: convert it with torch.as_tensor(x)"
        raise errors.ArgumentError(errors.message(f"{call}(x)", errors.class_of(x), hint))
    if not x.is_floating_point():
        hint = "expected floating point: convert it with x.float()"
        raise errors.DtypeError(errors.message(f"{call}(x)", f"a tensor of {x.dtype}", hint))
    if x.layout not in _DENSE:
        hint = "expected a dense tensor: convert it with x.to_dense()"
        raise errors.ArgumentError(errors.message(f"{call}(x)", f"a tensor of {x.layout}", hint))
    if channels == 1:
        return
    if not -x.dim() <= dim < x.dim() or x.shape[dim] != channels:
        got = f"a tensor of shape {tuple(x.shape)} with dim={dim}"
        hint = f"expected {channels} channels on axis dim: change the number of channels or dim=, "
        hint += "or use one curve for all channels, which takes any number of them"
        raise errors.ArgumentError(errors.message(f"{call}(x)", got, hint))


def per_channel(rows: Tensor, rank: int, dim: int) -> Tensor:
    """Reshape `rows` so that the row of each channel broadcasts with `x[..., None]`.

    Args:
        rows: one row for all channels, shape `(K,)`, or one row per channel, shape `(C, K)`.
        rank: number of axes of `x`.
        dim: channel axis of `x`.

    Returns:
        A tensor of shape `(K,)` if all channels have the same row. Otherwise its shape is
        `(1, ..., C, ..., 1, K)`, where `C` is at axis `dim`.
    """
    if rows.dim() == 1 or rows.shape[0] == 1:
        return rows.reshape(-1)
    shape = [1] * rank
    shape[dim] = rows.shape[0]
    return rows.reshape(*shape, rows.shape[-1])


def _with_ends(inner: Tensor, ends: Tensor) -> Tensor:
    """Join the first entry of `ends`, all of `inner`, and the last entry of `ends`, along the last
    axis."""
    return torch.cat((ends[..., :1], inner, ends[..., -1:]), dim=-1)


def _look_up(table: Tensor, indices: Tensor) -> Tensor:
    """Return the entries of the flattened table at `indices`, in the shape of `indices`.

    The function uses `index_select`, because `take` does not support `vmap`, and the backward pass
    of ordinary indexing sorts the indices.
    """
    return table.flatten().index_select(0, indices.flatten()).view(indices.shape)


def _row_starts(table: Tensor, rank: int, dim: int) -> Tensor:
    """Return the index at which the row of each channel starts in `table.flatten()`.

    The result broadcasts with an input `x` of `rank` axes and channel axis `dim`.
    """
    size = table.shape[1]
    starts = torch.arange(0, table.numel(), size, dtype=torch.int32, device=table.device)
    return per_channel(starts.unsqueeze(-1), rank, dim).squeeze(-1)


def _with_finite_flat_tails(x: Tensor, slopes: Tensor, dim: int) -> Tensor:
    """Return `x` with infinite inputs replaced by the largest finite number, on tails of slope 0.

    Without the replacement, the output would be NaN, because `0 * inf` is NaN. Inputs that are NaN
    stay, and have the gradient of the left tail, as in all kernels. Of `clamp`, they would get 0.
    """
    ends = slopes.detach()[:, :: slopes.shape[1] - 1]
    infinite = torch.full_like(ends, torch.inf)
    reach = per_channel(infinite.masked_fill(ends == 0, torch.finfo(x.dtype).max), x.dim(), dim)
    return torch.where(x.isnan(), x, x.clamp(-reach[..., 0], reach[..., 1]))


def _find_line(x: Tensor, hinges: Tensor, dim: int, uniform: bool) -> Tensor:
    """Return the index of the line of each input: 0 for the left tail, `K` for the right tail."""
    if not uniform and hinges.shape[-1] > MOST_COMPARED:
        return _line_by_halving(x, hinges, dim)
    find = _line_by_arithmetic if uniform else _line_by_comparing
    return find(x, per_channel(hinges, x.dim(), dim))


def _line_by_arithmetic(x: Tensor, hinges: Tensor) -> Tensor:
    """Return the index of the line of each input, computed from the spacing of uniform hinges.

    Index 0 is the left tail, and index `K` is the right tail. The function counts the steps from
    the hinge nearest to 0, called the anchor, to the input. If the anchor is 0, `x - anchor` is
    exact and keeps its sign. A small negative input is then always left of the kink at 0. The usual
    formula `floor((x - h[0]) / step)` rounds, so it can find the line right of the kink. Floor
    division is used, because a quotient of two numbers can underflow to 0 and lose its sign.
    """
    nearest = hinges.detach().abs().argmin(dim=-1, keepdim=True)
    anchor = hinges.gather(hinges.dim() - 1, nearest).squeeze(-1)
    step = hinges[..., 1] - hinges[..., 0]
    largest = torch.finfo(x.dtype).max
    steps = torch.div((x - anchor).clamp(-largest, largest), step, rounding_mode="floor")
    line = steps + (nearest.squeeze(-1) + 1)
    last = hinges.shape[-1]
    # NaN has no defined integer value. The second clamp keeps the index inside the table.
    return line.clamp(0, last).int().clamp(0, last)


def _line_by_comparing(x: Tensor, hinges: Tensor) -> Tensor:
    """Return the index of the line of each input: the number of hinges that are at most `x`.

    Index 0 is the left tail, and index `K` is the right tail. For NaN, the index is 0.
    """
    count = torch.zeros_like(x, dtype=torch.int32)
    for k in range(hinges.shape[-1]):
        count = count + (x >= hinges[..., k])
    return count


def _line_by_halving(x: Tensor, hinges: Tensor, dim: int) -> Tensor:
    """Return the index of the line of each input, found by a binary search among the hinges.

    Index 0 is the left tail, and index `K` is the right tail. For NaN, the index is 0.
    """
    rows = hinges.reshape(-1, hinges.shape[-1])
    starts = _row_starts(rows, x.dim(), dim)
    line = torch.zeros_like(x, dtype=torch.int32)  # The hinges below this index are at most `x`.
    left = hinges.shape[-1]  # The number of hinges after them that may be at most `x`.
    while left:
        half = (left + 1) // 2
        line = line + half * (x >= _look_up(rows, starts + (line + half - 1))).int()
        left //= 2
    return line
