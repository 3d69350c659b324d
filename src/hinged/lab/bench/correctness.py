"""Checks the outputs and gradients of an activation against results in float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve import Curve, evaluate
from hinged.lab.bench.timed_activations import CURVE, SHARED, TimedActivation

# Tolerances of the largest error divided by the largest value. The first number applies to outputs
# and input gradients. The second applies to parameter gradients, which are sums over many inputs.
_TOLERANCES = {
    torch.float64: (1e-9, 1e-9),
    torch.float32: (1e-5, 1e-4),
    torch.bfloat16: (1e-2, 2e-2),
    torch.float16: (2e-3, 5e-3),
}
# Gradients of inputs closer to a hinge than this are not compared. Rounding may move such an input
# to the neighbouring piece. At the hinge itself, the slopes of both pieces are valid derivatives.
_NEAR_HINGE = 1e-5
_STEP = 1e-6
_NUMERIC_TOLERANCE = 1e-4
OUTPUT, INPUT_GRADIENT, PARAMETER_GRADIENT = "output", "input gradient", "parameter gradient"


class WrongResultError(errors.HingedError):
    """An activation computes wrong outputs or gradients, so it is not timed."""


def check_correctness(
    activation: TimedActivation, module: nn.Module, curve: Curve, x: Tensor, g: Tensor
) -> dict[str, float]:
    """Check the outputs and gradients of an activation against results in float64.

    Curves are compared with `hinged.curve.evaluate` in float64. For an activation that is not a
    curve, the outputs are compared with those of the same module in float64. The gradients of the
    float64 module are compared with central differences.

    Args:
        activation: the activation to check. Its family says whether it is a curve.
        module: the module that `activation.make(curve)` returned.
        curve: the curve that activations of the families `CURVE` and `SHARED` must compute.
        x: inputs `(N, C, ...)`.
        g: gradient of a loss with respect to the output, same shape as `x`.

    Returns:
        The largest absolute error divided by the largest absolute value, for each of `output`,
        `input gradient` and `parameter gradient`.

    Raises:
        WrongResultError: if an error is larger than the tolerance of the dtype, if the output has
            the wrong shape or dtype, or if a gradient is missing.
    """
    elementwise, summed = _TOLERANCES[x.dtype]
    if activation.family in (CURVE, SHARED):
        found = _compare_with_curve(activation, module, curve, x, g)
    else:  # Central differences are not more exact than this.
        elementwise = max(elementwise, _NUMERIC_TOLERANCE)
        summed = max(summed, _NUMERIC_TOLERANCE)
        found = _compare_with_itself(module, x, g)
    largest: dict[str, float] = {}
    for quantity, error in found:
        # `not <=` is True for NaN, but `>` is not.
        tolerance = summed if quantity == PARAMETER_GRADIENT else elementwise
        if not error <= tolerance:
            raise WrongResultError(
                f"{activation.name}: the error of the {quantity} is {error:.1e} times the largest "
                f"absolute value; expected at most {tolerance:.0e} times"
            )
        largest[quantity] = error
    return largest


def _compare_with_curve(
    activation: TimedActivation, module: nn.Module, curve: Curve, x: Tensor, g: Tensor
) -> Iterator[tuple[str, float]]:
    output, input_gradient = _forward_backward(module, x, g)
    x64 = x.detach().double().requires_grad_()
    values = curve.values.to(x.device).double().requires_grad_()
    hinges = curve.hinges.to(x.device).double()
    expected = evaluate(x64, values, hinges, dim=1)
    expected.backward(g.double())
    assert x64.grad is not None and values.grad is not None
    yield OUTPUT, _relative_error(output, expected.detach())
    away = _away_from_hinges(x64.detach(), hinges)
    yield INPUT_GRADIENT, _relative_error(input_gradient[away], x64.grad[away])
    if activation.gradient is None:
        raise WrongResultError(
            f"{activation.name}: TimedActivation.gradient is None; give a function that returns "
            "the gradient with respect to the curve's values"
        )
    yield PARAMETER_GRADIENT, _relative_error(activation.gradient(module), values.grad)


def _compare_with_itself(module: nn.Module, x: Tensor, g: Tensor) -> Iterator[tuple[str, float]]:
    output, _ = _forward_backward(module, x, g)
    module64 = copy.deepcopy(module).double()
    x64, g64 = x.detach().double(), g.double()
    expected, input_gradient = _forward_backward(module64, x64, g64)
    yield OUTPUT, _relative_error(output, expected)
    slopes, smooth = _central_differences(module64, x64)
    yield INPUT_GRADIENT, _relative_error(input_gradient[smooth], (slopes * g64)[smooth])
    if any(parameter.requires_grad for parameter in module64.parameters()):
        yield PARAMETER_GRADIENT, _parameter_gradient_error(module64, x64, g64)


def _forward_backward(module: nn.Module, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output of a module, and the gradient of a loss with respect to its input.

    The loss is `(module(x) * g).sum()`. Gradients of the parameters are stored in the parameters.
    """
    module.zero_grad(set_to_none=True)
    x = x.detach().requires_grad_()
    output = module(x)
    if output.shape != x.shape or output.dtype != x.dtype:
        got = f"shape {tuple(output.shape)} and dtype {output.dtype}"
        expected = f"shape {tuple(x.shape)} and dtype {x.dtype}, like the input"
        raise WrongResultError(f"the output has {got}; expected {expected}")
    output.backward(g)
    if x.grad is None:
        raise WrongResultError("the backward pass computes no gradient with respect to the input")
    return output.detach(), x.grad


def _central_differences(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slopes of an elementwise function at `x`, and where they can be trusted.

    Both have the shape of `x`. The second tensor is a mask. It is False where `x` is near a kink of
    the function, because the slope is not defined there.
    """
    with torch.no_grad():
        below, middle, above = module(x - _STEP), module(x), module(x + _STEP)
    left, right = (middle - below) / _STEP, (above - middle) / _STEP
    return (left + right) / 2, (left - right).abs() < 1e-4 * (1 + left.abs())


def _parameter_gradient_error(module: nn.Module, x: Tensor, g: Tensor) -> float:
    """Return the relative error of the gradients `p.grad` of a module's parameters.

    The loss is `(module(x) * g).sum()`. Its derivative along one direction in the space of all
    parameters is computed twice: from `p.grad`, and as a central difference. The direction is the
    normalised gradient plus a random unit vector, so that errors of different parameters do not
    cancel.
    """
    parameters = [p for p in module.parameters() if p.requires_grad]
    gradients = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters]
    generator = torch.Generator().manual_seed(2)
    directions = [
        _unit(gradient)
        + _unit(torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device))
        for p, gradient in zip(parameters, gradients, strict=True)
    ]
    analytic = sum(
        (gradient * d).sum().item() for gradient, d in zip(gradients, directions, strict=True)
    )

    def loss_after(step: float) -> float:
        with torch.no_grad():
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.add_(direction, alpha=step)
            loss = (module(x) * g).sum().item()
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter.sub_(direction, alpha=step)
        return float(loss)

    numeric = (loss_after(_STEP) - loss_after(-_STEP)) / (2 * _STEP)
    return abs(analytic - numeric) / max(abs(analytic), abs(numeric), 1e-12)


def _unit(tensor: Tensor) -> Tensor:
    length: Tensor = tensor.norm()
    return tensor / length.clamp_min(1e-300)


def _away_from_hinges(x: Tensor, hinges: Tensor) -> Tensor:
    rows = hinges if hinges.dim() == 1 else hinges.reshape(-1, *[1] * (x.dim() - 2), len(hinges[0]))
    nearest = torch.full_like(x, torch.inf)
    for k in range(rows.shape[-1]):
        nearest = torch.minimum(nearest, (x - rows[..., k]).abs())
    return nearest > _NEAR_HINGE


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    """Return the largest absolute difference divided by the largest absolute expected value."""
    if actual.shape != expected.shape:
        got, wanted = tuple(actual.shape), tuple(expected.shape)
        raise WrongResultError(f"a gradient has shape {got}; expected {wanted}")
    if expected.numel() == 0:
        return 0.0
    error = (actual.double() - expected).abs().max() / expected.abs().max().clamp_min(1e-300)
    return error.item()
