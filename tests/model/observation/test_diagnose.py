import json

import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors
from hinged.curve import distance
from tests.model.networks import Convolutional, assert_unchanged, snapshot


def relu_layer(channels=4):
    return nn.Sequential(PiecewiseLinear(channels))


def test_dead_units_are_those_that_never_fire_over_all_batches():
    x = torch.randn(60, 4) * torch.tensor([1.0, 1.0, 0.0, 1.0])
    x[:, 1] = -x[:, 1].abs()
    x[:, 3] = -x[:, 3].abs()
    x[-1, 3] = 0.5
    found = hinged.diagnose(relu_layer(), list(x.split(20))).layers["0"]
    assert found.dead.tolist() == [False, True, True, False]
    never = (x.relu() == 0).all(dim=0)
    assert torch.equal(found.dead, never)


def test_a_unit_with_another_constant_output_is_dead_too():
    model = relu_layer(2)
    with torch.no_grad():
        model[0].values[1] = 0.75
    assert hinged.diagnose(model, torch.randn(50, 2)).layers["0"].dead.tolist() == [False, True]


def test_dormant_units_have_small_outputs_compared_to_the_layer():
    x = torch.randn(500, 4).abs() * torch.tensor([1.0, 1.0, 0.01, 0.2])
    layer = hinged.diagnose(relu_layer(), x).layers["0"]
    share = x.mean(dim=0) / x.mean()
    for threshold in (0.001, 0.025, 0.5):
        assert torch.equal(layer.dormant(threshold), share <= threshold)
    assert not layer.dead.any()


def test_lines_and_share_outside_are_counted():
    x = torch.tensor([[-10.0], [-0.1], [0.1], [0.2], [10.0]])
    layer = hinged.diagnose(relu_layer(1), x).layers["0"]
    assert layer.occupancy.tolist() == [[0.2, 0, 0, 0, 0.2, 0.4, 0, 0, 0, 0.2]]
    assert layer.share_outside.tolist() == pytest.approx([0.4])
    assert layer.figures()["lines_hit"] == pytest.approx(0.4)


def test_drift_is_the_distance_from_the_start():
    model = Convolutional()
    start = hinged.copy_curves(model)
    with torch.no_grad():
        model.first.values[2, 4] += 0.5
    found = hinged.diagnose(model, torch.randn(5, 3, 8, 8), start=start)
    expected = distance(model.first.curve(), start["first"])
    torch.testing.assert_close(found.layers["first"].drift, expected.detach())
    assert found.figures()["first"]["drift"] == pytest.approx(0.5)
    assert found.figures()["second"]["drift"] == 0
    assert hinged.diagnose(model, torch.randn(5, 3, 8, 8)).layers["first"].drift is None


def test_lipschitz_and_nearest_native():
    found = hinged.diagnose(Convolutional(), torch.randn(5, 3, 8, 8))
    assert found.layers["first"].nearest_native == ("relu", 0.0)
    assert found.layers["first"].lipschitz.tolist() == [1] * 5
    assert found.layers["second"].nearest_native[1] > 0.01


def test_figures_are_json_and_the_table_has_a_line_for_each_layer():
    found = hinged.diagnose(Convolutional(), torch.randn(5, 3, 8, 8))
    figures = json.loads(json.dumps(found.figures()))
    assert list(figures) == ["first", "second"]
    lines = str(found).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["layer", "first", "second"]
    assert lines[-1] == "Not called on the data: spare."
    assert "relu +- 0" in lines[2]


def test_the_model_does_not_change():
    model = Convolutional()
    x = torch.randn(5, 3, 8, 8)
    before = snapshot(model)
    hinged.diagnose(model, x)
    assert_unchanged(model, before)


def test_curves_are_copies():
    model = relu_layer()
    held = hinged.copy_curves(model)["0"]
    with torch.no_grad():
        model[0].values.add_(1)
    assert (model[0].values - held.values == 1).all()


def test_refusals():
    with pytest.raises(errors.ArgumentError, match="curves of other layers than the model"):
        hinged.diagnose(
            Convolutional(), torch.zeros(1, 3, 8, 8), start=hinged.copy_curves(relu_layer())
        )
    with pytest.raises(errors.ArgumentError, match="a ReLU without curves"):
        hinged.diagnose(nn.ReLU(), torch.zeros(1))


def test_a_model_in_place_of_the_start_is_refused():
    model = nn.Sequential(nn.Linear(2, 3), hinged.PiecewiseLinear(3))
    message = r"start=\.\.\.\)`: got a Sequential; take start from hinged\.copy_curves\(model\)"
    with pytest.raises(errors.ArgumentError, match=message):
        hinged.diagnose(model, torch.zeros(4, 2), start=model)
    with pytest.raises(errors.ArgumentError, match=message):
        hinged.penalty(model, "drift", start=model)
