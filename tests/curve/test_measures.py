import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import Curve, errors
from hinged.curve import distance, fit, lipschitz, total_variation, uniform_grid
from tests import oracles
from tests.curve.strategies import curves

GRID = uniform_grid(9, kinks=[0.0], dtype=torch.float64)


def named(name):
    return fit(name, GRID).curve


def row(curve, channel):
    """Hinges, values and tails of one channel in NumPy."""
    hinges = curve.hinges.double().expand(curve.channels, -1)[channel].numpy()
    slopes = None if curve.tail_slopes is None else curve.tail_slopes[channel].numpy()
    return hinges, curve.values[channel].double().numpy(), curve.tails, slopes


def dense(curve, channel, points=64):
    """Every piece divided evenly, and a range on either side."""
    hinges = row(curve, channel)[0]
    width = hinges[-1] - hinges[0]
    edges = np.concatenate([[hinges[0] - width], hinges, [hinges[-1] + width]])
    return np.unique(np.concatenate([np.linspace(a, b, points) for a, b in pairs(edges)]))


def pairs(edges):
    return itertools.pairwise(edges)


@pytest.mark.parametrize(
    ("name", "slope", "variation", "way"),
    [
        ("identity", 1.0, 0.0, 6.0),
        ("relu", 1.0, 1.0, 3.0),
        ("abs", 1.0, 2.0, 6.0),
        ("leaky_relu", 1.0, 0.99, 3.03),
    ],
)
def test_measures_of_known_functions(name, slope, variation, way):
    torch.testing.assert_close(lipschitz(named(name)).item(), slope)
    torch.testing.assert_close(total_variation(named(name)).item(), variation)
    torch.testing.assert_close(total_variation(named(name), order=1).item(), way)


@given(curves())
def test_lipschitz_is_the_steepest_secant(curve):
    for channel, found in enumerate(lipschitz(curve).tolist()):
        x = dense(curve, channel)
        secants = np.abs(np.diff(oracles.interpolate(x, *row(curve, channel))) / np.diff(x))
        assert found == pytest.approx(secants.max(), rel=1e-6)


@given(curves())
def test_total_variation_is_the_sum_of_all_changes(curve):
    slopes, ways = total_variation(curve), total_variation(curve, order=1)
    for channel in range(curve.channels):
        hinges, *rest = row(curve, channel)
        x = dense(curve, channel)
        y = oracles.interpolate(x, hinges, *rest)
        secants = np.diff(y) / np.diff(x)
        # A secant of a 64th of a piece is known to some 1e-12 of its size.
        expected = pytest.approx(np.abs(np.diff(secants)).sum(), abs=1e-8 * np.abs(secants).max())
        assert slopes[channel].item() == expected
        inside = y[(x >= hinges[0]) & (x <= hinges[-1])]
        assert ways[channel].item() == pytest.approx(np.abs(np.diff(inside)).sum(), rel=1e-9)


def test_tails_count_as_slopes():
    hinges, values = torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 1.0]])
    assert total_variation(Curve(hinges, values)).tolist() == [0.0]
    assert total_variation(Curve(hinges, values, "constant")).tolist() == [2.0]
    free = Curve(hinges, values, "free", torch.tensor([[-3.0, 5.0]]))
    assert total_variation(free).tolist() == [8.0]
    assert lipschitz(free).tolist() == [5.0]


@pytest.mark.slow
@given(st.data())
def test_distances_agree_with_quadrature(data):
    first = data.draw(curves())
    second = data.draw(curves().filter(lambda made: made.channels == first.channels))
    largest, root = distance(first, second), distance(first, second, norm="l2")
    assert largest.shape == root.shape == (first.channels,)
    nodes, weights = np.polynomial.legendre.leggauss(4)
    for channel in range(first.channels):
        one, other = row(first, channel), row(second, channel)
        edges = np.unique(np.concatenate([one[0], other[0]]))
        # Four Gauss points integrate the square of a line between neighbouring hinges exactly.
        middle, half = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
        x = middle[:, None] + half[:, None] * nodes
        gaps = oracles.interpolate(x, *one) - oracles.interpolate(x, *other)
        integral = (np.square(gaps) * weights * half[:, None]).sum()
        assert root[channel].item() == pytest.approx(np.sqrt(integral), rel=1e-7, abs=1e-9)
        x = np.concatenate([np.linspace(a, b, 16) for a, b in pairs(edges)])
        gaps = np.abs(oracles.interpolate(x, *one) - oracles.interpolate(x, *other))
        assert largest[channel].item() == pytest.approx(gaps.max(), rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("norm", ["max", "l2"])
@given(curves())
def test_a_curve_has_no_distance_to_itself(norm, curve):
    assert distance(curve, curve, norm).tolist() == [0.0] * curve.channels


def test_distances_worked_out_by_hand():
    # |x| - relu(x) is the ramp of height 3 and width 3: its square integrates to 9.
    assert distance(named("abs"), named("relu")).item() == 3.0
    torch.testing.assert_close(distance(named("abs"), named("relu"), norm="l2").item(), 3.0)
    # Beyond its own hinges a curve is compared by its tail.
    short = Curve(torch.tensor([-1.0, 1.0]), torch.tensor([[-1.0, 1.0]]), "constant")
    wide = Curve(torch.tensor([-4.0, 2.0]), torch.tensor([[-4.0, 2.0]]))
    assert distance(short, wide).tolist() == [3.0]


def test_distances_are_symmetric_and_one_curve_serves_all():
    many = Curve(GRID, torch.randn(3, 9, dtype=torch.float64))
    for norm in ("max", "l2"):
        found = distance(many, named("relu"), norm)
        assert found.shape == (3,)
        torch.testing.assert_close(distance(named("relu"), many, norm), found)
        alone = [distance(Curve(GRID, each[None]), named("relu"), norm) for each in many.values]
        torch.testing.assert_close(found, torch.cat(alone))


def test_measures_are_differentiable():
    def measures(values, slopes):
        curve = Curve(GRID[:4], values, "free", slopes)
        yield lipschitz(curve)
        yield total_variation(curve)
        yield total_variation(curve, order=1)
        yield distance(curve, named("relu"))
        yield distance(curve, named("relu"), norm="l2")

    values = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    slopes = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda *tensors: tuple(measures(*tensors)), (values, slopes))


def test_unknown_orders_and_norms_are_refused():
    with pytest.raises(errors.ArgumentError, match=r"order=\.\.\.\)`: got 3; expected 1 \(changes"):
        total_variation(named("relu"), order=3)
    with pytest.raises(errors.UnknownNameError, match=r"got 'l3'; did you mean 'l2'\? All of: l2"):
        distance(named("relu"), named("abs"), norm="l3")


def test_channel_counts_that_do_not_fit_are_refused():
    two, three = (Curve(GRID, torch.randn(c, 9, dtype=torch.float64)) for c in (2, 3))
    with pytest.raises(
        errors.ArgumentError, match="got curves of 2 and 3 channels; expected equal"
    ):
        distance(two, three)
