"""The Triton kernels of `gpu.py`: what one program does. Tables, grids and launches are there.

A program walks over tiles of `ROWS` x `SPAN` elements. *Planar* memory (`PLANAR`): the program
has one channel, a tile's columns lie along its images, its rows are images of the batch.
*Interleaved* memory: a tile's columns are `SPAN` neighbouring channels, its rows are all else.
Either way a row of memory is `row_units * ALIGN` elements long, and of it the program's columns
are `base` to `base + width_units * ALIGN`. Lengths come as multiples of the constant `ALIGN`, so
that the compiler knows accesses of several elements to be aligned; no length is itself a constant.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Far above the rounding of an estimate (5 * 2**-24 * K), far below 1: added to the place of an
# input among the hinges, it makes the estimate never too low and at most one too high.
MARGIN = tl.constexpr(1 / 64)
# Stands for infinity where infinity * 0 must be 0.
HUGE = tl.constexpr(3.4028234663852886e38)
# Sizes of one batch or image: constants or specialised values would mean to compile anew for each.
SIZES = ["outer", "row_units", "width_units", "spans", "count", "channels"]


@triton.jit
def tabulate(
    values, hinges, tail_slopes, table, rates,
    K: tl.constexpr, TAILS: tl.constexpr, OWN: tl.constexpr, LINES: tl.constexpr,
):  # fmt: skip
    """Write the lines of channel `program_id(0)`, slope beside intercept, and each piece's 1 / gap.

    The same operations in the same order as `evaluate.lines`, each rounded by itself (launched
    without fusion), so that the table is the same to the last bit.
    """
    channel = tl.program_id(0)
    line = tl.arange(0, LINES)
    values += channel * K
    if OWN:
        hinges += channel * K
    before = tl.minimum(tl.maximum(line - 1, 0), K - 1)
    behind = tl.minimum(line, K - 1)
    # Tails repeat the end piece unless they have slopes of their own.
    piece = tl.minimum(before, K - 2)
    gap = tl.load(hinges + piece + 1) - tl.load(hinges + piece)
    slope = tl.div_rn(tl.load(values + piece + 1) - tl.load(values + piece), gap)
    if TAILS == "constant":
        slope = tl.where((line == 0) | (line >= K), 0.0, slope)
    if TAILS == "free":
        slope = tl.where(line == 0, tl.load(tail_slopes + channel * 2), slope)
        slope = tl.where(line >= K, tl.load(tail_slopes + channel * 2 + 1), slope)
    if TAILS == "linear":
        before, behind = piece, piece + 1
    at_before, at_behind = tl.load(hinges + before), tl.load(hinges + behind)
    nearer = tl.abs(at_behind) < tl.abs(at_before)
    height = tl.where(nearer, tl.load(values + behind), tl.load(values + before))
    intercept = height - slope * tl.where(nearer, at_behind, at_before)
    table += (channel * (K + 1) + line) * 2
    tl.store(table, slope, mask=line <= K)
    tl.store(table + 1, intercept, mask=line <= K)
    if rates is not None:
        rate = tl.div_rn(tl.full([LINES], 1.0, tl.float32), gap)
        tl.store(rates + channel * (K - 1) + line - 1, rate, mask=(line >= 1) & (line < K))


@triton.jit
def _my_channels(channels, PLANAR: tl.constexpr, SPAN: tl.constexpr):
    """The program's channel, or the channels of its columns, (1, SPAN); those off the end repeat
    the last."""
    if PLANAR:
        return tl.program_id(0)
    else:  # noqa: RET505 - Triton compiles what follows a return
        return tl.minimum(tl.program_id(0) * SPAN + tl.arange(0, SPAN), channels - 1)[None, :]


@triton.jit
def _start(spans, count, ROWS: tl.constexpr, SPAN: tl.constexpr, PLANAR: tl.constexpr):
    """Row and column of the program's first tile; tiles run along a row first."""
    tile = tl.program_id(1) * count
    if PLANAR:
        return (tile // spans) * ROWS, (tile % spans) * SPAN
    else:  # noqa: RET505
        return tile * ROWS, tl.program_id(0) * SPAN


@triton.jit
def _next(row, column, width, ROWS: tl.constexpr, SPAN: tl.constexpr, PLANAR: tl.constexpr):
    """Row and column of the tile after this one."""
    if PLANAR:
        along = column + SPAN
        return tl.where(along < width, row, row + ROWS), tl.where(along < width, along, 0)
    else:  # noqa: RET505
        return row + ROWS, column


@triton.jit
def _offsets(
    row, column, outer, width, row_length,
    ROWS: tl.constexpr, SPAN: tl.constexpr, PLANAR: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Offsets of a tile's elements and which of them exist, each (ROWS, SPAN)."""
    rows = row + tl.arange(0, ROWS)[:, None]
    columns = column + tl.arange(0, SPAN)[None, :]
    mask = (rows < outer) & (columns < width)
    offsets = rows.to(tl.int64) * row_length + columns if WIDE else rows * row_length + columns
    if PLANAR:
        base = tl.program_id(0)
        offsets += base.to(tl.int64) * width if WIDE else base * width
    return offsets, mask


@triton.jit
def _find(x, hinges, first, scale, K: tl.constexpr, STEPS: tl.constexpr, UNIFORM: tl.constexpr):
    """The line 0 to K of each input: the number of hinges at or left of it, 0 for NaN.

    By arithmetic or by search, a hinge is found that is the last one left of `x` or the one behind
    that; one comparison with the hinge itself decides.
    """
    if UNIFORM:
        place = (x - first) * scale + MARGIN
        # By comparing, NaN becomes 0; the interpreter's maximum, unlike a GPU's, would let it pass.
        nearby = tl.minimum(tl.where(place > 0.0, place, 0.0), K - 1.0).to(tl.int32)
    else:
        nearby = tl.zeros_like(x).to(tl.int32)
        for step in tl.static_range(STEPS):
            # Halving K hinges `step` times leaves ceil(K / 2**step) of them.
            half = ((K + (1 << step) - 1) >> step) // 2
            passed = x >= tl.load(hinges + nearby + half)
            nearby = tl.where(passed, nearby + half, nearby)
    return nearby + (x >= tl.load(hinges + nearby)).to(tl.int32)


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(
    x_ptr, y_ptr, table, hinges,
    outer, row_units, width_units, spans, count, channels,
    K: tl.constexpr, STEPS: tl.constexpr, UNIFORM: tl.constexpr, OWN: tl.constexpr,
    PLANAR: tl.constexpr, ROWS: tl.constexpr, SPAN: tl.constexpr, ALIGN: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Write `y = s[line] x + b[line]`; `table` holds slope and intercept as one 64-bit word."""
    width, row_length = width_units * ALIGN, row_units * ALIGN
    channel = _my_channels(channels, PLANAR, SPAN)
    if OWN:
        hinges += channel * K
    table += channel * (K + 1)
    first = tl.load(hinges)
    scale = (K - 1) / (tl.load(hinges + (K - 1)) - first)
    row, column = _start(spans, count, ROWS, SPAN, PLANAR)
    for _ in range(count):
        offsets, mask = _offsets(row, column, outer, width, row_length, ROWS, SPAN, PLANAR, WIDE)
        x = tl.load(x_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
        word = tl.load(table + _find(x, hinges, first, scale, K, STEPS, UNIFORM))
        slope = word.to(tl.int32).to(tl.float32, bitcast=True)
        intercept = (word >> 32).to(tl.int32).to(tl.float32, bitcast=True)
        # On a flat tail an infinity gives the end value; 0 * infinity would be NaN.
        y = tl.where((slope == 0.0) & (x == x), intercept, slope * x + intercept)
        tl.store(y_ptr + offsets, y.to(y_ptr.dtype.element_ty), mask=mask)
        row, column = _next(row, column, width, ROWS, SPAN, PLANAR)


@triton.jit
def _ramp(
    x, place, hinges, rates, piece: tl.constexpr,
    K: tl.constexpr, TAILS: tl.constexpr, UNIFORM: tl.constexpr,
):  # fmt: skip
    """How far along a piece `x` is, from 0 at its end towards the middle hinge to 1 at the other.

    Compiles to one saturating addition (uniform hinges) or an addition and a saturating product.
    """
    MIDDLE: tl.constexpr = (K - 1) // 2
    RIGHT: tl.constexpr = piece >= MIDDLE
    ORIGIN: tl.constexpr = piece if RIGHT else piece + 1
    if UNIFORM:
        ramp = place - (ORIGIN - MIDDLE) if RIGHT else (ORIGIN - MIDDLE) - place
    else:
        distance = x - tl.load(hinges + ORIGIN)
        ramp = (distance if RIGHT else -distance) * tl.load(rates + piece)
    # A linear tail goes on along the end piece, also beyond its 1 (and, of 2 hinges, below its 0).
    END: tl.constexpr = (TAILS == "linear") and (piece == 0 or piece == K - 2)
    LOWEST: tl.constexpr = -HUGE if TAILS == "linear" and K == 2 else 0.0
    HIGHEST: tl.constexpr = HUGE if END else 1.0
    return tl.minimum(tl.maximum(ramp, LOWEST), HIGHEST)


@triton.jit
def _middle(x, place, hinges, rates, K: tl.constexpr, TAILS: tl.constexpr, UNIFORM: tl.constexpr):
    """The weight of the middle hinge's value: 1 less the ramps that begin there."""
    MIDDLE: tl.constexpr = (K - 1) // 2
    weight = 1.0 - _ramp(x, place, hinges, rates, MIDDLE, K, TAILS, UNIFORM)
    if MIDDLE > 0:
        weight -= _ramp(x, place, hinges, rates, MIDDLE - 1, K, TAILS, UNIFORM)
    return weight


@triton.jit
def _store_sum(total, partials, channel, channels, entry, M: tl.constexpr, PLANAR: tl.constexpr,
               SPAN: tl.constexpr):  # fmt: skip
    """Write one sum per channel of the program to `partials[program_id(1), entry, channel]`."""
    to = partials + (tl.program_id(1) * M + entry).to(tl.int64) * channels
    if PLANAR:
        tl.store(to + channel, tl.sum(total))
    else:
        column = tl.program_id(0) * SPAN + tl.arange(0, SPAN)
        tl.store(to + column, tl.sum(total, axis=0), mask=column < channels)


@triton.jit(do_not_specialize=SIZES)
def backward_kernel(
    g_ptr, x_ptr, grad_x_ptr, partials, table, rates, hinges,
    outer, row_units, width_units, spans, count, channels,
    K: tl.constexpr, STEPS: tl.constexpr, UNIFORM: tl.constexpr, OWN: tl.constexpr,
    PLANAR: tl.constexpr, ROWS: tl.constexpr, SPAN: tl.constexpr, ALIGN: tl.constexpr, WIDE: tl.constexpr,
    TAILS: tl.constexpr, M: tl.constexpr, FROM: tl.constexpr, PIECES: tl.constexpr,
    UNROLL: tl.constexpr,
):  # fmt: skip
    """Write `grad_x` (unless None), and the sums of `g` times each of `PIECES` ramps.

    The launch that begins at piece 0 also sums the middle hinge's weight and the free tails.
    """
    width, row_length = width_units * ALIGN, row_units * ALIGN
    channel = _my_channels(channels, PLANAR, SPAN)
    if OWN:
        hinges += channel * K
    table += channel * ((K + 1) * 2)
    if OWN and rates is not None:
        rates += channel * (K - 1)
    first, last = tl.load(hinges), tl.load(hinges + (K - 1))
    middle = tl.load(hinges + (K - 1) // 2)
    scale = (K - 1) / (last - first)
    sums = ()
    for _ in tl.static_range(PIECES + (M - K + 1 if FROM == 0 else 0)):
        sums += (tl.zeros([ROWS, SPAN], tl.float32),)
    row, column = _start(spans, count, ROWS, SPAN, PLANAR)
    for _ in range(0, count, UNROLL):
        tiles = ()
        # All loads first: several are under way before the first is used.
        for _u in tl.static_range(UNROLL):
            offsets, mask = _offsets(
                row, column, outer, width, row_length, ROWS, SPAN, PLANAR, WIDE
            )
            x = tl.load(x_ptr + offsets, mask=mask, other=0.0)
            g = tl.load(g_ptr + offsets, mask=mask, other=0.0)
            tiles += ((x, g, offsets, mask),)
            row, column = _next(row, column, width, ROWS, SPAN, PLANAR)
        for u in tl.static_range(UNROLL):
            x, g = tiles[u][0].to(tl.float32), tiles[u][1].to(tl.float32)
            if grad_x_ptr is not None:
                slope = tl.load(table + _find(x, hinges, first, scale, K, STEPS, UNIFORM) * 2)
                grad = (g * slope).to(grad_x_ptr.dtype.element_ty)
                tl.store(grad_x_ptr + tiles[u][2], grad, mask=tiles[u][3])
            if PIECES > 0:
                sums = _add(sums, x, g, (x - middle) * scale, hinges, rates, first, last,
                            K, TAILS, UNIFORM, FROM, PIECES)  # fmt: skip
    for i in tl.static_range(PIECES):
        _store_sum(sums[i], partials, channel, channels, FROM + i, M, PLANAR, SPAN)
    if FROM == 0 and PIECES > 0:
        for i in tl.static_range(M - K + 1):
            _store_sum(sums[PIECES + i], partials, channel, channels, K - 1 + i, M, PLANAR, SPAN)


@triton.jit
def _add(
    sums, x, g, place, hinges, rates, first, last,
    K: tl.constexpr, TAILS: tl.constexpr, UNIFORM: tl.constexpr,
    FROM: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """The sums with one tile's elements added: the ramps, the middle's weight, the free tails."""
    more = ()
    for i in tl.static_range(PIECES):
        more += (sums[i] + g * _ramp(x, place, hinges, rates, FROM + i, K, TAILS, UNIFORM),)
    if FROM == 0:
        more += (sums[PIECES] + g * _middle(x, place, hinges, rates, K, TAILS, UNIFORM),)
        if TAILS == "free":
            below = tl.maximum(tl.minimum(x - first, 0.0), -HUGE)
            above = tl.minimum(tl.maximum(x - last, 0.0), HUGE)
            more += (sums[PIECES + 1] + g * below, sums[PIECES + 2] + g * above)
    return more


@triton.jit(do_not_specialize=["parts", "channels"])
def reduce_kernel(
    partials, grads, parts, channels,
    K: tl.constexpr, M: tl.constexpr, DEEP: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Sum over `parts` for one hinge (or free tail) of `WIDTH` channels, in a fixed order.

    Right of the middle hinge, `y = v[middle] + sum_k (v[k+1] - v[k]) ramp[k]`, so a value's
    gradient is the sum of the ramp that ends at its hinge less that of the ramp that begins there;
    left of the middle likewise, mirrored.
    """
    MIDDLE: tl.constexpr = (K - 1) // 2
    entry = tl.program_id(1)
    right = (entry > MIDDLE) & (entry < K)
    ends = tl.where(entry == MIDDLE, K - 1, tl.where(right, entry - 1, entry))
    begins = tl.where(right, entry, entry - 1)
    inner = (entry > 0) & (entry < K - 1) & (entry != MIDDLE)
    column = tl.program_id(0) * WIDTH + tl.arange(0, WIDTH)[None, :]
    total = tl.zeros([DEEP, WIDTH], tl.float32)
    for start in range(0, parts, DEEP):
        part = start + tl.arange(0, DEEP)[:, None]
        mask = (part < parts) & (column < channels)
        row = part.to(tl.int64) * M
        ending = tl.load(partials + (row + ends) * channels + column, mask=mask, other=0.0)
        mask &= inner
        beginning = tl.load(partials + (row + begins) * channels + column, mask=mask, other=0.0)
        total += ending - beginning
    # The free tails' gradients, (C, 2), lie behind the values', (C, K).
    to = tl.where(entry < K, column * K + entry, channels * K + column * 2 + entry - K)
    tl.store(grads + to, tl.sum(total, axis=0)[None, :], mask=column < channels)
