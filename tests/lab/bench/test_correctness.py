from dataclasses import replace

import pytest
import torch
from torch import nn

from hinged.lab.bench.correctness import WrongResultError, check_correctness
from hinged.lab.bench.timed_activations import (
    CURVE,
    FREE,
    NATIVE,
    OTHER,
    PER_CHANNEL,
    TimedActivation,
    hinged_activation,
    target_curve,
    torch_activations,
)


def check(activation, dtype=torch.float32, placement="uniform"):
    shape = (4, 6, 5, 5)
    curve = target_curve(shape[1], 9, placement, dtype)
    x, g = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
    return check_correctness(activation, activation.make(curve).to(dtype), curve, x, g)


class WrongCurve(nn.Module):
    """A correct curve whose output or gradient `corrupt` changes."""

    def __init__(self, curve, corrupt):
        super().__init__()
        self.inner, self.corrupt = hinged_activation(9).make(curve), corrupt

    def forward(self, x):
        return self.corrupt(self.inner, x)


class ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None


def wrong_curve(corrupt):
    activation = TimedActivation("wrong", lambda curve: WrongCurve(curve, corrupt), CURVE)
    return replace(activation, gradient=lambda module: module.inner.values.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("placement", ["uniform", FREE, PER_CHANNEL])
def test_hinged_agrees_with_float64(dtype, placement):
    largest = check(hinged_activation(9, placement), dtype=dtype, placement=placement)
    assert set(largest) == {"output", "input gradient", "parameter gradient"}
    assert max(largest.values()) < (1e-4 if dtype is torch.float32 else 2e-2)


@pytest.mark.parametrize("activation", torch_activations(), ids=lambda each: each.name)
def test_activations_of_torch_agree_with_float64(activation):
    assert max(check(activation).values()) < 1e-4


@pytest.mark.parametrize(
    "corrupt, quantity",
    [
        (lambda inner, x: inner(x) * 1.001, "output"),
        (lambda inner, x: inner(x.flip(1)).flip(1), "output"),
        (lambda inner, x: inner(ScaleGradient.apply(x, 1.001)), "input gradient"),
        (lambda inner, x: ScaleGradient.apply(inner(x), 1.001), "input gradient"),
    ],
)
def test_a_relative_error_of_one_thousandth_in_a_curve_is_found(corrupt, quantity):
    with pytest.raises(WrongResultError, match=f"wrong: the error of the {quantity} is"):
        check(wrong_curve(corrupt))


def test_a_wrong_gradient_to_the_values_is_found():
    wrong = replace(hinged_activation(9), gradient=lambda module: module.values.grad * 1.001)
    with pytest.raises(WrongResultError, match="error of the parameter gradient"):
        check(wrong)


def test_nan_outputs_are_found():
    with pytest.raises(WrongResultError, match="error of the output is nan"):
        check(wrong_curve(lambda inner, x: inner(x) * torch.nan))


class WrongGradientPReLU(nn.PReLU):
    """PReLU with correct outputs and one wrong gradient."""

    def __init__(self, channels, of_input, of_weight):
        super().__init__(channels)
        self.factors = of_input, of_weight

    def forward(self, x):
        weight = ScaleGradient.apply(self.weight, self.factors[1])
        return nn.functional.prelu(ScaleGradient.apply(x, self.factors[0]), weight)


@pytest.mark.parametrize("family", [NATIVE, OTHER])
@pytest.mark.parametrize(
    "factors, quantity",
    [((1.01, 1), "input gradient"), ((1, 1.01), "parameter gradient"), ((1, 0), "parameter grad")],
)
def test_a_wrong_gradient_of_another_function_is_found(family, factors, quantity):
    wrong = TimedActivation(
        "wrong", lambda curve: WrongGradientPReLU(curve.channels, *factors), family
    )
    with pytest.raises(WrongResultError, match=f"error of the {quantity}"):
        check(wrong)


def test_a_wrong_output_shape_is_found():
    with pytest.raises(WrongResultError, match="the output has shape"):
        check(TimedActivation("other", lambda curve: nn.Flatten(), OTHER))


def test_a_constant_function_passes():
    largest = check(TimedActivation("other", lambda curve: nn.Threshold(9.0, 0.0), OTHER))
    assert largest == {"output": 0.0, "input gradient": 0.0}
