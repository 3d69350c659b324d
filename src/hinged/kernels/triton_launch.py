"""Launches the Triton kernels: the forward and the backward pass of curves on a GPU.

This module imports triton, and is itself imported only if triton is installed. A forward pass has
two launches: one computes a table of the lines of all curves, one computes the outputs. A line is a
piece or a tail of a curve. A backward pass that trains the values has three launches or more.
The last one adds partial sums in a fixed order and without atomics, so the result has the same bits
in every run and on every device. The CPU reads no results back.

**Forward.** The result is `y = s[line] x + b[line]` with slopes `s` and intercepts `b` from a
table. `slopes_and_intercepts` in `hinged.curve.evaluate` defines the same table. Multiplication and
addition are not fused, so the result in float32 has the same bits as the reference in plain torch.
(`torch.compile` may fuse the operations of the reference. If the curve starts exactly as its start
function, `b` is 0, so fusing changes nothing.)

**Backward.** The gradients of the values are computed from *ramps*. The ramp `t_k` is the position
of `x` along piece `k`: 0 at its left end, 1 at its right end, and limited to the interval from 0 to
1. For any hinge `m`, a curve with values `v` is

    y = v[m] + sum_(k >= m) (v[k+1] - v[k]) t_k + sum_(k < m) (v[k] - v[k+1]) (1 - t_k)

Let `g` be the gradient of the loss with respect to `y`. The gradient with respect to a value is the
difference of two sums over the inputs: of `g` times one ramp, and of `g` times the next ramp.

- `m` is the middle hinge. Both sums of a difference then contain only inputs in their piece or
  beyond it. The rounding error is a few units of `sum |g|` over these inputs. If no input lies in
  the pieces of a value, its gradient is exactly 0.
- A ramp and its sum need two instructions per element (FADD.SAT, FFMA). Comparing the input with
  each line, and adding `g` and `g t` where it is true, would need five.

**Cost.** For `K` equally spaced hinges, the machine code for `sm_90` has these instructions per
element, without the loop and the final sums. Forward has about 20, of which two read tables in the
first-level cache. Backward has about `2 (K - 1) + 25`, of which two read tables. For comparison,
the memory of an H100 moves the 8 bytes of a forward element in float32 in the time of 68
instructions (34 in bfloat16). It moves the 12 bytes of a backward element in the time of 100
instructions (50 in bfloat16). Other hinges need about `log2 K` more table reads, and three
instructions for each ramp. These numbers are estimates, not measurements.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from hinged.kernels import triton_programs
from hinged.kernels.memory_layout import MemoryLayout

WARPS = 4
# Number of elements of a tile. In backward each of 128 threads has 4 elements and, for each piece,
# 4 sums.
FORWARD_TILE, BACKWARD_TILE = 1024, 512
# Number of programs: about 30 for each multiprocessor of a large device, so that few of these are
# idle at the end. It does not depend on the device, so the order of the sums is always the same.
PROGRAMS = 4096
# The smallest number of elements of a channel in a program. With fewer elements, the fixed costs of
# a program (such as its final sums) would matter.
LEAST_ELEMENTS = 4096
# The largest number of pieces whose sums fit in registers, for equally spaced and for other hinges
# (which also need registers for their positions). Curves with more pieces need several launches.
MOST_PIECES, MOST_FREE_PIECES = 32, 16


class _Curves(NamedTuple):
    values: Tensor
    hinges: Tensor
    tail_slopes: Tensor | None
    tails: str
    uniform: bool

    @property
    def entries(self) -> int:
        """The number of trained parameters of one curve."""
        return self.values.shape[1] + (2 if self.tails == "free" else 0)

    def constants(self) -> dict[str, int | bool]:
        count = self.values.shape[1]
        return {
            "K": count,
            "STEPS": (count - 1).bit_length(),
            "UNIFORM": self.uniform,
            "BY_CHANNEL": self.hinges.dim() > 1,
        }


class TilePlan(NamedTuple):
    """How a tensor is divided into tiles, and the tiles into programs.

    The module docstring of `triton_programs` explains rows, columns and planar memory.

    Attributes:
        grid: the numbers of programs along the two axes of the launch.
        outer: number of rows of memory.
        row_length: number of elements of a row of memory.
        width: number of pixels of an image (planar memory), or number of channels (otherwise).
        channels: number of channels.
        tiles_across: number of tiles along `width`.
        count: number of tiles of a program.
        planar: whether a program processes one channel.
        rows: number of rows of a tile.
        columns: number of columns of a tile.
    """

    grid: tuple[int, int]
    outer: int
    row_length: int
    width: int
    channels: int
    tiles_across: int
    count: int
    planar: bool
    rows: int
    columns: int

    def arguments(self) -> dict[str, int | bool]:
        """Return the arguments of both kernels that describe the tiles."""
        align = next(align for align in (8, 4, 1) if self.width % align == 0)
        return {
            "outer": self.outer,
            "row_units": self.row_length // align,
            "width_units": self.width // align,
            "tiles_across": self.tiles_across,
            "count": self.count,
            "channels": self.channels,
            "PLANAR": self.planar,
            "ROWS": self.rows,
            "COLUMNS": self.columns,
            "ALIGN": align,
            "LONG_OFFSETS": self.outer * self.row_length >= 2**31,
            "num_warps": WARPS,
        }


def forward(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    tail_slopes: Tensor | None,
    tails: str,
    uniform: bool,
    layout: MemoryLayout,
) -> Tensor:
    """Return the outputs of the curves for the inputs `x`.

    The output is `s[c, line] x + b[c, line]`, where `c` is the channel of the input `x`, `line` is
    the number of the line that contains `x`, `s` has the slopes and `b` the intercepts.

    Args:
        x: inputs in float32, bfloat16 or float16, dense in memory.
        values: outputs at the hinges, shape `(C, K)`, contiguous float32.
        hinges: ascending positions, shape `(K,)` or `(C, K)`, contiguous float32.
        tail_slopes: slopes of the left and the right tail for free tails, shape `(C, 2)`,
            contiguous float32. None for other tails.
        tails: `"linear"`, `"constant"` or `"free"`.
        uniform: whether the hinges of each row are equally spaced, except for rounding. The result
            is right if the distance of each hinge from its equally spaced position is at most a
            hundredth of a step.
        layout: the layout of `x` in memory; `(1, 1, numel)` if `C` is 1.

    Returns:
        A new tensor with the shape, dtype and strides of `x`.
    """
    curves = _Curves(values, hinges, tail_slopes, tails, uniform)
    y = torch.empty_like(x)
    if x.numel():
        with torch.cuda.device_of(x):
            _launch_forward(x, y, curves, layout)
    return y


def backward(
    g: Tensor,
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    tail_slopes: Tensor | None,
    tails: str,
    uniform: bool,
    layout: MemoryLayout,
    needs_grad: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients of the loss with respect to `x`, `values` and `tail_slopes`.

    Args:
        g: gradient of the loss with respect to the result of `forward`, in the dtype and strides of
            `x`.
        x: the inputs of `forward`.
        values: the values for `forward`, shape `(C, K)`, contiguous float32.
        hinges: the positions for `forward`, shape `(K,)` or `(C, K)`, contiguous float32.
        tail_slopes: the slopes for `forward`, shape `(C, 2)`, contiguous float32, or None.
        tails: `"linear"`, `"constant"` or `"free"`.
        uniform: whether the hinges of each row are equally spaced, except for rounding.
        layout: the layout of `x` in memory; `(1, 1, numel)` if `C` is 1.
        needs_grad: whether the gradient with respect to `x` is needed, and whether the gradients
            with respect to the curves are needed.

    Returns:
        Three gradients: with respect to `x`, in its dtype and strides; with respect to `values`,
        `(C, K)` float32; and with respect to `tail_slopes`, `(C, 2)` float32. A gradient is None if
        it is not needed. The third is also None if the tails are not free.
    """
    curves = _Curves(values, hinges, tail_slopes, tails, uniform)
    grad_x = torch.empty_like(x) if needs_grad[0] else None
    size = values.shape[0] * curves.entries
    grads = torch.empty(size, dtype=torch.float32, device=x.device) if needs_grad[1] else None
    if x.numel():
        with torch.cuda.device_of(x):
            _launch_backward(g, x, grad_x, grads, curves, layout)
    elif grads is not None:
        grads.zero_()
    return grad_x, *_split_gradients(grads, curves)


def plan_tiles(layout: MemoryLayout, tile: int, least_rows: int, unroll: int = 1) -> TilePlan:
    """Return the tiles and the grid for a tensor that is not empty.

    Args:
        layout: the layout of the tensor in memory.
        tile: number of elements of a tile, a power of 2.
        least_rows: smallest number of rows of a program for channels that are neighbours in memory.
        unroll: the number of tiles of a program is a multiple of this number.
    """
    outer, channels, inner = layout
    planar = inner > 1 or channels == 1
    width = inner if planar else channels
    # Each width needs a compilation, so there are few choices. For interleaved channels, wide tiles
    # are left out because they would mean too few programs.
    choices = (tile, 256, 64, 16, 4) if planar else (64, 16, 4)
    columns = min(
        choices, key=lambda columns: _round_up(width, columns) * _round_up(outer, tile // columns)
    )
    rows = tile // columns
    tiles_across = triton.cdiv(width, columns)
    tiles = triton.cdiv(outer, rows) * (tiles_across if planar else 1)
    groups = channels if planar else tiles_across
    enough = triton.cdiv(LEAST_ELEMENTS, tile) if planar else triton.cdiv(least_rows, rows)
    count = min(tiles, max(enough, triton.cdiv(tiles * groups, PROGRAMS)))
    count = _round_up(count, unroll)
    grid = (groups, triton.cdiv(tiles, count))
    row_length = channels * inner
    return TilePlan(
        grid, outer, row_length, width, channels, tiles_across, count, planar, rows, columns
    )


def _round_up(size: int, unit: int) -> int:
    return triton.cdiv(size, unit) * unit


def _launch_forward(x: Tensor, y: Tensor, curves: _Curves, layout: MemoryLayout) -> None:
    table, _ = _tabulate(curves, rates=False)
    plan = plan_tiles(layout, FORWARD_TILE, least_rows=64)
    triton_programs.forward_kernel[plan.grid](
        x,
        y,
        table.view(torch.int64),
        curves.hinges,
        **plan.arguments(),
        **curves.constants(),
        # The product is rounded before the addition, as in the reference.
        enable_fp_fusion=False,
    )


def _launch_backward(
    g: Tensor,
    x: Tensor,
    grad_x: Tensor | None,
    grads: Tensor | None,
    curves: _Curves,
    layout: MemoryLayout,
) -> None:
    table, rates = _tabulate(curves, rates=grads is not None and not curves.uniform)
    # The number of tiles that are loaded together, enough to hide the latency of memory.
    unroll = 8 // x.element_size()
    # With 16 rows for each sum, the partial sums are less than 5 % of the memory traffic.
    plan = plan_tiles(layout, BACKWARD_TILE, 16 * curves.entries, unroll)
    shape = (plan.grid[1], curves.entries, plan.channels)
    partials = None if grads is None else x.new_empty(shape, dtype=torch.float32)
    for start, pieces in _piece_ranges(curves, grads is not None):
        triton_programs.backward_kernel[plan.grid](
            g,
            x,
            grad_x if start == 0 else None,
            partials,
            table,
            rates,
            curves.hinges,
            **plan.arguments(),
            **curves.constants(),
            TAILS=curves.tails,
            ENTRIES=curves.entries,
            FIRST_PIECE=start,
            PIECES=pieces,
            UNROLL=unroll,
        )
    if grads is not None:
        _reduce(partials, grads, curves)


def _piece_ranges(curves: _Curves, needed: bool) -> list[tuple[int, int]]:
    """Return the first piece and the number of pieces for each launch of the backward kernel.

    If `needed` is False, no gradients with respect to the curves are needed. The result is then one
    launch with no pieces.
    """
    if not needed:
        return [(0, 0)]
    most = MOST_PIECES if curves.uniform else MOST_FREE_PIECES
    pieces = curves.values.shape[1] - 1
    return [(start, min(most, pieces - start)) for start in range(0, pieces, most)]


def _tabulate(curves: _Curves, rates: bool) -> tuple[Tensor, Tensor | None]:
    """Return a tensor with the slope and the intercept of each line, and a tensor with `1 / width`
    of each piece.

    The first tensor has shape `(C, K + 1, 2)`. The second has shape `(C, K - 1)`; it is None if
    `rates` is False.
    """
    channels, count = curves.values.shape
    table = curves.values.new_empty(channels, count + 1, 2)
    inverse = curves.values.new_empty(channels, count - 1) if rates else None
    triton_programs.tabulate[(channels,)](
        curves.values,
        curves.hinges,
        curves.tail_slopes,
        table,
        inverse,
        K=count,
        TAILS=curves.tails,
        BY_CHANNEL=curves.hinges.dim() > 1,
        LINES=triton.next_power_of_2(count + 1),
        num_warps=1,
        # Each operation is rounded separately, as in the reference.
        enable_fp_fusion=False,
    )
    return table, inverse


def _reduce(partials: Tensor, grads: Tensor, curves: _Curves) -> None:
    parts, entries, channels = partials.shape
    deep, width = (64, 16) if channels > 1 else (1024, 1)
    triton_programs.reduce_kernel[(triton.cdiv(channels, width), entries)](
        partials,
        grads,
        parts,
        channels,
        K=curves.values.shape[1],
        ENTRIES=entries,
        DEEP=deep,
        WIDTH=width,
        num_warps=WARPS,
    )


def _split_gradients(grads: Tensor | None, curves: _Curves) -> tuple[Tensor | None, Tensor | None]:
    """Split one tensor with all gradients of the curves into two tensors.

    The first, `(C, K)`, is the gradient with respect to the values. The second, `(C, 2)`, is the
    gradient with respect to the slopes of free tails, and None for other tails.
    """
    if grads is None:
        return None, None
    values = curves.values.numel()
    tails = grads[values:].view(-1, 2) if curves.tails == "free" else None
    return grads[:values].view(curves.values.shape), tails
