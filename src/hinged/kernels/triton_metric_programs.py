"""The Triton kernels for steps of curves in their metric: the code of one program.
`triton_metric_launch` launches them.

`hinged.curve.metric` has the formulas. The number of hinges is not a constant, so that curves with
other numbers of hinges need no compilation. The hinges of channel `c` begin at `c * hinge_stride`.
The stride is 0 if all channels share their hinges.
"""

from __future__ import annotations

import triton
import triton.language as tl

from hinged.kernels.triton_programs import HUGE

# Numbers and pointers that differ from layer to layer. The compiler does not specialise the code
# for them, so one compilation serves all layers.
STEP_ARGUMENTS = [
    "values", "direction", "size", "largest", "grad", "start", "moments", "hinges", "scratch",
    "channels", "count", "hinge_stride",
]  # fmt: skip
MOMENT_ARGUMENTS = [
    "x", "hinges", "moments", "samples", "step", "channels", "inner", "count", "hinge_stride",
]  # fmt: skip


@triton.jit
def _input_scale(moments, hinges, channels, count, hinge_stride, WIDTH: tl.constexpr):
    """Return the scale of the inputs of a layer: `hinged.curve.metric.input_scale`.

    Every program computes it from all channels in the same order. `WIDTH` channels are added
    together.
    """
    variances = tl.zeros([WIDTH], tl.float64)
    ranges = tl.zeros([WIDTH], tl.float64)
    for start in range(0, channels, WIDTH):
        channel = start + tl.arange(0, WIDTH)
        mask = channel < channels
        end = moments + (channel + 1) * (2 * count + 1)
        mean = tl.load(end - 2, mask=mask, other=0.0).to(tl.float64)
        variance = tl.load(end - 1, mask=mask, other=0.0).to(tl.float64) - mean * mean
        # A comparison keeps NaN, as in the reference. A maximum would not.
        variances += tl.where(variance < 0, 0.0, variance)
        first = hinges + channel * hinge_stride
        highest = tl.load(first + count - 1, mask=mask, other=0.0).to(tl.float64)
        ranges += highest - tl.load(first, mask=mask, other=0.0).to(tl.float64)
    deviation = tl.sqrt(tl.sum(variances) / channels)
    least = tl.sum(ranges) / channels / 8
    return tl.where(deviation < least, least, deviation)


@triton.jit
def _eliminate(grad, moments, hinges, scratch, row, count, stiffness, floor, mask):
    """Factorise the metric of each channel into `L D L^T`, and compute `z = D^-1 L^-1 grad`.

    The metric is the sum of the moments and of `stiffness` times the roughness of the hinges (see
    `hinged.curve.metric.roughness`). All pointers are those of the channels. Row `3 k` of `scratch`
    gets `z[k]`. Rows `3 k + 1` and `3 k + 2` get the two numbers of `L` below the diagonal in
    column `k`. A row of `scratch` has `row` numbers.
    """
    zero = tl.zeros(mask.shape, tl.float64)
    ahead = tl.load(hinges + 1).to(tl.float64)
    width = ahead - tl.load(hinges).to(tl.float64)
    # The inverse widths of the pieces before and after hinge k, and 1 / (mean width) of the two
    # pieces at hinge k - 1 and at hinge k. They are 0 where there is no piece, or only one.
    rate_before, rate = zero, 1 / width
    bend_before, bend = zero, zero
    # What the columns before k subtract from column k and from column k + 1.
    from_main, from_first, from_grad = zero, zero, zero
    from_next_main, from_next_grad = zero, zero
    for k in range(count):
        inside = k + 2 < count
        beyond = tl.load(hinges + tl.minimum(k + 2, count - 1)).to(tl.float64)
        width_after = tl.where(inside, beyond - ahead, 1.0)
        rate_after = tl.where(inside, 1 / width_after, 0.0)
        bend_after = tl.where(inside, 2 / (width + width_after), 0.0)
        around = rate_before + rate
        rough_main = bend_before * rate_before * rate_before + bend * around * around
        rough_main += bend_after * rate * rate
        rough_first = -rate * (bend * around + bend_after * (rate + rate_after))
        beside = tl.where(k + 1 < count, tl.load(moments + count + k).to(tl.float64), 0.0)
        main = tl.load(moments + k).to(tl.float64) + floor + stiffness * rough_main - from_main
        first = beside + stiffness * rough_first - from_first
        second = stiffness * bend_after * rate * rate_after
        y = tl.load(grad + k).to(tl.float64) - from_grad
        inverse = 1 / main
        lower_first, lower_second = first * inverse, second * inverse
        from_main = from_next_main + first * lower_first
        from_first = second * lower_first
        from_next_main = second * lower_second
        from_grad = from_next_grad + y * lower_first
        from_next_grad = y * lower_second
        to = scratch + 3 * k * row
        tl.store(to, y * inverse, mask=mask)
        tl.store(to + row, lower_first, mask=mask)
        tl.store(to + 2 * row, lower_second, mask=mask)
        rate_before, rate, width, ahead = rate, rate_after, width_after, beyond
        bend_before, bend = bend, bend_after


@triton.jit
def _substitute(grad, direction, scratch, row, count, keep, mask):
    """Compute the directions `A^-1 g` from the result of `_eliminate`, and add them to the running
    means. Return the squared length `g^T A^-1 g` of each channel."""
    length = tl.zeros(mask.shape, tl.float64)
    one_after, two_after = length, length
    for index in range(count):
        k = count - 1 - index
        at = scratch + 3 * k * row
        found = tl.load(at, mask=mask, other=0.0)
        found -= tl.load(at + row, mask=mask, other=0.0) * one_after
        found -= tl.load(at + 2 * row, mask=mask, other=0.0) * two_after
        length += tl.load(grad + k).to(tl.float64) * found
        mean = keep * tl.load(direction + k).to(tl.float64) + (1 - keep) * found
        tl.store(direction + k, mean.to(tl.float32), mask=mask)
        one_after, two_after = found, one_after
    return length


@triton.jit(do_not_specialize=STEP_ARGUMENTS)
def step_kernel(
    values, direction, size, largest, grad, start, moments, hinges, scratch,
    channels, count, hinge_stride,
    rate: tl.float64, pull: tl.float64, smoothing: tl.float64, floor: tl.float64,
    keep_direction: tl.float64, keep_size: tl.float64,
    direction_correction: tl.float64, size_correction: tl.float64,
    LANES: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Take one step in the metric: `hinged.curve.metric.take_step`. A lane computes one channel.

    `scratch` is memory for `3 * count * channels` numbers in float64. The steps of the running
    means are rounded to float32, and the rounded means move the values.
    """
    scale = _input_scale(moments, hinges, channels, count, hinge_stride, WIDTH)
    lane = tl.program_id(0) * LANES + tl.arange(0, LANES)
    mask = lane < channels
    # Lanes beyond the last channel compute the last channel again, and write nothing.
    channel = tl.minimum(lane, channels - 1)
    row = channel * count
    grad, direction, start, values = grad + row, direction + row, start + row, values + row
    moments += channel * (2 * count + 1)
    hinges += channel * hinge_stride
    scratch += channel
    stiffness = smoothing * scale * scale * scale
    _eliminate(grad, moments, hinges, scratch, channels, count, stiffness, floor, mask)
    tl.debug_barrier()
    length = _substitute(grad, direction, scratch, channels, count, keep_direction, mask)
    tl.debug_barrier()
    mean = keep_size * tl.load(size + channel).to(tl.float64) + (1 - keep_size) * length
    mean = mean.to(tl.float32)
    tl.store(size + channel, mean, mask=mask)
    corrected = mean.to(tl.float64) / size_correction
    highest, found = tl.load(largest + channel), corrected.to(tl.float32)
    highest = tl.where((found > highest) & (found <= HUGE), found, highest)
    tl.store(largest + channel, highest, mask=mask)
    noise = corrected / highest.to(tl.float64)
    noise = tl.where(noise > 1, 1.0, noise)
    pull *= tl.where(highest > 0, noise, 1.0)
    root = tl.sqrt(corrected)
    factor = tl.where(root > 0, rate * scale / (root * direction_correction), 0.0)
    for k in range(count):
        value = tl.load(values + k).to(tl.float64)
        value += pull * (tl.load(start + k).to(tl.float64) - value)
        value -= factor * tl.load(direction + k).to(tl.float64)
        tl.store(values + k, value.to(tl.float32), mask=mask)


@triton.jit(do_not_specialize=MOMENT_ARGUMENTS)
def moments_kernel(
    x, hinges, moments, samples, step, channels, inner, count, hinge_stride,
    SAMPLES: tl.constexpr, LINEAR_TAILS: tl.constexpr, LONG_OFFSETS: tl.constexpr,
):  # fmt: skip
    """Write the moments of every `step`-th input of channel `program_id(0)`:
    `hinged.curve.metric.input_moments`.

    `x` has the layout `(outer, channels, inner)`. There are `samples` inputs to read, at most
    `SAMPLES`. The ramp of a piece is the position of an input along this piece, limited to the
    interval from 0 to 1. Linear tails continue the ramps of the first and the last piece. The
    weight of a hinge is the ramp that ends there, minus the ramp that
    begins there.
    """
    channel = tl.program_id(0)
    sample = tl.arange(0, SAMPLES)
    place = (sample.to(tl.int64) if LONG_OFFSETS else sample) * step
    image = place // inner
    offsets = (image * channels + channel) * inner + (place - image * inner)
    inputs = tl.load(x + offsets, mask=sample < samples, other=float("nan")).to(tl.float32)
    finite = tl.abs(inputs) <= HUGE
    before = finite.to(tl.float32)
    total = tl.maximum(tl.sum(before), 1.0)
    kept = tl.where(finite, inputs, 0.0)
    moments += channel * (2 * count + 1)
    tl.store(moments + 2 * count - 1, tl.sum(kept) / total)
    tl.store(moments + 2 * count, tl.sum(kept * kept) / total)
    # Inputs that are left out have the weight 0 at every hinge: all their ramps are 0.
    hinges += channel * hinge_stride
    left = tl.load(hinges).to(tl.float32)
    for k in range(count - 1):
        right = tl.load(hinges + k + 1).to(tl.float32)
        ramp = (kept - left) * (1 / (right - left))
        if not LINEAR_TAILS or k > 0:
            ramp = tl.maximum(ramp, 0.0)
        if not LINEAR_TAILS or k < count - 2:
            ramp = tl.minimum(ramp, 1.0)
        ramp = tl.where(finite, ramp, 0.0)
        weight = before - ramp
        tl.store(moments + k, tl.sum(weight * weight) / total)
        tl.store(moments + count + k, tl.sum(ramp * (1.0 - ramp)) / total)
        before, left = ramp, right
    tl.store(moments + count - 1, tl.sum(before * before) / total)
