"""A smooth function is fitted where its inputs are, tails included."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hinged import errors
from hinged.curve import Curve, fit, is_uniform, uniform_grid
from hinged.curve.placement.fit_to_inputs import fit_to_inputs

SMOOTH = {
    "gelu": F.gelu,
    "silu": F.silu,
    "hardswish": F.hardswish,
    "mish": F.mish,
    "elu": F.elu,
    "softplus": F.softplus,
    "tanh": torch.tanh,
    "selu": F.selu,
}
X = torch.linspace(-6, 6, 601, dtype=torch.float64)
NORMAL = torch.exp(-X * X / 2)


def difference(found, function, x):
    return (found.curve(x[:, None]).squeeze(1) - function(x)).abs()


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_the_error_is_that_on_the_inputs_and_small(name, tails):
    found = fit_to_inputs(name, X, NORMAL, 9, (-3.0, 3.0), tails=tails)
    error = difference(found, SMOOTH[name], X).max()
    assert error <= found.error * 1.001 and found.error <= 1.2 * error
    if tails != "constant":
        assert error < 0.15
    assert found.curve.hinges[0] <= -3 and found.curve.hinges[-1] >= 3
    assert is_uniform(found.curve.hinges.float())


@pytest.mark.parametrize("name", SMOOTH)
def test_the_largest_error_is_below_that_of_a_fit_to_the_range_alone(name):
    found = fit_to_inputs(name, X, NORMAL, 9, (-3.0, 3.0))
    grid = uniform_grid(9, (-3.0, 3.0), kinks=(0.0,) if name == "selu" else ()).double()
    plain = (fit(name, grid).curve(X[:, None]).squeeze(1) - SMOOTH[name](X)).abs()
    assert found.error < plain.max()


@pytest.mark.parametrize("name", SMOOTH)
def test_inputs_beyond_those_seen_count_a_little(name, monkeypatch):
    x = torch.linspace(-3, 3, 301, dtype=torch.float64)
    errors = []
    for weight in (2e-4, 0.0):
        monkeypatch.setattr("hinged.curve.placement.fit_to_inputs._WEIGHT_BEYOND", weight)
        found = fit_to_inputs(name, x, torch.exp(-x * x / 2), 9, (-3.0, 3.0))
        errors.append(difference(found, SMOOTH[name], 2 * x).max())
    assert errors[0] < errors[1]


def test_a_hinge_at_each_bend_makes_the_tails_of_hardswish_exact():
    found = fit_to_inputs("hardswish", X, NORMAL, 9, (-3.0, 3.0))
    assert {-3.0, 3.0} <= set(found.curve.hinges.tolist())
    far = torch.tensor([-100.0, 100.0], dtype=torch.float64)
    assert difference(found, F.hardswish, far).max() < 1


def test_a_function_with_bends_takes_fewer_hinges_too():
    assert fit_to_inputs("hardswish", X, NORMAL, 3, (-3.0, 3.0)).curve.hinges.numel() == 3


def test_channels_get_equal_curves_or_their_own():
    alike = fit_to_inputs("silu", X, NORMAL, 9, (-3.0, 3.0), channels=4)
    assert alike.curve.values.shape == (4, 9) and alike.error.shape == (4,)
    slopes = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    def snake(x):
        return x + (slopes * x).sin().square() / slopes

    own = fit_to_inputs(snake, X, NORMAL, 33, (-6.0, 6.0), channels=3)
    x = X[:, None].expand(-1, 3)
    error = (own.curve(x) - snake(x)).abs().amax(dim=0)
    assert (error <= 1.001 * own.error).all() and (error < 0.35).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_hinges_are_exact_in_the_dtype(dtype):
    hinges = fit_to_inputs("gelu", X, NORMAL, 9, (-3.0, 3.0), dtype=dtype).curve.hinges
    assert torch.equal(hinges.to(dtype).double(), hinges) and is_uniform(hinges)


def test_ranges_too_wide_for_the_dtype_are_left_out():
    x = torch.tensor([-1.0, 0.0, 1.0, 1e6])
    found = fit_to_inputs("gelu", x, torch.ones(4), 9, (-3.0, 3.0), dtype=torch.float16)
    assert found.curve.hinges.abs().max() < 6e4


def test_a_function_without_a_value_at_an_input_is_refused():
    with pytest.raises(errors.ArgumentError, match="returns NaN or infinite values"):
        fit_to_inputs(torch.log, X, NORMAL, 9, (1.0, 3.0))


def test_modules_and_curves_are_functions_too():
    by_name = fit_to_inputs("hardswish", X, NORMAL, 9, (-3.0, 3.0)).curve
    by_module = fit_to_inputs(nn.Hardswish(), X, NORMAL, 9, (-3.0, 3.0)).curve
    assert torch.equal(by_name.hinges, by_module.hinges)
    curve = Curve(torch.tensor([-1.0, 0.3, 2.0]), torch.tensor([[0.0, 1.0, 0.0]]))
    assert fit_to_inputs(curve, X, NORMAL, 33, (-3.0, 3.0)).error < 0.3
