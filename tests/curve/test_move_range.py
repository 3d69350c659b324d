import itertools

import numpy as np
import pytest
import torch

from hinged import Curve, errors
from hinged.curve import fit, is_uniform, uniform_grid
from hinged.curve.move_range import move_range, move_ranges


@pytest.mark.parametrize("name", ["relu", "identity", "abs"])
@pytest.mark.parametrize("ends", [(-1.0, 1.0), (-20.0, 3.0), (0.5, 2.0), (-7.0, -2.0)])
def test_a_start_is_moved_exactly(name, ends):
    curve = fit(name, uniform_grid(9, kinks=[0.0]), channels=3).curve
    points = torch.linspace(*ends, 200).expand(3, -1)
    moved = move_range(curve, ends, points, torch.ones(3, 200))
    assert moved.error.max() == 0 and is_uniform(moved.curve.hinges)
    x = torch.randn(200, 3) * 10
    assert torch.equal(Curve(moved.curve.hinges.float(), moved.curve.values.float())(x), curve(x))
    low, high = moved.curve.range
    assert low <= ends[0] and high >= ends[1]


def test_a_trained_curve_is_moved_with_the_error_that_is_reported():
    curve = Curve(uniform_grid(9, kinks=[0.0]), torch.randn(4, 9))
    points = torch.linspace(-5, 5, 400).expand(4, -1)
    shares = torch.exp(-points.square() / 2)
    moved = move_range(curve, (-5.0, 5.0), points, shares)
    gap = moved.curve(points.T.double()).T - curve(points.T).T.double()
    torch.testing.assert_close(moved.error, gap.abs().amax(dim=1), atol=1e-6, rtol=0)
    weights = shares.double() / shares.double().sum(dim=1, keepdim=True)
    torch.testing.assert_close(moved.loss, (weights * gap.square()).sum(1), atol=1e-6, rtol=0)
    assert (moved.loss > 1e-3).any()
    for kept in ([0.0], []):
        grid = uniform_grid(9, (-5, 5), kinks=kept)
        plain = curve(grid[:, None].expand(-1, 4)).T
        gap = Curve(grid, plain)(points.T).T - curve(points.T).T
        assert moved.loss.sum() <= (weights * gap.square()).sum() * 1.000001


@pytest.mark.parametrize("method", ["uniform", "quantile", "search"])
def test_two_kinks_that_no_even_grid_holds_are_kept(method):
    curve = fit("hardtanh", uniform_grid(9, kinks=[-1.0, 1.0]), channels=2).curve
    x = 5 + 7 * torch.randn(2, 500)
    moved = move_range(curve, (-16.0, 26.0), x, torch.ones(2, 500), method=method)
    assert moved.error.max() < 1e-6
    assert {-1.0, 1.0} <= set(moved.curve.hinges.tolist())
    low, high = moved.curve.range
    assert low <= -16 and high >= 26


def interpolated(x, h, v):
    """The interpolant with linear tails, by numpy."""
    left, right = (v[1] - v[0]) / (h[1] - h[0]), (v[-1] - v[-2]) / (h[-1] - h[-2])
    return np.interp(x, h, v) + left * np.minimum(x - h[0], 0) + right * np.maximum(x - h[-1], 0)


def brute_force(curve, candidates, count, x, weights):
    """The least loss of the interpolants of all channels on one row of candidates that spans them
    all."""
    targets = [
        interpolated(row, curve.hinges.numpy(), v)
        for row, v in zip(x, curve.values.numpy(), strict=True)
    ]
    best = np.inf
    for inner in itertools.combinations(candidates[1:-1], count - 2):
        h = np.array([candidates[0], *inner, candidates[-1]])
        loss = sum(
            (w * (interpolated(row, h, interpolated(h, curve.hinges.numpy(), v)) - y) ** 2).sum()
            for row, w, v, y in zip(x, weights, curve.values.numpy(), targets, strict=True)
        )
        best = min(best, loss)
    return best


@pytest.mark.parametrize("seed", range(8))
def test_the_search_for_a_common_row_loses_no_more_than_brute_force(seed):
    torch.manual_seed(seed)
    hinges = torch.linspace(-2, 2, 7, dtype=torch.float64)
    curve = Curve(hinges, torch.randn(3, 7, dtype=torch.float64))
    x, weights = torch.randn(3, 40, dtype=torch.float64) * 1.5, torch.rand(3, 40).double()
    moved = move_range(curve, (-3.0, 3.0), x, weights, hinges=5, method="search")
    shares = (weights / weights.sum(dim=1, keepdim=True)).numpy()
    # Some of what the search chooses from: its even steps, and the curve's own hinges.
    candidates = sorted({*np.linspace(-3, 3, 17), *hinges.tolist()})
    best = brute_force(curve, candidates, 5, x.numpy(), shares)
    assert moved.loss.sum().item() <= best * (1 + 1e-9)
    for other in ("uniform", "quantile"):
        loss = move_range(curve, (-3.0, 3.0), x, weights, hinges=5, method=other).loss.sum()
        assert moved.loss.sum() <= loss * (1 + 1e-9)
    assert moved.curve.hinges[[0, -1]].tolist() == [-3, 3]


def test_more_hinges_stay_the_same_function():
    curve = Curve(uniform_grid(9, kinks=[0.0]), torch.randn(2, 9), "constant")
    x = torch.linspace(-9, 9, 500)
    for count in (10, 11, 20):
        moved = move_range(curve, (-9.0, 9.0), x, torch.ones(500), hinges=count)
        assert moved.curve.hinges.shape == (count,) and moved.error.max() < 1e-6
        wide = x.double()[:, None].expand(-1, 2)
        torch.testing.assert_close(moved.curve(wide), curve(wide), atol=1e-5, rtol=0)


def test_each_channel_has_hinges_of_its_own():
    rows = torch.tensor([[-1.0, 0, 1], [-3, 0, 3]])
    curve = Curve(rows, rows.relu(), "free", torch.tensor([[0.0, 1], [0, 1]]))
    x = torch.linspace(-5, 5, 100).expand(2, -1)
    moved = move_ranges(curve, [(-1.0, 4.0), (-6.0, 2.0)], x, torch.ones(2, 100), hinges=5)
    assert moved.curve.hinges.shape == (2, 5) and moved.error.shape == (2,)
    assert moved.error.max() < 1e-6
    assert moved.curve.hinges[0, 0] <= -1 and moved.curve.hinges[0, -1] >= 4
    assert moved.curve.hinges[1, 0] <= -6 and moved.curve.hinges[1, -1] >= 2
    with pytest.raises(errors.ArgumentError, match="got 1 ranges; expected one for each of 2"):
        move_ranges(curve, [(-1.0, 1.0)], x, torch.ones(2, 100))


def test_too_few_hinges_for_both_kinks_are_spread_evenly():
    curve = fit("hardtanh", uniform_grid(9, kinks=[-1.0, 1.0])).curve
    moved = move_range(curve, (-16.0, 26.0), torch.linspace(-9, 9, 50), torch.ones(50), hinges=3)
    assert moved.curve.hinges.tolist() == [-16.0, 5.0, 26.0]
