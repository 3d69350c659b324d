"""Who takes part: torch's own activations, our curves, and the peers of a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hinged import PiecewiseLinear
from hinged.curve import Curve, uniform_grid
from hinged.lab.bench.kernel import AUTO

NATIVE, CURVE, SHARED, OTHER = "native", "curve", "shared", "other"
FAMILIES = {
    NATIVE: "torch's own",
    CURVE: "one trained curve per channel",
    SHARED: "one trained curve for all channels",
    OTHER: "another trained function",
}
UNIFORM, FREE, OWN = "uniform", "free", "own"
"""Where hinges lie: equally spaced, anywhere, or anywhere and elsewhere in each channel."""


@dataclass(frozen=True)
class Contestant:
    """One activation to be timed.

    Attributes:
        name: what tables call it.
        make: returns the module that computes a given `Curve`, started there; natives and other
            functions ignore the curve but for its number of channels.
        family: a key of `FAMILIES`; says what the module is checked against.
        gradient: returns, after a backward pass through a module of the families `CURVE` and
            `SHARED`, the gradient to the curve's values `(C, K)`.
        hinges: how many hinges `K` it has; None for those of the case.
        placement: `UNIFORM`, `FREE` or `OWN`.
        kernel: which of our kernels runs.
        package: the distribution it comes from, whose version is recorded.
    """

    name: str
    make: Callable[[Curve], nn.Module]
    family: str = CURVE
    gradient: Callable[[nn.Module], Tensor] | None = None
    hinges: int | None = None
    placement: str = UNIFORM
    kernel: str = AUTO
    package: str = ""


def natives() -> list[Contestant]:
    """Return torch's own activations, the baseline first."""
    makers: dict[str, Callable[[Curve], nn.Module]] = {
        "relu": lambda curve: nn.ReLU(),
        "leaky_relu": lambda curve: nn.LeakyReLU(0.01),
        "prelu": lambda curve: nn.PReLU(curve.channels),
        "silu": lambda curve: nn.SiLU(),
        "gelu": lambda curve: nn.GELU(),
    }
    return [Contestant(name, make, NATIVE) for name, make in makers.items()]


def ours(hinges: int, placement: str = UNIFORM, kernel: str = AUTO) -> Contestant:
    """Return our curves with so many hinges."""
    notes = {UNIFORM: "", FREE: ", free hinges", OWN: ", free hinges per channel"}
    name = f"hinged K={hinges}{notes[placement]}{'' if kernel == AUTO else f', {kernel} kernel'}"
    return Contestant(
        name, _layer, CURVE, _values_gradient, hinges, placement, kernel, package="hinged"
    )


def target(
    channels: int, hinges: int, placement: str = UNIFORM, dtype: torch.dtype = torch.float32
) -> Curve:
    """Return the curves that contestants must compute: ReLU with every value moved a little, so
    that a wrong piece or channel shows, all numbers representable in `dtype`.

    Args:
        channels: number of curves `C`.
        hinges: number of hinges `K`, odd, over [-3, 3].
        placement: `UNIFORM`, `FREE` or `OWN`.
        dtype: the dtype of the layers.

    Returns:
        A float32 curve with hinges `(K,)`, or `(C, K)` for `OWN`, and values `(C, K)`.
    """
    positions = _positions(channels, hinges, placement, dtype)
    noise = torch.randn(channels, hinges, generator=torch.Generator().manual_seed(1))
    values = (positions.relu() + 0.1 * noise).to(dtype).float()
    return Curve(positions, values)


def _layer(curve: Curve) -> nn.Module:
    return PiecewiseLinear(curve.channels, curve.hinges, init=curve)


def _values_gradient(module: nn.Module) -> Tensor:
    gradient = module.get_parameter("values").grad
    assert gradient is not None, "called after a backward pass"
    return gradient


def _positions(channels: int, hinges: int, placement: str, dtype: torch.dtype) -> Tensor:
    grid = uniform_grid(hinges, kinks=(0.0,), dtype=dtype).float()
    if placement == UNIFORM:
        return grid
    # Denser around 0, as quantiles of a normal input are; 0 and the ends stay where they are.
    bent = grid.sign() * grid.abs().pow(1.5) / grid.abs().max().sqrt()
    if placement == OWN:
        bent = bent * torch.linspace(0.8, 1.2, channels).unsqueeze(1)
    return bent.to(dtype).float()
