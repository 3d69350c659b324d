"""Launches the Triton kernels for steps of curves in their metric.

This module imports triton, and is itself imported only if triton is installed. A step of a layer is
one launch, and so is a measurement of its inputs. The CPU reads no results back. There are no
atomics, and sums are added in a fixed order, so the result has the same bits in every run.

The metric of a channel has five diagonals. A lane of a warp factorises it, solves the system of
equations and moves the values, in float64, hinge after hinge. A program is one warp, so that the
channels of a layer are spread over as many multiprocessors as possible.
"""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from hinged.curve.metric import FLOOR, MetricState, MetricStep
from hinged.kernels import triton_metric_programs
from hinged.kernels.memory_layout import MemoryLayout

# A program has one lane for each channel. A lane reads only numbers that it wrote itself.
LANES = 32
# The number of channels that a program adds together for the scale of the inputs of a layer.
WIDTH = 256
# The smallest number of inputs that a program can hold. Other numbers are powers of 4 times this
# number. There are few, because each needs a compilation.
LEAST_SAMPLES = 256
# The number of inputs that a warp holds. A program with few inputs has one warp, so that its sums
# need no shared memory.
SAMPLES_OF_A_WARP = 512
# The number of elements of a tensor from which offsets need 64 bits.
LONG = 2**31


def take_step(
    values: Tensor, grad: Tensor, hinges: Tensor, state: MetricState, step: MetricStep
) -> None:
    """Take one step of gradient descent in the metric. `values` and `state` change in place.

    Args:
        values: values at the hinges, shape `(C, K)`, contiguous float32.
        grad: gradient of the loss with respect to `values`, contiguous float32.
        hinges: ascending positions, shape `(K,)` or `(C, K)`, contiguous.
        state: the running means, contiguous float32.
        step: the settings.
    """
    channels, count = values.shape
    scratch = values.new_empty(3 * count * channels, dtype=torch.float64)
    with torch.cuda.device_of(values):
        triton_metric_programs.step_kernel[(triton.cdiv(channels, LANES),)](
            values,
            state.direction,
            state.size,
            state.largest,
            grad,
            state.start,
            state.moments,
            hinges,
            scratch,
            channels,
            count,
            count if hinges.numel() > count else 0,
            step.rate,
            step.pull,
            step.smoothing,
            FLOOR,
            step.keep_direction,
            step.keep_size,
            step.direction_correction,
            step.size_correction,
            LANES=LANES,
            WIDTH=WIDTH,
            num_warps=1,
        )


def input_moments(
    x: Tensor, hinges: Tensor, layout: MemoryLayout, step: int, tails: str = "linear"
) -> Tensor:
    """Return the moments of every `step`-th input of each channel.

    Args:
        x: inputs in float32, bfloat16 or float16, dense in memory.
        hinges: ascending positions, shape `(K,)` or `(C, K)`, contiguous.
        layout: the layout of `x` in memory; `(1, 1, numel)` if `C` is 1.
        step: the distance between inputs that are read, in the order of the memory of one channel.
        tails: the tails of the curves.

    Returns:
        A tensor of shape `(C, 2 K + 1)`, in float32 (see `hinged.curve.metric.input_moments`).
    """
    outer, channels, inner = layout
    count = hinges.shape[-1]
    samples = triton.cdiv(outer * inner, step)
    room = _room_for(samples)
    moments = x.new_empty(channels, 2 * count + 1, dtype=torch.float32)
    with torch.cuda.device_of(x):
        triton_metric_programs.moments_kernel[(channels,)](
            x,
            hinges,
            moments,
            samples,
            step,
            channels,
            inner,
            count,
            count if hinges.numel() > count else 0,
            SAMPLES=room,
            LINEAR_TAILS=tails == "linear",
            LONG_OFFSETS=x.numel() >= LONG,
            num_warps=max(1, room // SAMPLES_OF_A_WARP),
        )
    return moments


def _room_for(samples: int) -> int:
    """Return the number of inputs that a program can hold, at least `samples`."""
    room = LEAST_SAMPLES
    while room < samples:
        room *= 4
    return room
