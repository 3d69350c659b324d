"""Hypothesis strategies for curves and their inputs."""

import torch
from hypothesis import strategies as st

from hinged import Curve
from hinged.curve import TAILS, uniform_grid

LAYOUTS = ("contiguous", "channels_last", "expanded", "strided", "empty")


@st.composite
def curve_arguments(draw):
    """`(hinges, values, tails, tail_slopes, uniform)` in float64, of all kinds."""
    channels = draw(st.sampled_from([1, 2, 3, 5]))
    count = draw(st.integers(2, 40))
    low = draw(st.floats(-20, 19))
    high = low + draw(st.floats(0.05, 40))
    tails = draw(st.sampled_from(TAILS))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    values = torch.randn(channels, count, generator=generator, dtype=torch.float64)
    hinges = uniform_grid(count, (low, high), dtype=torch.float64)
    kind = draw(st.sampled_from(["uniform", "free", "free per channel", "uniform per channel"]))
    if kind.startswith("free"):
        rows = channels if "channel" in kind else 1
        gaps = torch.rand(rows, count, generator=generator, dtype=torch.float64) + 0.01
        hinges = low + gaps.cumsum(-1) * (high - low) / count
        hinges = hinges if "channel" in kind else hinges[0]
    elif "channel" in kind:
        hinges = torch.stack([hinges * 2.0**c for c in range(channels)])
    slopes = torch.randn(channels, 2, generator=generator, dtype=torch.float64)
    return hinges, values, tails, slopes if tails == "free" else None, "free" not in kind


@st.composite
def inputs(draw, channels):
    """`(x, dim)`: float64 inputs of any rank and memory layout, and their channel axis."""
    rank = draw(st.integers(1, 5))
    dim = draw(st.integers(-rank, rank - 1))
    # The other axes may have as many entries as there are channels.
    shape = [draw(st.sampled_from([1, 2, 3, channels])) for _ in range(rank)]
    shape[dim] = channels if channels > 1 else draw(st.integers(1, 3))
    layout = draw(st.sampled_from(LAYOUTS))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    x = 15 * torch.randn(shape, generator=generator, dtype=torch.float64)
    others = [axis for axis in range(rank) if axis != dim % rank]
    if layout == "channels_last" and rank == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "expanded" and others:
        x = x.narrow(others[0], 0, 1).expand(shape)
    elif layout == "strided":
        x = x.flip(0).transpose(0, -1).contiguous().transpose(0, -1)
    elif layout == "empty" and others:
        x = x.narrow(others[0], 0, 0)
    return x, dim


@st.composite
def curves(draw):
    """Curves in float64, of all kinds."""
    hinges, values, tails, slopes, _ = draw(curve_arguments())
    return Curve(hinges, values, tails, slopes)
