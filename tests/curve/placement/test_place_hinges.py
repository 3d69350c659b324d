import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import Curve, errors
from hinged.curve import fit, move_range, move_ranges, resolve_start, uniform_grid
from hinged.curve.placement.place_hinges import METHODS, place_hinges

NAMES = ("gelu", "silu", "tanh", "relu", "hardtanh", "relu6", "selu", "abs", "identity")


@st.composite
def distributions(draw):
    generator = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    centre, spread = draw(st.sampled_from([(0, 1), (2, 0.5), (-3, 2), (0, 20)]))
    shape = (2, draw(st.integers(2, 60)))
    points = centre + spread * torch.randn(shape, generator=generator, dtype=torch.float64)
    return points, torch.rand(shape, generator=generator, dtype=torch.float64)


@pytest.mark.slow
@given(distributions(), st.sampled_from(NAMES), st.sampled_from(["linear", "constant", "free"]))
def test_the_search_never_loses_more_than_the_others(inputs, name, tails):
    found = {m: place_hinges(name, *inputs, 6, method=m, tails=tails) for m in METHODS}
    # A loss below the square of a trillionth of the values is rounding.
    rounding = 1e-24 * resolve_start(name).call(inputs[0]).square().amax(dim=1)
    for other in ("uniform", "quantile"):
        assert (found["search"].loss <= torch.maximum(found[other].loss, rounding)).all()
    for each in found.values():
        assert each.curve.hinges.shape == each.curve.values.shape == (2, 6)


@given(distributions(), st.sampled_from(NAMES), st.sampled_from(METHODS))
def test_every_kink_is_a_hinge(inputs, name, method):
    curve = place_hinges(name, *inputs, 6, method=method).curve
    for kink in resolve_start(name).kinks:
        held = curve.hinges == kink
        assert held.any(dim=1).all()
        # With linear tails a kink needs a hinge on each side.
        assert not held[:, [0, -1]].any()


@given(distributions(), st.sampled_from(["relu", "abs", "identity", "hardtanh", "relu6"]))
def test_what_is_piecewise_linear_loses_nothing(inputs, name):
    found = place_hinges(name, *inputs, 6)
    target = resolve_start(name).call(inputs[0])
    assert (found.error <= 1e-13 * (1 + target.abs().amax(dim=1))).all()


def test_where_nothing_is_gained_hinges_stay_even():
    points = torch.randn(1, 100)
    found = place_hinges("relu", points, torch.ones(1, 100), 9).curve.hinges
    even = place_hinges("relu", points, torch.ones(1, 100), 9, method="uniform").curve.hinges
    assert torch.equal(found, even)


def test_quantiles_put_equal_shares_between_hinges():
    points = torch.distributions.Exponential(1.0).icdf(torch.linspace(0.0005, 0.9995, 1000))
    hinges = place_hinges("identity", points, torch.ones(1000), 6, method="quantile").curve.hinges
    counts = torch.histogram(points.double(), hinges[0]).hist
    # A thousandth is spread over the range instead.
    torch.testing.assert_close(counts, torch.full((5,), 200.0, dtype=torch.float64), atol=2, rtol=0)


def test_more_hinges_lose_less_and_the_gain_is_large_where_inputs_are_few_places():
    points = torch.cat((torch.linspace(-1, 1, 200), torch.linspace(30, 31, 20)))[None].double()
    losses = [
        place_hinges("gelu", points, torch.ones_like(points), k).loss.item() for k in range(2, 9)
    ]
    assert losses == sorted(losses, reverse=True)
    even = place_hinges("gelu", points, torch.ones_like(points), 8, method="uniform").loss.item()
    assert losses[-1] < 1e-3 * even


def test_a_finer_curve_is_thinned_at_its_own_hinges():
    hinges = torch.tensor([-3.0, -2.2, -0.7, 0.1, 0.9, 3.0])
    curve = Curve(hinges, torch.tensor([[0.0, 0.0, 2.0, 2.0, 5.0, 5.0], [1, 1, 1, 1, 1, 1]]))
    found = place_hinges(curve, torch.linspace(-3, 3, 400), torch.ones(400), 6)
    assert found.loss.tolist() == pytest.approx([0, 0], abs=1e-12)
    # The outermost hinges may lie anywhere on a linear tail.
    assert torch.equal(found.curve.hinges[0, 1:-1].float(), hinges[1:-1])


@pytest.mark.parametrize("method", METHODS)
def test_inputs_that_are_one_number_get_a_range(method):
    hinges = place_hinges(
        "relu", torch.full((1, 5), 7.0), torch.ones(1, 5), 5, method=method
    ).curve.hinges
    assert (hinges.diff(dim=1) > 1e-3).all()
    assert (hinges[:, 0] < 0).all() and (hinges[:, -1] > 7).all()


def test_positions_come_in_any_order():
    points, order = torch.linspace(-3, 3, 50), torch.randperm(50)
    shares = torch.rand(50)
    first = place_hinges("gelu", points, shares, 5)
    second = place_hinges("gelu", points[order], shares[order], 5)
    torch.testing.assert_close(first.curve.hinges, second.curve.hinges)


def test_hinges_stay_apart_in_float32():
    points = 1000 + torch.rand(1, 300) * 0.1
    for method in METHODS:
        hinges = place_hinges("gelu", points, torch.ones(1, 300), 5, method=method).curve.hinges
        assert (hinges.float().diff(dim=1) > 0).all()


def test_refusals():
    points, shares = torch.linspace(-3, 3, 50), torch.ones(50)
    with pytest.raises(errors.UnknownNameError, match="did you mean 'quantile'"):
        place_hinges("gelu", points, shares, 5, method="quantiles")
    with pytest.raises(errors.UnknownNameError, match="did you mean 'linear'"):
        place_hinges("gelu", points, shares, 5, tails="liner")
    for method in METHODS:
        with pytest.raises(errors.ArgumentError, match="got 2 hinges"):
            place_hinges("relu", points, shares, 2, method=method)
    with pytest.raises(errors.ArgumentError, match="shares"):
        place_hinges(fit("relu", uniform_grid(5), channels=3).curve, points, torch.ones(2, 50), 5)


def test_errors_name_the_call_of_the_user():
    points, shares = torch.linspace(-3, 3, 50), torch.ones(50)
    relu = fit("relu", uniform_grid(5, kinks=[0.0])).curve
    with pytest.raises(errors.ArgumentError, match=r"^`hinged\.curve\.place_hinges\(range"):
        place_hinges("gelu", points, shares, 5, range=(1.0, 1.0))
    with pytest.raises(errors.UnknownNameError, match=r"^`hinged\.curve\.place_hinges\(function"):
        place_hinges("rleu", points, shares, 5)
    with pytest.raises(errors.ArgumentError, match=r"^`hinged\.curve\.move_range\(hinges"):
        move_range(relu, (-1.0, 1.0), points, shares, hinges=1)
    with pytest.raises(errors.ArgumentError, match=r"^`hinged\.curve\.move_ranges\(range"):
        move_ranges(relu, [(1.0, 1.0)], points, shares)
