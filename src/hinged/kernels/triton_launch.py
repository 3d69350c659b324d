"""Launches the Triton kernels: forward and backward of curves on a GPU.

This module imports `triton`; nothing imports it unless triton is installed. A forward call is two
launches (a table of the lines, then the elements). A backward call with gradients of the values is
three: partial sums are added in a fixed order, without atomics, so every run gives the same bits on
every device. Nothing is read back from the device.

**Forward** computes `y = s[line] x + b[line]` with the table of `slopes_and_intercepts` and without
fused multiply-add. It therefore has the bits of the reference in float32. (Torch's compiler may
fuse the operations of the reference. For an exact start `b` is 0, and fusing changes nothing.)

**Backward** sums value gradients by *ramps* instead of by line. Let `t_k` be the position of `x`
along piece `k`, limited to the interval from 0 to 1. For any hinge `m` a curve is

    y = v[m] + sum_(k >= m) (v[k+1] - v[k]) t_k + sum_(k < m) (v[k] - v[k+1]) (1 - t_k)

The sums of `g` times each ramp give all gradients, as differences of neighbours. Ramps begin at the
middle hinge, so both sums of a difference contain only inputs in or outside their piece. The
rounding error is then a few units of `sum |g|` over these inputs, and the gradient of a value is
exactly 0 if no input lies in its pieces. A ramp and its sum take two instructions per element
(FADD.SAT, FFMA). Comparing with each line and adding `g` and `g t` under the mask would take five.

**Cost**, in instructions per element at `K` uniform hinges, estimated from the machine code for
`sm_90` without the loop and the final sums: forward about 20, two of which read tables in the
first-level cache; backward about `2 (K - 1) + 25`, two of which read tables. An H100 can issue
about 100 instructions while memory moves the 12 bytes of a backward element in float32 (50 in
bfloat16), and 68 for the 8 bytes of a forward element (34). Free hinges need about `log2 K` more
table reads, and three instructions for each ramp. These numbers are not measured.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from hinged.kernels import triton_programs
from hinged.kernels.memory_layout import MemoryLayout

WARPS = 4
# Elements of a tile. Backward has 4 for each of 128 threads, which keep 4 sums for every piece.
FORWARD_TILE, BACKWARD_TILE = 1024, 512
# About 30 programs for each multiprocessor of a large device, so that the last wave is short. It is
# a constant, not the device's own count, so that the order of sums is the same on all devices.
PROGRAMS = 4096
# A program has at least this many elements of a channel: with fewer, its fixed costs, such as the
# final sums, would be noticeable.
LEAST_ELEMENTS = 4096
# The sums of this many pieces fit in registers (free hinges also need registers for positions).
# Curves with more pieces take several launches.
MOST_PIECES, MOST_FREE_PIECES = 32, 16


class _Curves(NamedTuple):
    values: Tensor
    hinges: Tensor
    tail_slopes: Tensor | None
    tails: str
    uniform: bool

    @property
    def entries(self) -> int:
        """The number of trained numbers of one curve."""
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
    """How a tensor is divided into tiles and programs; `triton_programs` explains the terms."""

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
        """Return the arguments of both kernels: the sizes and the constants of the layout."""
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
    """Return `y = s[c, line] x + b[c, line]`, in the dtype and strides of `x`.

    Args:
        x: inputs in float32, bfloat16 or float16; dense in memory, with this `layout`.
        values: outputs at the hinges, shape `(C, K)`, contiguous float32.
        hinges: ascending positions, shape `(K,)` or `(C, K)`, contiguous float32.
        tail_slopes: end slopes for free tails, shape `(C, 2)`, contiguous float32; otherwise None.
        tails: `"linear"`, `"constant"` or `"free"`, as in `Curve`.
        uniform: whether the hinges of each row are evenly spaced, except for rounding. The line is
            right if no hinge is farther than a hundredth of a step from its even position.
        layout: how `x` lies in memory; with `C = 1` it is `(1, 1, numel)`.

    Returns:
        A tensor of the shape, dtype and strides of `x`.
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
    """Return the gradients of `x`, `values` and `tail_slopes`; None for those not needed.

    Args:
        g: gradient of `y`, in the dtype and strides of `x`.
        x: as in `forward`, like the following arguments up to `layout`.
        values: see `forward`.
        hinges: see `forward`.
        tail_slopes: see `forward`.
        tails: see `forward`.
        uniform: see `forward`.
        layout: see `forward`.
        needs_grad: whether the gradient of `x`, and whether those of the curves, are needed.

    Returns:
        `grad_x` like `x`, `grad_values` `(C, K)` and, with free tails, `grad_tail_slopes` `(C, 2)`,
        the last two in float32.
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
        layout: how the tensor lies in memory.
        tile: number of elements of a tile, a power of 2.
        least_rows: least number of rows of a program in interleaved memory.
        unroll: the number of tiles of a program is a multiple of this.
    """
    outer, channels, inner = layout
    planar = inner > 1 or channels == 1
    width = inner if planar else channels
    # Few widths mean few compilations. Wide tiles of interleaved channels would give few programs.
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
        # The reference rounds the product before the sum.
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
    # Enough bytes in flight to hide the latency of memory, for each dtype.
    unroll = 8 // x.element_size()
    # With this many rows, the partial sums are less than 5 % of the memory traffic.
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
    """Return the first piece and the number of pieces for each launch of the backward kernel."""
    if not needed:
        return [(0, 0)]
    most = MOST_PIECES if curves.uniform else MOST_FREE_PIECES
    pieces = curves.values.shape[1] - 1
    return [(start, min(most, pieces - start)) for start in range(0, pieces, most)]


def _tabulate(curves: _Curves, rates: bool) -> tuple[Tensor, Tensor | None]:
    """Return slope and intercept of all lines, `(C, K + 1, 2)`, and 1 / gap of all pieces."""
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
    """Return the gradients of the values, `(C, K)`, and those of free tails, `(C, 2)`."""
    if grads is None:
        return None, None
    values = curves.values.numel()
    tails = grads[values:].view(-1, 2) if curves.tails == "free" else None
    return grads[:values].view(curves.values.shape), tails
