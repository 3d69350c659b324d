import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear


def advice_by_sign(layer, x):
    return {each.sign: each for each in hinged.diagnose(nn.Sequential(layer), x).advice}


def test_good_curves_get_no_advice():
    assert advice_by_sign(PiecewiseLinear(8), torch.randn(2000, 8)) == {}


@pytest.mark.parametrize(("dead", "expected"), [(0, False), (1, False), (2, True), (20, True)])
def test_dead_units_get_advice_from_a_tenth_on(dead, expected):
    x = torch.randn(500, 20)
    x[:, :dead] = -2.0
    assert ("dead units" in advice_by_sign(PiecewiseLinear(20), x)) == expected


def test_dead_units_are_counted_in_the_sentence():
    x = torch.randn(500, 4)
    x[:, 1] = -x[:, 1].abs()
    text = advice_by_sign(PiecewiseLinear(4), x)["dead units"].text
    assert text.startswith("0: 1 of 4 units are dead") and 'init="leaky_relu"' in text


@pytest.mark.parametrize(
    ("width", "expected"), [(0.3, True), (0.5, True), (1.0, False), (3.0, False)]
)
def test_a_range_that_most_inputs_lie_outside_is_too_narrow(width, expected):
    found = advice_by_sign(PiecewiseLinear(3, range=(-width, width)), torch.randn(5000, 3))
    assert ("inputs outside" in found) == expected
    if expected:
        share = 2 * torch.distributions.Normal(0, 1).cdf(torch.tensor(-width)).item()
        assert f"{share:.0%}"[:1] in found["inputs outside"].text
        assert "hinged.calibrate" in found["inputs outside"].text


def test_advice_on_steep_curves_has_their_slope():
    layer = PiecewiseLinear(2, hinges=[-1.0, -0.5, 0.0, 0.5, 1.0])
    assert "steep" not in advice_by_sign(layer, torch.randn(100, 2))
    with torch.no_grad():
        layer.values[1, 3] = 10.0
    assert "slopes reach 20.0" in advice_by_sign(layer, torch.randn(100, 2))["steep"].text


def with_values(*rows):
    layer = PiecewiseLinear(len(rows), len(rows[0]))
    with torch.no_grad():
        layer.values.copy_(torch.tensor(rows))
    return layer


@pytest.mark.parametrize("row", [(0.0,) * 5, (2.0, 1.0, 0.0, 1.0, 2.0), (0.0, 0.1, 0.0, 0.0, 1.0)])
def test_curves_that_go_up_and_down_once_do_not_oscillate(row):
    assert "oscillating" not in advice_by_sign(
        with_values(row, (0.0, 0.0, 1.0, 2.0, 3.0)), torch.randn(9, 2)
    )


def test_curves_that_go_up_and_down_again_and_again_oscillate():
    zigzag, flat = (0.0, 2.0, 0.0, 1.0, 0.5), (1.0,) * 5
    text = advice_by_sign(with_values(zigzag, flat), torch.randn(9, 2))["oscillating"].text
    assert (
        "run up and down through their values 2.8 times on average" in text
        and "hinged.penalty" in text
    )


def test_hinges_beyond_all_inputs_are_unused():
    found = advice_by_sign(PiecewiseLinear(2, range=(-30.0, 30.0)), torch.rand(500, 2))
    assert (
        "90% of the lines (pieces and tails of curves) had no inputs" in found["unused lines"].text
    )


def test_three_hinges_are_few_and_five_are_not():
    x = torch.randn(500, 2)
    assert (
        "with 3 hinges can learn little"
        in advice_by_sign(PiecewiseLinear(2, 3), x)["few hinges"].text
    )
    assert "few hinges" not in advice_by_sign(PiecewiseLinear(2, 5), x)


@pytest.mark.parametrize(("travel", "expected"), [(0.001, True), (0.019, True), (0.021, False)])
def test_curves_that_hardly_moved_get_advice(travel, expected):
    model, x = nn.Sequential(PiecewiseLinear(3)), torch.rand(500, 3)
    start = hinged.copy_curves(model)
    with torch.no_grad():
        model[0].values += 0.75 * travel  # The scale is an eighth of the range from -3 to 3.
    found = {each.sign: each.text for each in hinged.diagnose(model, x, start=start).advice}
    assert ("short travel" in found) == expected
    if expected:
        assert f"0: curves moved by only {travel:.1%} of the scale" in found["short travel"]
    model.requires_grad_(False)
    assert "short travel" not in {
        each.sign for each in hinged.diagnose(model, x, start=start).advice
    }


def test_curves_that_did_not_move_at_all_may_have_no_optimizer():
    model, x = nn.Sequential(PiecewiseLinear(3)), torch.randn(2000, 3)
    (advice,) = hinged.diagnose(model, x, start=hinged.copy_curves(model)).advice
    assert "curves are the same as at the start: check that an optimizer" in advice.text
    assert hinged.diagnose(model, x).advice == ()


def test_values_that_are_not_finite_come_first():
    layer = PiecewiseLinear(2)
    with torch.no_grad():
        layer.values[0, 0] = float("nan")
    found = hinged.diagnose(nn.Sequential(layer), torch.randn(50, 2)).advice
    assert found[0].sign == "not finite" and "lower learning rate" in found[0].text


def test_advice_is_printed_below_the_table():
    found = hinged.diagnose(nn.Sequential(PiecewiseLinear(2, 3)), torch.randn(50, 2))
    assert str(found).endswith("0: curves with 3 hinges can learn little: try 5 to 17 hinges.")
