"""Describes the activations that benchmarks time, and creates activations of torch and hinged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hinged import PiecewiseLinear, errors
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
"""Placements of hinges: equally spaced, unequally spaced, or different in each channel."""


@dataclass(frozen=True)
class TimedActivation:
    """An activation to time.

    Attributes:
        name: the label of the activation in tables.
        make: a function that takes a `Curve` of `C` channels and `K` hinges and returns an
            `nn.Module`. A module of the family `CURVE` or `SHARED` must compute this curve. Modules
            of the other families compute another function.
        family: a key of `FAMILIES`. It decides how outputs and gradients are checked.
        gradient: a function that takes the module after a backward pass. It returns the gradient of
            the loss with respect to the curve's values, shape `(C, K)`. The families `CURVE` and
            `SHARED` need it; None for other families.
        hinges: the number of hinges `K`. None means that each case of the benchmark sets it.
        placement: the positions of the hinges: `UNIFORM`, `FREE` or `PER_CHANNEL`.
        kernel: the name of a kernel of `hinged.kernels.use_kernel`. It is used for curves of
            hinged.
        package: the name of the package that provides the activation. Empty for torch.
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
    """Return the activations of torch. The first is ReLU, the baseline."""
    makers: dict[str, Callable[[Curve], nn.Module]] = {
        "relu": lambda curve: nn.ReLU(),
        "leaky_relu": lambda curve: nn.LeakyReLU(0.01),
        "prelu": lambda curve: nn.PReLU(curve.channels),
        "silu": lambda curve: nn.SiLU(),
        "gelu": lambda curve: nn.GELU(),
    }
    return [TimedActivation(name, make, NATIVE) for name, make in makers.items()]


def hinged_activation(hinges: int, placement: str = UNIFORM, kernel: str = AUTO) -> TimedActivation:
    """Return a `TimedActivation` for `hinged.PiecewiseLinear` with one curve per channel.

    Args:
        hinges: the number of hinges of each curve.
        placement: the positions of the hinges: `UNIFORM`, `FREE` or `PER_CHANNEL`.
        kernel: the name of a kernel of `hinged.kernels.use_kernel`.
    """
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
    """Return the curves that timed activations of the family `CURVE` or `SHARED` must compute.

    Each curve is ReLU with a small random number added to every value. An activation that mixes up
    pieces or channels therefore computes wrong outputs. All hinges and values are representable in
    `dtype`.

    Args:
        channels: the number of channels `C`, which have one curve each.
        hinges: the number of hinges `K` of each curve, an odd number. They cover [-3, 3].
        placement: the positions of the hinges: `UNIFORM`, `FREE` or `PER_CHANNEL`.
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
    if placement not in (UNIFORM, FREE, PER_CHANNEL):
        raise errors.unknown_name("placement", placement, (UNIFORM, FREE, PER_CHANNEL))
    if placement == UNIFORM:
        return grid
    # The hinges are closer together around 0, like quantiles of normal inputs. The hinge at 0, the
    # first hinge and the last hinge do not move.
    bent = grid.sign() * grid.abs().pow(1.5) / grid.abs().max().sqrt()
    if placement == PER_CHANNEL:
        bent = bent * torch.linspace(0.8, 1.2, channels).unsqueeze(1)
    return bent.to(dtype).float()
