"""Forward and backward of curves by Triton: the numbers of `curve.evaluate`, fast.

Needs `triton`; nothing imports this module unless it is there. A call is two launches (a table of
the lines, then the elements), three with gradients of the values (their partial sums are added up
in a fixed order: no atomics, the same bits at every run, on every device). Nothing is read back
from the device.

**Forward** computes `y = s[line] x + b[line]` with the table of `evaluate.lines` and without fused
multiply-add, hence the bits of the reference in float32. (Torch's compiler may fuse those of the
reference; where an exact start has `b = 0`, this changes nothing.)

**Backward** sums value gradients by *ramps* instead of by line. With `t_k` how far `x` is along
piece `k`, limited to 0 and 1, a curve is

    y = v[m] + sum_(k >= m) (v[k+1] - v[k]) t_k + sum_(k < m) (v[k] - v[k+1]) (1 - t_k)

for any hinge `m`; the sum of `g` times each ramp gives all gradients by differences of neighbours.
Ramps begin at the middle hinge, so that the sums differenced hold only inputs at or outside their
piece: rounding stays below a few units of `sum |g|` over these, and the gradient of a value whose
pieces no input visits is exactly 0. A ramp and its sum are two instructions (FADD.SAT, FFMA) per
element; comparing with a line and adding `g` and `g t` under the mask would be five.

**Cost**, in instructions per element at `K` uniform hinges, estimated from the machine code for
`sm_90` without the share of loop and last sums: forward about 20, of which two gather from tables
in the first-level cache; backward about `2 (K - 1) + 25`, of which two gather. An H100 can issue
about 100 in the time in which memory moves the 12 bytes of an element's backward in float32 (50 in
bfloat16), and 68 for the 8 bytes of its forward (34). Free hinges are found by about `log2 K`
gathers more, and their ramps take three instructions. Not measured.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import triton
from torch import Tensor

from hinged.kernels import triton_programs as kernels
from hinged.kernels.memory_layout import Geometry

WARPS = 4
# Elements of a tile. Backward: 4 for each of 128 threads, as each keeps 4 sums for every piece.
FORWARD_TILE, BACKWARD_TILE = 1024, 512
# About 30 programs for each multiprocessor of a large device, so that the last wave is short.
# A constant, and not the device's own count, keeps the order of sums the same on all devices.
PROGRAMS = 4096
# Elements of one channel below which a program's own costs, as its last sums, would show.
LEAST = 4096
# The sums of so many pieces fit in registers (free hinges need some for positions, too); curves of
# more pieces take several launches.
MOST_PIECES, MOST_FREE_PIECES = 32, 16


class _Curves(NamedTuple):
    values: Tensor
    hinges: Tensor
    tail_slopes: Tensor | None
    tails: str
    uniform: bool

    @property
    def entries(self) -> int:
        """Trained numbers of one curve."""
        return self.values.shape[1] + (2 if self.tails == "free" else 0)

    def constants(self) -> dict[str, int | bool]:
        count = self.values.shape[1]
        return {
            "K": count,
            "STEPS": (count - 1).bit_length(),
            "UNIFORM": self.uniform,
            "OWN": self.hinges.dim() > 1,
        }


class Plan(NamedTuple):
    """How a tensor is shared out among programs: see `triton_kernels` for the words."""

    grid: tuple[int, int]
    outer: int
    row_length: int
    width: int
    channels: int
    spans: int
    count: int
    planar: bool
    rows: int
    span: int

    def arguments(self) -> dict[str, int | bool]:
        """Return what both kernels take: sizes, and the constants of the layout."""
        align = next(align for align in (8, 4, 1) if self.width % align == 0)
        return {
            "outer": self.outer,
            "row_units": self.row_length // align,
            "width_units": self.width // align,
            "spans": self.spans,
            "count": self.count,
            "channels": self.channels,
            "PLANAR": self.planar,
            "ROWS": self.rows,
            "SPAN": self.span,
            "ALIGN": align,
            "WIDE": self.outer * self.row_length >= 2**31,
            "num_warps": WARPS,
        }


def forward(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    tail_slopes: Tensor | None,
    tails: str,
    uniform: bool,
    geometry: Geometry,
) -> Tensor:
    """Return `y = s[c, line] x + b[c, line]`, in the dtype and strides of `x`.

    Args:
        x: inputs in float32, bfloat16 or float16; dense in memory, as `geometry` says.
        values: outputs at the hinges, shape `(C, K)`, contiguous float32.
        hinges: ascending positions, shape `(K,)` or `(C, K)`, contiguous float32.
        tail_slopes: end slopes for free tails, shape `(C, 2)`, contiguous float32; else None.
        tails: `"linear"`, `"constant"` or `"free"`, as in `Curve`.
        uniform: the hinges of each row are evenly spaced, to a rounding (the right line is found
            as long as no hinge is farther than a hundredth of a step from its place).
        geometry: how `x` lies in memory; with `C = 1` it is `(1, 1, numel)`.

    Returns:
        A tensor of the shape, dtype and strides of `x`.
    """
    curves = _Curves(values, hinges, tail_slopes, tails, uniform)
    y = torch.empty_like(x)
    if x.numel():
        with torch.cuda.device_of(x):
            _launch_forward(x, y, curves, geometry)
    return y


def backward(
    g: Tensor,
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    tail_slopes: Tensor | None,
    tails: str,
    uniform: bool,
    geometry: Geometry,
    wants: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Return the gradients to `x`, `values` and `tail_slopes`; None for what is not wanted.

    Args:
        g: gradient to `y`, in the dtype and strides of `x`.
        x: this and the following up to `geometry` are what `forward` was called with.
        values: see `forward`.
        hinges: see `forward`.
        tail_slopes: see `forward`.
        tails: see `forward`.
        uniform: see `forward`.
        geometry: see `forward`.
        wants: whether the gradient to `x`, and whether those to the parameters, are wanted.

    Returns:
        `grad_x` like `x`, `grad_values` `(C, K)` and, with free tails, `grad_tail_slopes` `(C, 2)`,
        the last two in float32.
    """
    curves = _Curves(values, hinges, tail_slopes, tails, uniform)
    grad_x = torch.empty_like(x) if wants[0] else None
    size = values.shape[0] * curves.entries
    grads = torch.empty(size, dtype=torch.float32, device=x.device) if wants[1] else None
    if x.numel():
        with torch.cuda.device_of(x):
            _launch_backward(g, x, grad_x, grads, curves, geometry)
    elif grads is not None:
        grads.zero_()
    return grad_x, *_split(grads, curves)


def share_out(geometry: Geometry, tile: int, least_rows: int, unroll: int = 1) -> Plan:
    """Return the tiles and the grid for a tensor that is not empty.

    Args:
        geometry: how the tensor lies in memory.
        tile: elements of a tile, a power of 2.
        least_rows: rows a program has at least, where each of its columns is another channel.
        unroll: a program's number of tiles is a multiple of it.
    """
    outer, channels, inner = geometry
    planar = inner > 1 or channels == 1
    width = inner if planar else channels
    # Few widths, so that few kernels are compiled; wide rows of channels would be too few programs.
    choices = (tile, 256, 64, 16, 4) if planar else (64, 16, 4)
    span = min(choices, key=lambda span: _padded(width, span) * _padded(outer, tile // span))
    rows = tile // span
    spans = triton.cdiv(width, span)
    tiles = triton.cdiv(outer, rows) * (spans if planar else 1)
    groups = channels if planar else spans
    enough = triton.cdiv(LEAST, tile) if planar else triton.cdiv(least_rows, rows)
    count = min(tiles, max(enough, triton.cdiv(tiles * groups, PROGRAMS)))
    count = _padded(count, unroll)
    grid = (groups, triton.cdiv(tiles, count))
    row_length = channels * inner
    return Plan(grid, outer, row_length, width, channels, spans, count, planar, rows, span)


def _padded(size: int, unit: int) -> int:
    return triton.cdiv(size, unit) * unit


def _launch_forward(x: Tensor, y: Tensor, curves: _Curves, geometry: Geometry) -> None:
    table, _ = _tabulate(curves, rates=False)
    plan = share_out(geometry, FORWARD_TILE, least_rows=64)
    kernels.forward_kernel[plan.grid](
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
    geometry: Geometry,
) -> None:
    table, rates = _tabulate(curves, rates=grads is not None and not curves.uniform)
    # So many bytes in flight as hide the memory's latency, in either dtype.
    unroll = 8 // x.element_size()
    # Writing and reading the partial sums is then below 5 % of the traffic.
    plan = share_out(geometry, BACKWARD_TILE, 16 * curves.entries, unroll)
    shape = (plan.grid[1], curves.entries, plan.channels)
    partials = None if grads is None else x.new_empty(shape, dtype=torch.float32)
    for start, pieces in _rounds(curves, grads is not None):
        kernels.backward_kernel[plan.grid](
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
            M=curves.entries,
            FROM=start,
            PIECES=pieces,
            UNROLL=unroll,
        )
    if grads is not None:
        _reduce(partials, grads, curves)


def _rounds(curves: _Curves, wanted: bool) -> list[tuple[int, int]]:
    """Return the first piece and the number of pieces whose sums each launch of backward makes."""
    if not wanted:
        return [(0, 0)]
    most = MOST_PIECES if curves.uniform else MOST_FREE_PIECES
    pieces = curves.values.shape[1] - 1
    return [(start, min(most, pieces - start)) for start in range(0, pieces, most)]


def _tabulate(curves: _Curves, rates: bool) -> tuple[Tensor, Tensor | None]:
    """Return slope and intercept of all lines, `(C, K + 1, 2)`, and 1 / gap of all pieces."""
    channels, count = curves.values.shape
    table = curves.values.new_empty(channels, count + 1, 2)
    inverse = curves.values.new_empty(channels, count - 1) if rates else None
    kernels.tabulate[(channels,)](
        curves.values,
        curves.hinges,
        curves.tail_slopes,
        table,
        inverse,
        K=count,
        TAILS=curves.tails,
        OWN=curves.hinges.dim() > 1,
        LINES=triton.next_power_of_2(count + 1),
        num_warps=1,
        # Each operation rounds by itself, as in the reference.
        enable_fp_fusion=False,
    )
    return table, inverse


def _reduce(partials: Tensor, grads: Tensor, curves: _Curves) -> None:
    parts, entries, channels = partials.shape
    deep, width = (64, 16) if channels > 1 else (1024, 1)
    kernels.reduce_kernel[(triton.cdiv(channels, width), entries)](
        partials,
        grads,
        parts,
        channels,
        K=curves.values.shape[1],
        M=entries,
        DEEP=deep,
        WIDTH=width,
        num_warps=WARPS,
    )


def _split(grads: Tensor | None, curves: _Curves) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of the values, `(C, K)`, and those of free tails, `(C, 2)`."""
    if grads is None:
        return None, None
    values = curves.values.numel()
    tails = grads[values:].view(-1, 2) if curves.tails == "free" else None
    return grads[:values].view(curves.values.shape), tails
