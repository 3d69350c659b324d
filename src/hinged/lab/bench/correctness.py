"""Checks outputs and gradients of an activation against float64 before it is timed."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve import Curve, evaluate
from hinged.lab.bench.timed_activations import CURVE, SHARED, TimedActivation

# Largest error divided by the largest value. First number: outputs and input gradients. Second
# number: parameter gradients, which are sums over many inputs.
_TOLERANCES = {
    torch.float64: (1e-9, 1e-9),
    torch.float32: (1e-5, 1e-4),
    torch.bfloat16: (1e-2, 2e-2),
    torch.float16: (2e-3, 5e-3),
}
# Within this distance of a hinge, rounding may move an input to the neighbouring piece. At the
# hinge itself the slopes of both pieces are valid derivatives.
_NEAR_HINGE = 1e-5
_STEP = 1e-6
_NUMERIC_TOLERANCE = 1e-4
OUTPUT, INPUT_GRADIENT, PARAMETER_GRADIENT = "output", "input gradient", "parameter gradient"


class WrongResultError(errors.HingedError):
    """An activation computes wrong outputs or gradients and is not timed."""


def check_correctness(
    activation: TimedActivation, module: nn.Module, curve: Curve, x: Tensor, g: Tensor
) -> dict[str, float]:
    """Return the errors of an activation, or raise if one is too large.

    Curves are compared with the reference in float64: outputs, gradient to the input, gradient to
    the values. For any other function, outputs are compared with the outputs of the same module in
    float64, and gradients in float64 with central differences.

    Args:
        activation: the activation to check.
        module: the module that `activation.make(curve)` returned.
        curve: the curve that activations of the families `CURVE` and `SHARED` must compute.
        x: inputs `(N, C, ...)`.
        g: gradient of the output, same shape as `x`.

    Returns:
        The largest error divided by the largest value, for `output`, `input gradient` and
        `parameter gradient`.

    Raises:
        WrongResultError: an error is too large, the output has the wrong shape or dtype, or a
            gradient is missing.
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
        # `not <=` and not `>`, so that NaN fails too.
        if not error <= (summed if quantity == PARAMETER_GRADIENT else elementwise):
            raise WrongResultError(
                f"{activation.name}: its {quantity} is off by {error:.1e} of the largest value"
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
        raise WrongResultError(f"{activation.name} gives no gradient to the values")
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
    """Return output and gradient to the input; the parameters' gradients are replaced."""
    module.zero_grad(set_to_none=True)
    x = x.detach().requires_grad_()
    output = module(x)
    if output.shape != x.shape or output.dtype != x.dtype:
        got = f"{tuple(output.shape)} of {output.dtype} from {tuple(x.shape)} of {x.dtype}"
        raise WrongResultError(f"the output is {got}")
    output.backward(g)
    if x.grad is None:
        raise WrongResultError("the input gets no gradient")
    return output.detach(), x.grad


def _central_differences(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the slopes of an elementwise function, and a mask that is False near kinks."""
    with torch.no_grad():
        below, middle, above = module(x - _STEP), module(x), module(x + _STEP)
    left, right = (middle - below) / _STEP, (above - middle) / _STEP
    return (left + right) / 2, (left - right).abs() < 1e-4 * (1 + left.abs())


def _parameter_gradient_error(module: nn.Module, x: Tensor, g: Tensor) -> float:
    """Compare the derivative along one direction with a central difference.

    The direction is the gradient's own direction plus a random one, so that errors of different
    parameters cannot cancel.
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
    """Return the largest difference divided by the largest value."""
    if actual.shape != expected.shape:
        got, wanted = tuple(actual.shape), tuple(expected.shape)
        raise WrongResultError(f"a gradient has shape {got}, not {wanted}")
    if expected.numel() == 0:
        return 0.0
    error = (actual.double() - expected).abs().max() / expected.abs().max().clamp_min(1e-300)
    return error.item()
