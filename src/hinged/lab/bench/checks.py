"""Nothing is timed before it is right: forward and gradients against float64."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.curve import Curve, evaluate
from hinged.lab.bench.contestants import CURVE, SHARED, Contestant

# Largest error over the largest value: of outputs and input gradients, and of parameter gradients,
# which are sums over many inputs.
_TOLERANCES = {
    torch.float64: (1e-9, 1e-9),
    torch.float32: (1e-5, 1e-4),
    torch.bfloat16: (1e-2, 2e-2),
    torch.float16: (2e-3, 5e-3),
}
# Closer to a hinge than this, rounding may put an input on either piece, and at the hinge itself
# both slopes are derivatives.
_NEAR_HINGE = 1e-5
_STEP = 1e-6
_NUMERIC = 1e-4
OUTPUT, INPUTS, PARAMETERS = "output", "input gradient", "parameter gradient"


class Refused(errors.HingedError):
    """A contestant does not compute what it should; it is not timed."""


def check(
    contestant: Contestant, module: nn.Module, curve: Curve, x: Tensor, g: Tensor
) -> dict[str, float]:
    """Return how far a contestant is from the truth, or refuse it.

    Curves are compared with the reference in float64: outputs, gradient to the input, gradient to
    the values. What is another function is compared with itself: its outputs with those in
    float64, and its gradients in float64 with central differences.

    Args:
        contestant: what to check.
        module: the module it made for `curve`.
        curve: what the families `CURVE` and `SHARED` must compute.
        x: inputs `(N, C, ...)`.
        g: gradient of the output, as `x`.

    Returns:
        The largest errors, each over the largest value: of `output`, `input gradient`, and
        `parameter gradient`.

    Raises:
        Refused: an error is too large, or shape, dtype or a gradient is missing.
    """
    is_curve = contestant.family in (CURVE, SHARED)
    point, total = _TOLERANCES[x.dtype]
    if is_curve:
        errors_found = _against_curve(contestant, module, curve, x, g)
    else:  # A central difference is itself no better than this.
        point, total = max(point, _NUMERIC), max(total, _NUMERIC)
        errors_found = _against_itself(module, x, g)
    found: dict[str, float] = {}
    for quantity, error in errors_found:
        if not error <= (total if quantity == PARAMETERS else point):  # NaN is refused.
            raise Refused(
                f"{contestant.name}: its {quantity} is off by {error:.1e} of the largest value"
            )
        found[quantity] = error
    return found


def _against_curve(
    contestant: Contestant, module: nn.Module, curve: Curve, x: Tensor, g: Tensor
) -> Iterator[tuple[str, float]]:
    output, input_gradient = _run(module, x, g)
    x64 = x.detach().double().requires_grad_()
    values = curve.values.to(x.device).double().requires_grad_()
    hinges = curve.hinges.to(x.device).double()
    truth = evaluate(x64, values, hinges, dim=1)
    truth.backward(g.double())
    assert x64.grad is not None and values.grad is not None
    yield OUTPUT, _error(output, truth.detach())
    away = _away_from_hinges(x64.detach(), hinges)
    yield INPUTS, _error(input_gradient[away], x64.grad[away])
    if contestant.gradient is None:
        raise Refused(f"{contestant.name} gives no gradient to the values")
    yield PARAMETERS, _error(contestant.gradient(module), values.grad)


def _against_itself(module: nn.Module, x: Tensor, g: Tensor) -> Iterator[tuple[str, float]]:
    output, _ = _run(module, x, g)
    exact = copy.deepcopy(module).double()
    x64, g64 = x.detach().double(), g.double()
    truth, input_gradient = _run(exact, x64, g64)
    yield OUTPUT, _error(output, truth)
    numeric, smooth = _slopes(exact, x64)
    yield INPUTS, _error(input_gradient[smooth], (numeric * g64)[smooth])
    if any(parameter.requires_grad for parameter in exact.parameters()):
        yield PARAMETERS, _parameter_error(exact, x64, g64)


def _run(module: nn.Module, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Return output and gradient to the input; parameters get theirs anew."""
    module.zero_grad(set_to_none=True)
    x = x.detach().requires_grad_()
    output = module(x)
    if output.shape != x.shape or output.dtype != x.dtype:
        got = f"{tuple(output.shape)} of {output.dtype} from {tuple(x.shape)} of {x.dtype}"
        raise Refused(f"the output is {got}")
    output.backward(g)
    if x.grad is None:
        raise Refused("the input gets no gradient")
    return output.detach(), x.grad


def _slopes(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return central differences of an elementwise function, and where it has no kink."""
    with torch.no_grad():
        before, here, behind = module(x - _STEP), module(x), module(x + _STEP)
    left, right = (here - before) / _STEP, (behind - here) / _STEP
    return (left + right) / 2, (left - right).abs() < 1e-4 * (1 + left.abs())


def _parameter_error(module: nn.Module, x: Tensor, g: Tensor) -> float:
    """Compare the derivative along one direction with a central difference. The direction is
    random, with the gradient's own added, so that neither part can cancel the other's error."""
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
    ahead = _loss_along(module, parameters, directions, _STEP, x, g)
    back = _loss_along(module, parameters, directions, -_STEP, x, g)
    numeric = (ahead - back) / (2 * _STEP)
    return abs(analytic - numeric) / max(abs(analytic), abs(numeric), 1e-12)


def _loss_along(
    module: nn.Module,
    parameters: list[nn.Parameter],
    directions: list[Tensor],
    step: float,
    x: Tensor,
    g: Tensor,
) -> float:
    with torch.no_grad():
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.add_(direction, alpha=step)
        loss = (module(x) * g).sum().item()
        for parameter, direction in zip(parameters, directions, strict=True):
            parameter.sub_(direction, alpha=step)
    return float(loss)


def _unit(tensor: Tensor) -> Tensor:
    length: Tensor = tensor.norm()
    return tensor / length.clamp_min(1e-300)


def _away_from_hinges(x: Tensor, hinges: Tensor) -> Tensor:
    rows = hinges if hinges.dim() == 1 else hinges.reshape(-1, *[1] * (x.dim() - 2), len(hinges[0]))
    nearest = torch.full_like(x, torch.inf)
    for k in range(rows.shape[-1]):
        nearest = torch.minimum(nearest, (x - rows[..., k]).abs())
    return nearest > _NEAR_HINGE


def _error(found: Tensor, truth: Tensor) -> float:
    """Return the largest difference over the largest value."""
    if found.shape != truth.shape:
        raise Refused(f"a gradient has shape {tuple(found.shape)}, not {tuple(truth.shape)}")
    if truth.numel() == 0:
        return 0.0
    return ((found.double() - truth).abs().max() / truth.abs().max().clamp_min(1e-300)).item()
