import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import Curve, errors
from hinged.curve import distance, fit, uniform_grid
from hinged.curve.compression.fewest_pieces import _nearest
from hinged.curve.compression.simplify import _select_hinges, simplify
from tests import oracles
from tests.fewest_hinges import fewest_hinges

SLACK = 1e-7


@st.composite
def curves(draw, most=6, tails="linear"):
    count = draw(st.integers(2, most))
    steps = draw(st.lists(st.sampled_from([0.25, 0.5, 1.0, 2.0]), min_size=count, max_size=count))
    heights = st.lists(st.integers(-4, 4), min_size=count, max_size=count)
    values = draw(st.lists(heights, min_size=1, max_size=2))
    hinges = torch.tensor(steps, dtype=torch.float64).cumsum(0) - 3
    slopes = torch.ones(len(values), 2, dtype=torch.float64) if tails == "free" else None
    return Curve(hinges, torch.tensor(values, dtype=torch.float64) / 2, tails, slopes)


@pytest.mark.slow
@given(curves(), st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.0]))
def test_no_choice_has_fewer_hinges(curve, tolerance):
    found = simplify(curve, tolerance)
    assert (distance(curve, found.curve) <= tolerance + SLACK).all()
    torch.testing.assert_close(found.error, distance(curve, found.curve))
    for channel, values in enumerate(curve.values.numpy()):
        tried = [
            fewest_hinges(curve.hinges.numpy(), values, tolerance + slack)
            for slack in (SLACK, -SLACK)
        ]
        assert tried[0] <= found.needed[channel] <= tried[1]
    assert found.curve.hinges.shape == (curve.channels, int(found.needed.max()))


@given(curves(most=7), st.data())
def test_no_choice_of_kept_values_has_fewer_hinges_in_the_mean(curve, data):
    tolerance = data.draw(st.sampled_from([0.0, 0.1, 0.3, 1.0]))
    points = np.linspace(-4, curve.hinges[-1].item() + 1, 23)
    weights = np.array(data.draw(st.lists(st.integers(0, 3), min_size=23, max_size=23)), float)
    weights[11] += 1
    found = simplify(curve, tolerance, positions=torch.tensor(points), shares=torch.tensor(weights))
    weights /= weights.sum()

    def loss(hinges, values):
        target = oracles.interpolate(points, curve.hinges.numpy(), curve.values[channel].numpy())
        return weights @ (oracles.interpolate(points, hinges, values) - target) ** 2

    for channel in range(curve.channels):
        hinges, values = curve.hinges.numpy(), curve.values[channel].numpy()
        simple = found.curve.hinges[channel].numpy(), found.curve.values[channel].numpy()
        assert loss(*simple) ** 0.5 <= tolerance + SLACK
        for count in range(2, int(found.needed[channel])):
            for places in itertools.combinations(range(len(hinges)), count):
                assert loss(hinges[list(places)], values[list(places)]) ** 0.5 > tolerance - SLACK


@pytest.mark.parametrize("tails", ["constant", "free"])
@given(st.data())
def test_tails_that_are_not_linear_keep_the_bound_everywhere(tails, data):
    curve = data.draw(curves(tails=tails))
    simple = simplify(curve, 0.4).curve
    x = torch.linspace(-50, 50, 2001, dtype=torch.float64)[:, None].expand(-1, curve.channels)
    assert (curve(x) - simple(x)).abs().max() <= 0.4 + SLACK
    assert simple.tails == tails


@pytest.mark.parametrize(
    "name, needed", [("relu", 3), ("identity", 2), ("hardtanh", 4), ("abs", 3)]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_hinges_that_bend_nothing_go(name, needed, dtype):
    kinks = {"relu": [0.0], "abs": [0.0], "hardtanh": [-1.0, 1.0]}.get(name, [])
    curve = fit(name, uniform_grid(17, (-4, 4), kinks=kinks, dtype=dtype)).curve
    found = simplify(curve, 0.0)
    assert found.needed.item() == needed
    x = torch.linspace(-9, 9, 1001, dtype=dtype)
    torch.testing.assert_close(found.curve(x), curve(x), atol=1e-5, rtol=1e-5)


@given(curves())
def test_reach_holds_linear_tails_to_the_bound_beyond_the_range(curve):
    simple = simplify(curve, 0.5, reach=2.0).curve
    width = curve.hinges[-1] - curve.hinges[0]
    x = torch.linspace(-2, 3, 501, dtype=torch.float64) * width + curve.hinges[0]
    x = x[:, None].expand(-1, curve.channels)
    assert (curve(x) - simple(x)).abs().max() <= 0.5 + SLACK


def test_channels_may_have_their_own_tolerance_and_need_their_own_count():
    curve = fit("gelu", uniform_grid(17), channels=3).curve
    found = simplify(curve, torch.tensor([0.0, 0.02, 10.0]))
    assert found.needed.tolist()[0] == 17 and found.needed.tolist()[2] == 2
    assert 2 < found.needed.tolist()[1] < 9
    torch.testing.assert_close(found.curve.values[0], curve.values[0])
    alone = simplify(Curve(curve.hinges, curve.values[1:2]), 0.02)
    x = torch.linspace(-3, 3, 101)[:, None]
    torch.testing.assert_close(found.curve(x.expand(-1, 3))[:, 1], alone.curve(x)[:, 0])


def test_many_channels_keep_the_bound():
    values = torch.randn(500, 17).cumsum(1)
    found = simplify(Curve(uniform_grid(17), values), 0.5)
    # Sixteen roundings: eight are allowed, and the float32 difference has eight more.
    rounding = 16 * torch.finfo(torch.float32).eps * values.abs().amax(dim=1)
    assert (found.error <= 0.5 + rounding).all()


def test_refusals():
    curve = fit("relu", uniform_grid(5, kinks=[0.0])).curve
    with pytest.raises(
        errors.ArgumentError, match=r"tolerance=\.\.\.\)`: got -1; expected 0 or more"
    ):
        simplify(curve, -1)
    with pytest.raises(errors.ArgumentError, match=r"reach=\.\.\.\)`: got -2; expected 0 or more"):
        simplify(curve, 1, reach=-2)
    with pytest.raises(errors.ArgumentError, match="positions, but no shares; give both"):
        simplify(curve, 1, positions=torch.zeros(3))
    with pytest.raises(errors.ArgumentError, match=r"expected \(P,\) or \(C, P\) for both"):
        simplify(curve, 1, positions=torch.zeros(3), shares=torch.zeros(4))


def test_with_reach_the_ends_of_the_range_stay_hinges():
    for name, expected in (("identity", [-4, 4]), ("relu", [-4, 0, 4]), ("abs", [-4, 0, 4])):
        curve = fit(name, uniform_grid(9, (-4, 4))).curve
        assert simplify(curve, 0.0, reach=1.0).curve.hinges.tolist() == [expected]


def test_the_height_nearest_to_the_wanted_one_is_chosen():
    low, high = torch.tensor([[1.0, 4.0, 3.0]]), torch.tensor([[2.0, 5.0, 2.0]])
    for wanted, expected in ((3.5, 4.0), (2.5, 2.0), (1.5, 1.5), (9.0, 5.0)):
        assert _nearest(low, high, torch.tensor([[wanted]])).item() == expected


def test_a_straight_line_keeps_its_heights_within_a_large_tolerance():
    line = Curve(torch.arange(5.0), torch.arange(5.0)[None])
    found = simplify(line, 0.5)
    assert found.needed.item() == 2 and found.error.item() == 0
    assert found.curve.values.tolist() == [[0.0, 4.0]]


def test_one_curve_has_common_hinges():
    curve = Curve(torch.arange(3.0), torch.tensor([[0.0, 0.0, 1.0]]))
    found = simplify(curve, 0.0)
    assert found.curve.hinges.dim() == 2
    assert found.with_common_hinges().hinges.tolist() == found.curve.hinges[0].tolist()


def test_of_hinges_that_equally_many_channels_keep_the_first_ones_are_added():
    curve = Curve(torch.arange(33.0), torch.zeros(3, 33))
    kept = torch.zeros(3, 33, dtype=torch.bool)
    for row, places in enumerate([[0, 5, 9, 32], [0, 20, 25, 32], [0, 32]]):
        kept[row, places] = True
    chosen = _select_hinges(curve, kept, curve.values.double())
    assert chosen.hinges[2].tolist() == [0, 5, 9, 32]
