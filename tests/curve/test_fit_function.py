import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hinged import Curve, errors
from hinged.curve import START_FUNCTIONS, TAILS, fit, uniform_grid

SMOOTH = ("gelu", "silu", "tanh", "sigmoid", "softplus")
FREE = torch.tensor([-3.0, -2.2, -0.9, -0.1, 0.4, 1.7, 3.1], dtype=torch.float64)


def samples(hinges):
    """Evenly spread points of every piece, its ends included, in NumPy."""
    pieces = [np.linspace(a, b, 65) for a, b in itertools.pairwise(hinges.tolist())]
    return np.concatenate(pieces)


def hats(hinges):
    """One column per hinge: the curve that is 1 there and 0 at all others."""
    return np.stack([np.interp(samples(hinges), hinges, unit) for unit in np.eye(len(hinges))], 1)


def exact(name, x):
    return START_FUNCTIONS[name].call(torch.from_numpy(x)).numpy()


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("hinges", [uniform_grid(9, dtype=torch.float64), FREE])
def test_smooth_functions_are_met_by_least_squares(name, hinges):
    result = fit(name, hinges, channels=2)
    best = np.linalg.lstsq(hats(hinges), exact(name, samples(hinges)), rcond=None)[0]
    np.testing.assert_allclose(result.curve.values, np.stack([best, best]), rtol=0, atol=1e-12)
    assert not result.exact


@pytest.mark.parametrize("name", SMOOTH)
def test_no_change_of_a_value_lowers_the_squared_error(name):
    values = fit(name, FREE).curve.values[0].numpy()
    target = exact(name, samples(FREE))

    def squared(values):
        return np.square(np.interp(samples(FREE), FREE, values) - target).sum()

    for unit in np.eye(len(FREE)):
        for change in (1e-4, -1e-4, 1e-2, -1e-2):
            assert squared(values + change * unit) > squared(values)


@pytest.mark.parametrize("name", ["gelu", "silu", "tanh"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_error_is_the_largest_difference(name, dtype):
    hinges = uniform_grid(9, dtype=dtype)
    result = fit(name, hinges, channels=3)
    x = np.linspace(-3, 3, 40001)
    curve = np.interp(x, hinges.double(), result.curve.values[0].double())
    largest = np.abs(curve - exact(name, x)).max()
    assert result.error.tolist() == pytest.approx([largest] * 3, rel=2e-3)


@pytest.mark.parametrize("name", ["gelu", "silu", "tanh"])
def test_more_hinges_come_closer(name):
    grids = [uniform_grid(2**n + 1, dtype=torch.float64) for n in range(1, 8)]
    found = [fit(name, grid).error.item() for grid in grids]
    assert all(finer < coarser for coarser, finer in itertools.pairwise(found))
    # Halving the pieces of a smooth function divides its error by four.
    assert found[-1] < 0.27 * found[-2]


@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "abs", "identity"])
def test_lines_with_a_kink_at_a_hinge_are_interpolated(name, tails):
    hinges = torch.tensor([-2.0, -0.3, 0.0, 0.7, 1.9], dtype=torch.float64)
    result = fit(name, hinges, channels=2, tails=tails)
    assert torch.equal(result.curve.values, START_FUNCTIONS[name].call(hinges).expand(2, 5))
    assert result.error.max() < 1e-15
    assert result.exact


@pytest.mark.parametrize("name", ["relu6", "hardtanh", "softshrink", "hardsigmoid"])
def test_lines_with_two_kinks_at_hinges_are_exact(name):
    hinges = uniform_grid(9, (-4.0, 7.0), kinks=START_FUNCTIONS[name].kinks, dtype=torch.float64)
    result = fit(name, hinges)
    x = torch.linspace(-30, 30, 3001, dtype=torch.float64)
    torch.testing.assert_close(result.curve(x), START_FUNCTIONS[name].call(x), rtol=0, atol=1e-13)
    assert result.exact


def test_a_kink_between_hinges_is_not_exact():
    result = fit("relu", torch.tensor([-1.0, 0.5, 1.0]))
    assert not result.exact
    assert result.error.item() > 0.05


def test_a_kink_on_the_last_hinge_needs_other_than_linear_tails():
    hinges = torch.tensor([-2.0, -1.0, 0.0])
    assert not fit("relu", hinges).exact
    free = fit("relu", hinges, tails="free")
    assert free.exact
    assert free.curve.tail_slopes.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("name", ["gelu", "tanh", "softplus"])
def test_free_tails_start_with_the_functions_slope_just_outside(name):
    hinges = uniform_grid(9, dtype=torch.float64)
    slopes = fit(name, hinges, channels=2, tails="free").curve.tail_slopes
    (left, first), (last, right) = exact(name, np.array([[-3.75, -3.0], [3.0, 3.75]]))
    expected = torch.tensor([(first - left) / 0.75, (right - last) / 0.75], dtype=torch.float64)
    torch.testing.assert_close(slopes, expected.expand(2, 2), rtol=1e-12, atol=1e-15)


def test_channels_with_hinges_of_their_own_are_fitted_apart():
    hinges = torch.stack([FREE, 0.5 * FREE, 2 * FREE])
    together = fit("gelu", hinges, channels=3)
    for channel, row in enumerate(hinges):
        alone = fit("gelu", row)
        torch.testing.assert_close(together.curve.values[channel], alone.curve.values[0])
        torch.testing.assert_close(together.error[channel], alone.error[0])


def test_functions_of_several_channels_keep_them_apart():
    prelu = nn.PReLU(3).double()
    with torch.no_grad():
        prelu.weight.copy_(torch.tensor([0.5, -1.0, 0.0]))
    result = fit(prelu, torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64), channels=3)
    assert result.curve.values.tolist() == [[-0.5, 0.0, 1.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]
    assert result.exact


def test_a_curve_on_its_own_hinges_keeps_its_values():
    curve = Curve(FREE, torch.randn(3, 7, dtype=torch.float64))
    result = fit(curve, FREE, channels=3)
    assert torch.equal(result.curve.values, curve.values)
    assert result.error.tolist() == [0.0] * 3
    assert result.exact


def test_one_curve_serves_every_channel():
    curve = Curve(FREE, torch.randn(1, 7, dtype=torch.float64))
    assert torch.equal(fit(curve, FREE, channels=4).curve.values, curve.values.expand(4, 7))


def test_a_curve_on_finer_hinges_stays_the_same_function():
    curve = Curve(FREE, torch.randn(3, 7, dtype=torch.float64))
    finer = torch.cat([FREE, (FREE[1:] + FREE[:-1]) / 2]).sort().values
    result = fit(curve, finer, channels=3)
    x = 6 * torch.randn(200, 3, dtype=torch.float64)
    torch.testing.assert_close(result.curve(x), curve(x), rtol=0, atol=1e-12)
    assert result.exact


def test_fitted_values_carry_no_gradient_and_the_hinges_dtype():
    curve = Curve(FREE, torch.randn(1, 7, dtype=torch.float64, requires_grad=True))
    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        for function in (curve, "gelu", F.relu):
            values = fit(function, uniform_grid(9, dtype=dtype)).curve.values
            assert values.dtype == dtype
            assert not values.requires_grad


@pytest.mark.parametrize(
    ("hinges", "message"),
    [
        (torch.tensor([1.0]), "got 1 hinge; a curve needs at least 2"),
        (torch.tensor([1.0, 0.0]), "not sorted"),
        (torch.zeros(2, 2).cumsum(-1) + torch.arange(2.0), "hinges for 2 channels; expected"),
    ],
)
def test_hinges_that_do_not_fit_are_refused(hinges, message):
    with pytest.raises(errors.ArgumentError, match=message):
        fit("relu", hinges, channels=3)


def test_a_curve_of_another_channel_count_is_refused():
    with pytest.raises(
        errors.ArgumentError,
        match=r"`hinged.curve.fit\(function=...\)`: got a curve of 2 channels; expected 1 or 3",
    ):
        fit(Curve(FREE, torch.randn(2, 7, dtype=torch.float64)), FREE, channels=3)


@pytest.mark.parametrize("call", [torch.sqrt, lambda x: torch.where(x < 0, torch.nan, 2 * x)])
def test_a_function_that_ends_with_the_range_is_not_exact(call):
    """Tails of a curve cannot equal a function that has no finite outputs there."""
    assert not fit(call, torch.tensor([0.0, 1.0, 2.0])).exact


def test_options_have_names():
    with pytest.raises(TypeError, match="positional argument"):
        fit("relu", uniform_grid(5), 3)
