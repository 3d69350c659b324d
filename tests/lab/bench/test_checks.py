from dataclasses import replace

import pytest
import torch
from torch import nn

from hinged.lab.bench.checks import Refused, check
from hinged.lab.bench.contestants import (
    CURVE,
    FREE,
    NATIVE,
    OTHER,
    OWN,
    Contestant,
    natives,
    ours,
    target,
)


def checked(contestant, hinges=9, shape=(4, 6, 5, 5), dtype=torch.float32, placement="uniform"):
    curve = target(shape[1], hinges, placement, dtype)
    x, g = torch.randn(shape).to(dtype), torch.randn(shape).to(dtype)
    return check(contestant, contestant.make(curve).to(dtype), curve, x, g)


class Wrapped(nn.Module):
    """Ours, with an output or gradients that lie."""

    def __init__(self, curve, lie):
        super().__init__()
        self.inner, self.lie = ours(9).make(curve), lie

    def forward(self, x):
        return self.lie(self.inner, x)


class Scaled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None


def lying(lie):
    contestant = Contestant("liar", lambda curve: Wrapped(curve, lie), CURVE)
    return replace(contestant, gradient=lambda module: module.inner.values.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("placement", ["uniform", FREE, OWN])
def test_ours_agrees_with_float64(dtype, placement):
    found = checked(ours(9, placement), dtype=dtype, placement=placement)
    assert set(found) == {"output", "input gradient", "parameter gradient"}
    assert max(found.values()) < (1e-4 if dtype is torch.float32 else 2e-2)


@pytest.mark.parametrize("native", natives(), ids=lambda native: native.name)
def test_natives_agree_with_themselves(native):
    assert max(checked(native).values()) < 1e-4


@pytest.mark.parametrize(
    "lie, quantity",
    [
        (lambda inner, x: inner(x) * 1.001, "output"),
        (lambda inner, x: inner(x.flip(1)).flip(1), "output"),
        (lambda inner, x: inner(Scaled.apply(x, 1.001)), "input gradient"),
        (lambda inner, x: Scaled.apply(inner(x), 1.001), "input gradient"),
    ],
)
def test_a_curve_that_is_off_by_a_thousandth_is_refused(lie, quantity):
    with pytest.raises(Refused, match=f"liar: its {quantity} is off by"):
        checked(lying(lie))


def test_a_curve_with_a_wrong_gradient_to_its_values_alone_is_refused():
    liar = replace(ours(9), gradient=lambda module: module.values.grad * 1.001)
    with pytest.raises(Refused, match="its parameter gradient is off"):
        checked(liar)


def test_a_curve_that_gives_nan_is_refused():
    with pytest.raises(Refused, match="its output is off by nan"):
        checked(lying(lambda inner, x: inner(x) * torch.nan))


class LyingPReLU(nn.PReLU):
    """Right in its output, wrong in one of its gradients."""

    def __init__(self, channels, of_input, of_weight):
        super().__init__(channels)
        self.factors = of_input, of_weight

    def forward(self, x):
        weight = Scaled.apply(self.weight, self.factors[1])
        return nn.functional.prelu(Scaled.apply(x, self.factors[0]), weight)


@pytest.mark.parametrize("family", [NATIVE, OTHER])
@pytest.mark.parametrize(
    "factors, quantity",
    [((1.01, 1), "input gradient"), ((1, 1.01), "parameter gradient"), ((1, 0), "parameter grad")],
)
def test_another_function_that_lies_about_a_gradient_is_refused(family, factors, quantity):
    liar = Contestant("liar", lambda curve: LyingPReLU(curve.channels, *factors), family)
    with pytest.raises(Refused, match=f"its {quantity}"):
        checked(liar)


@pytest.mark.parametrize(
    "module, message",
    [
        (nn.Flatten(), "the output is"),
        (nn.Threshold(9.0, 0.0), None),
    ],
)
def test_a_wrong_shape_is_refused_and_a_flat_function_is_not(module, message):
    contestant = Contestant("other", lambda curve: module, OTHER)
    if message is None:
        checked(contestant)
        return
    with pytest.raises(Refused, match=message):
        checked(contestant)
