import warnings

import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors


def looks(layer, handle, calls, scale=1.0):
    """Return which of some calls were looked at."""
    found = []
    for call in range(calls):
        handle.share_outside.clear()
        layer(scale * torch.randn(50, 2))
        if handle.share_outside:
            found.append(call)
    return found


def test_the_share_is_that_of_the_inputs_outside():
    rows = torch.tensor([[-1.0, 0, 1], [-2, 0, 3]])
    for hinges, low, high in ((rows, rows[:, 0], rows[:, 2]), (rows[0], -1, 1)):
        layer = PiecewiseLinear(2, hinges=hinges)
        x = torch.randn(1000, 2) * 2
        with hinged.monitor_range(layer, max_outside=1.0) as handle:
            layer(x)
        assert handle.share_outside[""] == pytest.approx(
            ((x < low) | (x >= high)).double().mean().item()
        )


def test_it_looks_at_every_so_manieth_call_and_not_after_its_end():
    layer = PiecewiseLinear(2)
    handle = hinged.monitor_range(layer, every=3)
    assert looks(layer, handle, 7) == [0, 3, 6]
    handle.remove()
    assert looks(layer, handle, 7) == [] and not layer._forward_hooks


def test_it_warns_once_until_it_was_well_in_between():
    layer = PiecewiseLinear(2)
    with hinged.monitor_range(layer, every=1), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        for scale in (1.0, 30.0, 30.0, 1.0, 30.0):
            layer(scale * torch.randn(100, 2))
    assert [each.category for each in said] == [errors.OutsideRangeWarning] * 2
    assert "hinged.calibrate(model, data)" in str(said[0].message)


def test_it_names_the_layer():
    model = nn.Sequential(nn.Identity(), PiecewiseLinear(2))
    message = r"hinged\.monitor_range\(1\)`: got 100.0% of the inputs outside the range, -3 to 3;"
    with hinged.monitor_range(model), pytest.warns(errors.OutsideRangeWarning, match=message):
        model(torch.full((3, 2), 9.0))


def test_outputs_and_gradients_are_what_they_were():
    layer, x = PiecewiseLinear(2), torch.randn(50, 2, requires_grad=True)
    expected = layer(x)
    with hinged.monitor_range(layer):
        y = layer(x)
    assert torch.equal(y, expected)
    assert layer(torch.zeros(0, 2)).shape == (0, 2)


@pytest.mark.parametrize(
    "how", [{"every": 0}, {"every": 1.5}, {"max_outside": -0.1}, {"max_outside": 2}]
)
def test_refusals(how):
    with pytest.raises(
        errors.ArgumentError, match=r"hinged\.monitor_range\((every|max_outside)=\.\.\.\)"
    ):
        hinged.monitor_range(PiecewiseLinear(2), **how)
