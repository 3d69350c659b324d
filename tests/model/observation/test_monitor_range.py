import warnings

import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors


def checked_calls(layer, handle, calls, scale=1.0):
    """Return the numbers of the calls that were checked."""
    found = []
    for call in range(calls):
        handle.share_outside.clear()
        layer(scale * torch.randn(50, 2))
        if handle.share_outside:
            found.append(call)
    return found


def test_the_share_counts_the_inputs_outside():
    rows = torch.tensor([[-1.0, 0, 1], [-2, 0, 3]])
    for hinges, low, high in ((rows, rows[:, 0], rows[:, 2]), (rows[0], -1, 1)):
        layer = PiecewiseLinear(2, hinges=hinges)
        x = torch.randn(1000, 2) * 2
        with hinged.monitor_range(layer, max_outside=1.0) as handle:
            layer(x)
        assert handle.share_outside[""] == pytest.approx(
            ((x < low) | (x >= high)).double().mean().item()
        )


def test_every_third_call_is_checked_until_the_handle_is_removed():
    layer = PiecewiseLinear(2)
    handle = hinged.monitor_range(layer, every=3)
    assert checked_calls(layer, handle, 7) == [0, 3, 6]
    handle.remove()
    assert checked_calls(layer, handle, 7) == [] and not layer._forward_hooks


def test_the_warning_repeats_only_after_the_share_has_recovered():
    layer = PiecewiseLinear(2)
    with hinged.monitor_range(layer, every=1), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for scale in (1.0, 30.0, 30.0, 1.0, 30.0):
            layer(scale * torch.randn(100, 2))
    assert [each.category for each in caught] == [errors.OutsideRangeWarning] * 2
    assert "hinged.calibrate(model, data)" in str(caught[0].message)


def test_the_warning_names_the_layer():
    model = nn.Sequential(nn.Identity(), PiecewiseLinear(2))
    message = r"hinged\.monitor_range\(1\)`: got 100.0% of the inputs outside the range, -3 to 3;"
    with hinged.monitor_range(model), pytest.warns(errors.OutsideRangeWarning, match=message):
        model(torch.full((3, 2), 9.0))


def test_outputs_do_not_change():
    layer, x = PiecewiseLinear(2), torch.randn(50, 2)
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
