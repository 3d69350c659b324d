"""The activations that are timed: those of torch, those of hinged, and those of a user's file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hinged import PiecewiseLinear
from hinged.curve import Curve, uniform_grid
from hinged.kernels.select_kernel import AUTO

NATIVE, CURVE, SHARED, OTHER = "native", "curve", "shared", "other"
FAMILIES = {
    NATIVE: "an activation of torch",
    CURVE: "one trained curve per channel",
    SHARED: "one trained curve for all channels",
    OTHER: "another trained function",
}
UNIFORM, FREE, PER_CHANNEL = "uniform", "free", "per channel"
"""Positions of the hinges: equally spaced, unequally spaced, or different in each channel."""


@dataclass(frozen=True)
class TimedActivation:
    """One activation to time.

    Attributes:
        name: the label in tables.
        make: takes a `Curve` and returns the module that computes it. A module of the families
            `NATIVE` and `OTHER` uses only the curve's number of channels.
        family: a key of `FAMILIES`. It decides how the module is checked.
        gradient: takes a module of the family `CURVE` or `SHARED` after a backward pass and returns
            the gradient to the curve's values `(C, K)`.
        hinges: the number of hinges `K`; None for the number that the case sets.
        placement: `UNIFORM`, `FREE` or `PER_CHANNEL`.
        kernel: the kernel of `hinged.kernels.use_kernel` that runs.
        package: the distribution that provides the activation; its version is recorded.
    """

    name: str
    make: Callable[[Curve], nn.Module]
    family: str = CURVE
    gradient: Callable[[nn.Module], Tensor] | None = None
    hinges: int | None = None
    placement: str = UNIFORM
    kernel: str = AUTO
    package: str = ""


def torch_activations() -> list[TimedActivation]:
    """Return the activations of torch, with ReLU, the baseline, first."""
    makers: dict[str, Callable[[Curve], nn.Module]] = {
        "relu": lambda curve: nn.ReLU(),
        "leaky_relu": lambda curve: nn.LeakyReLU(0.01),
        "prelu": lambda curve: nn.PReLU(curve.channels),
        "silu": lambda curve: nn.SiLU(),
        "gelu": lambda curve: nn.GELU(),
    }
    return [TimedActivation(name, make, NATIVE) for name, make in makers.items()]


def hinged_activation(hinges: int, placement: str = UNIFORM, kernel: str = AUTO) -> TimedActivation:
    """Return `hinged.PiecewiseLinear` with this number of hinges, one curve per channel."""
    notes = {UNIFORM: "", FREE: ", free hinges", PER_CHANNEL: ", free hinges per channel"}
    name = f"hinged K={hinges}{notes[placement]}{'' if kernel == AUTO else f', {kernel} kernel'}"
    return TimedActivation(
        name,
        lambda curve: PiecewiseLinear(curve.channels, curve.hinges, init=curve),
        CURVE,
        _values_gradient,
        hinges,
        placement,
        kernel,
        package="hinged",
    )


def target_curve(
    channels: int, hinges: int, placement: str = UNIFORM, dtype: torch.dtype = torch.float32
) -> Curve:
    """Return the curves that every timed activation of the family `CURVE` must compute.

    They are ReLU with a small random change of every value, so that an activation that mixes up
    pieces or channels gives wrong outputs. Every number is representable in `dtype`.

    Args:
        channels: the number of curves `C`.
        hinges: the number of hinges `K` on [-3, 3]; odd.
        placement: `UNIFORM`, `FREE` or `PER_CHANNEL`.
        dtype: the dtype of the layers.

    Returns:
        A float32 curve with values `(C, K)` and hinges `(K,)`, or `(C, K)` for `PER_CHANNEL`.
    """
    positions = _hinge_positions(channels, hinges, placement, dtype)
    noise = torch.randn(channels, hinges, generator=torch.Generator().manual_seed(1))
    values = (positions.relu() + 0.1 * noise).to(dtype).float()
    return Curve(positions, values)


def _values_gradient(module: nn.Module) -> Tensor:
    gradient = module.get_parameter("values").grad
    assert gradient is not None, "called after a backward pass"
    return gradient


def _hinge_positions(channels: int, hinges: int, placement: str, dtype: torch.dtype) -> Tensor:
    grid = uniform_grid(hinges, kinks=(0.0,), dtype=dtype).float()
    if placement == UNIFORM:
        return grid
    # Closer together around 0, like the quantiles of normal inputs; 0 and both ends do not move.
    bent = grid.sign() * grid.abs().pow(1.5) / grid.abs().max().sqrt()
    if placement == PER_CHANNEL:
        bent = bent * torch.linspace(0.8, 1.2, channels).unsqueeze(1)
    return bent.to(dtype).float()
