"""Expected results for tests, computed by NumPy in float64 without code of the library."""

import numpy as np
import torch

HALF = (torch.bfloat16, torch.float16)


def interpolate(x, hinges, values, tails="linear", tail_slopes=None):
    """Return the outputs of one curve at the inputs `x`.

    `numpy.interp` computes the outputs between the first and last hinge. Other outputs lie on the
    straight lines of the tails.
    """
    x, hinges, values = (np.asarray(array, dtype=np.float64) for array in (x, hinges, values))
    if tails == "linear":
        left = (values[1] - values[0]) / (hinges[1] - hinges[0])
        right = (values[-1] - values[-2]) / (hinges[-1] - hinges[-2])
    else:
        left, right = (0.0, 0.0) if tails == "constant" else np.asarray(tail_slopes, np.float64)
    inside = np.interp(x, hinges, values)
    below = values[0] + left * (x - hinges[0])
    above = values[-1] + right * (x - hinges[-1])
    return np.where(x < hinges[0], below, np.where(x > hinges[-1], above, inside))


def per_channel(x, hinges, values, dim, tails="linear", tail_slopes=None):
    """Apply `interpolate` to each channel of a torch tensor. The channels are on the axis `dim`."""
    slices = x.double().movedim(dim, 0)
    rows = hinges.double().expand(values.shape[0], values.shape[1])
    count = slices.shape[0]
    answers = [
        interpolate(
            slices[c].detach().numpy(),
            rows[c % values.shape[0]].numpy(),
            values[c % values.shape[0]].detach().double().numpy(),
            tails,
            None if tail_slopes is None else tail_slopes[c % values.shape[0]].detach().double(),
        )
        for c in range(count)
    ]
    shape = slices.shape
    stacked = np.stack(answers) if answers else np.zeros(tuple(shape))
    return torch.from_numpy(stacked).reshape(shape).movedim(0, dim)


def ulps(x, count):
    """Return `x` moved up by `count` representable numbers of its dtype, or down if negative."""
    if x.dtype in HALF:
        towards = torch.full_like(x, float("inf") if count > 0 else float("-inf"))
        for _ in range(abs(count)):
            x = _next_half(x, towards)
        return x
    towards = torch.full_like(x, float("inf") if count > 0 else float("-inf"))
    for _ in range(abs(count)):
        x = torch.nextafter(x, towards)
    return x


def _next_half(x, towards):
    bits = x.view(torch.int16).int()
    away_from_zero = (x > 0) == (towards > 0)
    moved = torch.where(away_from_zero, bits + 1, bits - 1)
    smallest = torch.where(towards > 0, 1, -32767)
    return torch.where(x == 0, smallest, moved).to(torch.int16).view(x.dtype)
