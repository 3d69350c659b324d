import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import Curve, errors
from hinged.curve import uniform_grid
from hinged.curve.placement.refit import _interpolant, refit
from hinged.curve.start_functions import StartFunction

POINTS = torch.linspace(-4, 4, 81, dtype=torch.float64)


def mean_square(curve, target, points, weights):
    return ((weights / weights.sum(-1, keepdim=True)) * (curve(points.T).T - target).square()).sum(
        -1
    )


@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
@given(data=st.data())
def test_no_small_change_of_the_unknowns_loses_less(tails, data):
    seed = data.draw(st.integers(0, 10_000))
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(2, 81, generator=generator, dtype=torch.float64)
    found = refit("gelu", uniform_grid(5, dtype=torch.float64), POINTS, weights, tails=tails)
    points = POINTS.expand(2, -1)
    target = torch.nn.functional.gelu(points)
    torch.testing.assert_close(found.loss, mean_square(found.curve, target, points, weights))
    worst = (found.curve(points.T).T - target).abs().amax(1)
    torch.testing.assert_close(found.error, worst)
    for size in (1e-2, 1e-4):
        nudge = size * torch.randn(2, 5, generator=generator, dtype=torch.float64)
        slopes = found.curve.tail_slopes
        if slopes is not None:
            slopes = slopes + size * torch.randn(2, 2, generator=generator, dtype=torch.float64)
        other = Curve(found.curve.hinges, found.curve.values + nudge, tails, slopes)
        assert (mean_square(other, target, points, weights) >= found.loss - 1e-15).all()


def test_agrees_with_numpy():
    hinges = torch.tensor([[-2.0, 0.0, 1.0], [-1.0, 0.5, 2.0]], dtype=torch.float64)
    weights = torch.rand(2, 81, dtype=torch.float64)
    found = refit("tanh", hinges, POINTS, weights, tails="constant").curve.values
    for row, share, values in zip(hinges, weights, found, strict=True):
        basis = np.stack([np.interp(POINTS, row, unit) for unit in np.eye(3)], axis=1)
        root = np.sqrt(share.numpy())[:, None]
        target = np.tanh(POINTS.numpy())[:, None]
        expected = np.linalg.lstsq(root * basis, root * target, rcond=None)[0][:, 0]
        np.testing.assert_allclose(values, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["relu", "abs", "identity", "hardtanh"])
def test_what_is_piecewise_linear_stays_so_to_the_last_bit(name):
    hinges = torch.tensor([-2.0, -1.0, 0.0, 1.0, 3.0])
    found = refit(name, hinges, POINTS, torch.ones(81))
    function = {"identity": lambda x: x}.get(name) or getattr(torch.nn.functional, name, torch.abs)
    assert torch.equal(found.curve.values[0], function(hinges.double()))
    assert found.error.item() == 0.0


def test_where_no_input_lies_the_values_are_the_functions():
    hinges = torch.tensor([-40.0, -2.0, 0.0, 2.0, 30.0], dtype=torch.float64)
    shares = (POINTS.abs() < 2).double()
    values = refit("gelu", hinges, POINTS, shares, tails="constant").curve.values
    torch.testing.assert_close(values[0, [0, -1]], torch.tensor([0.0, 30.0], dtype=torch.float64))
    nowhere = refit("gelu", hinges, POINTS, torch.zeros(81)).curve.values
    evenly = refit("gelu", hinges, POINTS, torch.ones(81)).curve.values
    torch.testing.assert_close(nowhere, evenly)


def test_a_curve_is_fitted_channel_by_channel():
    curve = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.randn(4, 3))
    finer = refit(curve, torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0]), POINTS, torch.ones(81)).curve
    assert torch.equal(finer.values[:, ::2].float(), curve.values)


def test_refusals():
    hinges = torch.tensor([-1.0, 1.0])
    for positions, shares in [
        (POINTS, torch.ones(80)),
        (POINTS, torch.ones(3, 81)),
        (torch.zeros(0), torch.zeros(0)),
    ]:
        with pytest.raises(errors.ArgumentError, match=r"shares=\.\.\.\)`: got positions"):
            refit(Curve(hinges, torch.zeros(2, 2)), hinges, positions, shares)
    for shares in (-torch.ones(81), torch.full((81,), torch.inf)):
        with pytest.raises(errors.ArgumentError, match="expected finite positions and shares of 0"):
            refit("relu", hinges, POINTS, shares)
    with pytest.raises(errors.ArgumentError, match=r"for 3 channels with hinges .* or \(3, K\)"):
        refit(Curve(hinges, torch.zeros(3, 2)), hinges.expand(2, 2), POINTS, torch.ones(81))


def test_tails_without_inputs_have_the_slopes_of_the_function():
    hinges = torch.tensor([-3.0, -1.0, 1.0, 2.0], dtype=torch.float64)
    inside = (POINTS > -3) & (POINTS < 2)
    found = refit("gelu", hinges, POINTS, inside, tails="free").curve.tail_slopes
    left, right = torch.nn.functional.gelu(torch.tensor([[-5.0, -3.0], [2.0, 3.0]]).double())
    expected = torch.stack((left.diff() / 2, right.diff() / 1), dim=1)
    torch.testing.assert_close(found, expected)


def test_points_without_inputs_have_no_error():
    hinges = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    found = refit("gelu", hinges, POINTS, POINTS.abs() < 1)
    x = POINTS[POINTS.abs() < 1]
    gap = found.curve(x[:, None])[:, 0] - torch.nn.functional.gelu(x)
    torch.testing.assert_close(found.error, gap.abs().amax()[None])


def test_slopes_of_free_tails_start_over_the_width_of_their_own_piece():
    hinges = torch.tensor([[0.0, 1.0, 3.0]], dtype=torch.float64)
    square = StartFunction("square", torch.square)
    # The tails end at -1 and at 5, where the outputs are 1 and 25.
    assert _interpolant(square, hinges, "free").tolist() == [[0.0, 1.0, 9.0, -1.0, 8.0]]
