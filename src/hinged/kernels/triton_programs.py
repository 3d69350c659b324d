"""The Triton kernels: the code of one program. `triton_launch` computes the grids and launches
them.

A program processes tiles of `ROWS` x `COLUMNS` elements. Memory has one of two layouts:

- *Planar* memory (`PLANAR`): a program processes one channel. The columns of a tile are
  neighbouring pixels of an image of this channel. The rows of a tile are images of the batch.
- *Interleaved* memory: the columns of a tile are `COLUMNS` neighbouring channels. The rows of a
  tile are all other indices.

A row of memory has `row_units * ALIGN` elements. A program processes the elements from `base` to
`base + width_units * ALIGN` of each row. Both lengths are multiples of the constant `ALIGN`, so the
compiler knows that loads of several elements are aligned. The lengths themselves are not constants,
because each constant would need a compilation.
"""

from __future__ import annotations

import triton
import triton.language as tl

# `_find_line` estimates the index of the last hinge at or left of an input, and adds MARGIN to it. The
# estimate is then never too low, and at most one too high. MARGIN is far above the rounding error of
# the estimate (5 * 2**-24 * K) and far below 1.
MARGIN = tl.constexpr(1 / 64)
# This number replaces infinity where infinity * 0 must be 0.
HUGE = tl.constexpr(3.4028234663852886e38)
# Sizes of a batch or an image. They are not constants, because each constant would need a compilation.
SIZES = ["outer", "row_units", "width_units", "tiles_across", "count", "channels"]


@triton.jit
def tabulate(
    values, hinges, tail_slopes, table, rates,
    K: tl.constexpr, TAILS: tl.constexpr, BY_CHANNEL: tl.constexpr, LINES: tl.constexpr,
):  # fmt: skip
    """Write the slope and the intercept of every line of channel `program_id(0)`, and `1 / width`
    of every piece.

    The operations and their order are those of `slopes_and_intercepts` in `hinged.curve.evaluate`.
    Each operation is rounded separately, because the launch turns fusion off. The table therefore
    equals that of the reference bit for bit.
    """
    channel = tl.program_id(0)
    line = tl.arange(0, LINES)
    values += channel * K
    if BY_CHANNEL:
        hinges += channel * K
    before = tl.minimum(tl.maximum(line - 1, 0), K - 1)
    behind = tl.minimum(line, K - 1)
    # A linear tail continues the piece next to it.
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
def _program_channels(channels, PLANAR: tl.constexpr, COLUMNS: tl.constexpr):
    """Return the index of the program's channel, or the indices of its channels, (1, COLUMNS).

    The index of a column beyond the last channel is that of the last channel.
    """
    if PLANAR:
        return tl.program_id(0)
    else:  # noqa: RET505 - Triton also compiles the lines after a return
        return tl.minimum(tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS), channels - 1)[None, :]


@triton.jit
def _first_tile(
    tiles_across, count, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PLANAR: tl.constexpr
):
    """Return the first row and the first column of the program's first tile.

    The tiles are numbered from left to right, then from top to bottom.
    """
    tile = tl.program_id(1) * count
    if PLANAR:
        return (tile // tiles_across) * ROWS, (tile % tiles_across) * COLUMNS
    else:  # noqa: RET505
        return tile * ROWS, tl.program_id(0) * COLUMNS


@triton.jit
def _next_tile(row, column, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PLANAR: tl.constexpr):
    """Return the first row and the first column of the tile after the tile at `row`, `column`."""
    if PLANAR:
        along = column + COLUMNS
        return tl.where(along < width, row, row + ROWS), tl.where(along < width, along, 0)
    else:  # noqa: RET505
        return row + ROWS, column


@triton.jit
def _offsets(
    row, column, outer, width, row_length,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, PLANAR: tl.constexpr, LONG_OFFSETS: tl.constexpr,
):  # fmt: skip
    """Return the offsets of a tile's elements, and a mask of the elements that exist.

    Both have shape (ROWS, COLUMNS). An element does not exist if it lies outside the tensor.
    """
    rows = row + tl.arange(0, ROWS)[:, None]
    columns = column + tl.arange(0, COLUMNS)[None, :]
    mask = (rows < outer) & (columns < width)
    offsets = (
        rows.to(tl.int64) * row_length + columns if LONG_OFFSETS else rows * row_length + columns
    )
    if PLANAR:
        base = tl.program_id(0)
        offsets += base.to(tl.int64) * width if LONG_OFFSETS else base * width
    return offsets, mask


@triton.jit
def _find_line(
    x, hinges, first, scale, K: tl.constexpr, STEPS: tl.constexpr, UNIFORM: tl.constexpr
):
    """Return the index of the line that contains each input, from 0 (left tail) to K (right tail).

    The index is the number of hinges at or left of the input. It is 0 for NaN. First, arithmetic
    (equally spaced hinges) or a search (other hinges) finds one of two hinges: the last hinge at or
    left of `x`, or the hinge after it. Then a comparison of `x` with the hinge found gives the
    index.
    """
    if UNIFORM:
        place = (x - first) * scale + MARGIN
        # The comparison changes NaN to 0. A maximum would do this on a GPU, but not in the interpreter.
        nearby = tl.minimum(tl.where(place > 0.0, place, 0.0), K - 1.0).to(tl.int32)
    else:
        nearby = tl.zeros_like(x).to(tl.int32)
        for step in tl.static_range(STEPS):
            # After `step` halvings, ceil(K / 2**step) of the K hinges are left.
            half = ((K + (1 << step) - 1) >> step) // 2
            passed = x >= tl.load(hinges + nearby + half)
            nearby = tl.where(passed, nearby + half, nearby)
    return nearby + (x >= tl.load(hinges + nearby)).to(tl.int32)


@triton.jit(do_not_specialize=SIZES)
def forward_kernel(
    x_ptr, y_ptr, table, hinges,
    outer, row_units, width_units, tiles_across, count, channels,
    K: tl.constexpr, STEPS: tl.constexpr, UNIFORM: tl.constexpr, BY_CHANNEL: tl.constexpr,
    PLANAR: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, ALIGN: tl.constexpr, LONG_OFFSETS: tl.constexpr,
):  # fmt: skip
    """Write the outputs `y = s[line] x + b[line]` of the curves for the inputs `x`.

    Each 64-bit word of `table` contains the slope `s` and the intercept `b` of one line.
    """
    width, row_length = width_units * ALIGN, row_units * ALIGN
    channel = _program_channels(channels, PLANAR, COLUMNS)
    if BY_CHANNEL:
        hinges += channel * K
    table += channel * (K + 1)
    first = tl.load(hinges)
    scale = (K - 1) / (tl.load(hinges + (K - 1)) - first)
    row, column = _first_tile(tiles_across, count, ROWS, COLUMNS, PLANAR)
    for _ in range(count):
        offsets, mask = _offsets(
            row, column, outer, width, row_length, ROWS, COLUMNS, PLANAR, LONG_OFFSETS
        )
        x = tl.load(x_ptr + offsets, mask=mask, other=0.0).to(tl.float32)
        word = tl.load(table + _find_line(x, hinges, first, scale, K, STEPS, UNIFORM))
        slope = word.to(tl.int32).to(tl.float32, bitcast=True)
        intercept = (word >> 32).to(tl.int32).to(tl.float32, bitcast=True)
        # On a flat tail the result for an infinity is the intercept, because 0 * infinity is NaN.
        y = tl.where((slope == 0.0) & (x == x), intercept, slope * x + intercept)
        tl.store(y_ptr + offsets, y.to(y_ptr.dtype.element_ty), mask=mask)
        row, column = _next_tile(row, column, width, ROWS, COLUMNS, PLANAR)


@triton.jit
def _ramp(
    x, place, hinges, rates, piece: tl.constexpr,
    K: tl.constexpr, TAILS: tl.constexpr, UNIFORM: tl.constexpr,
):  # fmt: skip
    """Return the ramp of a piece, the position of `x` along this piece.

    It is 0 at the end nearer to the middle hinge and 1 at the other end. Outside the piece it is 0
    or 1, except that the ramps of the outer pieces continue if the tails are linear.

    With equally spaced hinges this compiles to one saturating addition. Otherwise it compiles to an
    addition and a saturating multiplication.
    """
    MIDDLE: tl.constexpr = (K - 1) // 2
    RIGHT: tl.constexpr = piece >= MIDDLE
    ORIGIN: tl.constexpr = piece if RIGHT else piece + 1
    if UNIFORM:
        ramp = place - (ORIGIN - MIDDLE) if RIGHT else (ORIGIN - MIDDLE) - place
    else:
        distance = x - tl.load(hinges + ORIGIN)
        ramp = (distance if RIGHT else -distance) * tl.load(rates + piece)
    # With linear tails, the ramps of the first and the last piece continue beyond 1. With 2 hinges,
    # the only ramp also continues below 0.
    END: tl.constexpr = (TAILS == "linear") and (piece == 0 or piece == K - 2)
    LOWEST: tl.constexpr = -HUGE if TAILS == "linear" and K == 2 else 0.0
    HIGHEST: tl.constexpr = HUGE if END else 1.0
    return tl.minimum(tl.maximum(ramp, LOWEST), HIGHEST)


@triton.jit
def _middle_weight(
    x, place, hinges, rates, K: tl.constexpr, TAILS: tl.constexpr, UNIFORM: tl.constexpr
):
    """Return the factor of the middle hinge's value in the output of the curve at `x`.

    It is 1 minus the sum of two ramps (see `_ramp`): the ramps of the two pieces at this hinge.
    """
    MIDDLE: tl.constexpr = (K - 1) // 2
    weight = 1.0 - _ramp(x, place, hinges, rates, MIDDLE, K, TAILS, UNIFORM)
    if MIDDLE > 0:
        weight -= _ramp(x, place, hinges, rates, MIDDLE - 1, K, TAILS, UNIFORM)
    return weight


@triton.jit
def _store_sum(total, partials, channel, channels, entry, ENTRIES: tl.constexpr, PLANAR: tl.constexpr,
               COLUMNS: tl.constexpr):  # fmt: skip
    """Sum a tile over the elements of each channel, and write the sums to
    `partials[program_id(1), entry, channel]`."""
    to = partials + (tl.program_id(1) * ENTRIES + entry).to(tl.int64) * channels
    if PLANAR:
        tl.store(to + channel, tl.sum(total))
    else:
        column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
        tl.store(to + column, tl.sum(total, axis=0), mask=column < channels)


@triton.jit(do_not_specialize=SIZES)
def backward_kernel(
    g_ptr, x_ptr, grad_x_ptr, partials, table, rates, hinges,
    outer, row_units, width_units, tiles_across, count, channels,
    K: tl.constexpr, STEPS: tl.constexpr, UNIFORM: tl.constexpr, BY_CHANNEL: tl.constexpr,
    PLANAR: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, ALIGN: tl.constexpr, LONG_OFFSETS: tl.constexpr,
    TAILS: tl.constexpr, ENTRIES: tl.constexpr, FIRST_PIECE: tl.constexpr, PIECES: tl.constexpr,
    UNROLL: tl.constexpr,
):  # fmt: skip
    """Write the gradient of the loss with respect to `x`, and sums for the gradients of the curves.

    `g` is the gradient of the loss with respect to the outputs. There is one sum for each of
    `PIECES` pieces: over the inputs, of `g` times the ramp of the piece. The launch with
    `FIRST_PIECE == 0` also sums `g` times `_middle_weight`, and for free tails `g` times the
    distance of the input from the outer hinge. If `grad_x_ptr` is None, only the sums are written.
    """
    width, row_length = width_units * ALIGN, row_units * ALIGN
    channel = _program_channels(channels, PLANAR, COLUMNS)
    if BY_CHANNEL:
        hinges += channel * K
    table += channel * ((K + 1) * 2)
    if BY_CHANNEL and rates is not None:
        rates += channel * (K - 1)
    first, last = tl.load(hinges), tl.load(hinges + (K - 1))
    middle = tl.load(hinges + (K - 1) // 2)
    scale = (K - 1) / (last - first)
    sums = ()
    for _ in tl.static_range(PIECES + (ENTRIES - K + 1 if FIRST_PIECE == 0 else 0)):
        sums += (tl.zeros([ROWS, COLUMNS], tl.float32),)
    row, column = _first_tile(tiles_across, count, ROWS, COLUMNS, PLANAR)
    for _ in range(0, count, UNROLL):
        tiles = ()
        # All loads start before the first result is needed, to hide the latency of memory.
        for _u in tl.static_range(UNROLL):
            offsets, mask = _offsets(
                row, column, outer, width, row_length, ROWS, COLUMNS, PLANAR, LONG_OFFSETS
            )
            x = tl.load(x_ptr + offsets, mask=mask, other=0.0)
            g = tl.load(g_ptr + offsets, mask=mask, other=0.0)
            tiles += ((x, g, offsets, mask),)
            row, column = _next_tile(row, column, width, ROWS, COLUMNS, PLANAR)
        for u in tl.static_range(UNROLL):
            x, g = tiles[u][0].to(tl.float32), tiles[u][1].to(tl.float32)
            if grad_x_ptr is not None:
                slope = tl.load(table + _find_line(x, hinges, first, scale, K, STEPS, UNIFORM) * 2)
                grad = (g * slope).to(grad_x_ptr.dtype.element_ty)
                tl.store(grad_x_ptr + tiles[u][2], grad, mask=tiles[u][3])
            if PIECES > 0:
                sums = _add_tile(sums, x, g, (x - middle) * scale, hinges, rates, first, last,
                            K, TAILS, UNIFORM, FIRST_PIECE, PIECES)  # fmt: skip
    for i in tl.static_range(PIECES):
        _store_sum(sums[i], partials, channel, channels, FIRST_PIECE + i, ENTRIES, PLANAR, COLUMNS)
    if FIRST_PIECE == 0 and PIECES > 0:
        for i in tl.static_range(ENTRIES - K + 1):
            _store_sum(
                sums[PIECES + i], partials, channel, channels, K - 1 + i, ENTRIES, PLANAR, COLUMNS
            )


@triton.jit
def _add_tile(
    sums, x, g, place, hinges, rates, first, last,
    K: tl.constexpr, TAILS: tl.constexpr, UNIFORM: tl.constexpr,
    FIRST_PIECE: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """Return the sums of `backward_kernel` after adding the elements of one tile.

    Their order is: the ramps, the middle weight, the two free tails.
    """
    more = ()
    for i in tl.static_range(PIECES):
        more += (sums[i] + g * _ramp(x, place, hinges, rates, FIRST_PIECE + i, K, TAILS, UNIFORM),)
    if FIRST_PIECE == 0:
        more += (sums[PIECES] + g * _middle_weight(x, place, hinges, rates, K, TAILS, UNIFORM),)
        if TAILS == "free":
            below = tl.maximum(tl.minimum(x - first, 0.0), -HUGE)
            above = tl.minimum(tl.maximum(x - last, 0.0), HUGE)
            more += (sums[PIECES + 1] + g * below, sums[PIECES + 2] + g * above)
    return more


@triton.jit(do_not_specialize=["parts", "channels"])
def reduce_kernel(
    partials, grads, parts, channels,
    K: tl.constexpr, ENTRIES: tl.constexpr, DEEP: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Add the sums of all programs of `backward_kernel`, in a fixed order, and write gradients.

    A program writes the gradient for one hinge or one free tail of `WIDTH` channels. `parts` is the
    number of sums to add.

    Right of the middle hinge, `y = v[middle] + sum_k (v[k+1] - v[k]) ramp[k]`. The gradient of a
    value is therefore the sum for the piece that ends at its hinge, minus the sum for the piece
    that begins at its hinge. Left of the middle hinge the formula is mirrored.
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
        row = part.to(tl.int64) * ENTRIES
        ending = tl.load(partials + (row + ends) * channels + column, mask=mask, other=0.0)
        mask &= inner
        beginning = tl.load(partials + (row + begins) * channels + column, mask=mask, other=0.0)
        total += ending - beginning
    # The gradients of the free tails, (C, 2), are stored after the gradients of the values, (C, K).
    to = tl.where(entry < K, column * K + entry, channels * K + column * 2 + entry - K)
    tl.store(grads + to, tl.sum(total, axis=0)[None, :], mask=column < channels)
