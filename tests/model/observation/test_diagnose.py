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


def travels(model, x, **known):
    return {n: each.travel for n, each in hinged.diagnose(model, x, **known).layers.items()}


@pytest.mark.parametrize("wide", [0.1, 4.0])
def test_travel_is_the_change_over_the_inputs_in_scales(wide):
    model = relu_layer(3)
    start = hinged.copy_curves(model)
    x = wide * torch.randn(4000, 3, dtype=torch.float64)
    with torch.no_grad():
        model[0].values[0] += 0.3
        model[0].values[2] += torch.linspace(-1, 1, 9)
    found = travels(model, x, start=start)["0"]
    scale = max(6 / 8, x.var(dim=0, correction=0).mean().sqrt().item())
    change = (model(x) - x.relu()).square().mean(dim=0).sqrt() / scale
    torch.testing.assert_close(found, change.detach(), rtol=1e-2, atol=0)
    assert found[0] == pytest.approx(0.3 / scale) and found[1] == 0
    layer = hinged.diagnose(model, x, start=start).layers["0"]
    assert layer.figures()["travel"] == pytest.approx(found.square().mean().sqrt().item())
    assert hinged.diagnose(model, x).figures()["0"]["travel"] is None


def test_other_hinges_with_the_same_curves_are_no_travel():
    model = relu_layer(2)
    start = hinged.copy_curves(model)
    x = torch.randn(500, 2)
    hinged.calibrate(model, 5 * x)
    assert travels(model, x, start=start)["0"].max() < 1e-6


def test_travel_from_one_shared_curve_to_curves_of_channels():
    start, model = hinged.copy_curves(relu_layer(1)), relu_layer(3)
    with torch.no_grad():
        model[0].values += torch.tensor([[0.0], [0.75], [1.5]])
    found = travels(model, torch.rand(50, 3), start=start)["0"]
    assert found.tolist() == pytest.approx([0, 1, 2])


@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_an_optimizer_knows_the_start(tails):
    model = nn.Sequential(nn.Linear(2, 4), PiecewiseLinear(4, tails=tails), nn.Linear(4, 1))
    start, x = hinged.copy_curves(model), torch.randn(64, 2)
    optimizer = torch.optim.AdamW(hinged.param_groups(model, 0.01))
    for _ in range(3):
        model(x).square().mean().backward()
        optimizer.step()
    x = 0.01 * x  # These inputs are far from the tails.
    expected = travels(model, x, start=start)["1"]
    assert (expected > 0).all()
    torch.testing.assert_close(travels(model, x, optimizer=optimizer)["1"], expected)


def test_layers_that_the_optimizer_does_not_train_have_no_start():
    model = nn.Sequential(PiecewiseLinear(2), PiecewiseLinear(2))
    model[1].requires_grad_(False)
    optimizer, x = torch.optim.SGD(hinged.param_groups(model, 0.01)), torch.randn(9, 2)
    with pytest.raises(errors.ArgumentError, match="not trained curves of the model in their metr"):
        hinged.diagnose(model, x, optimizer=optimizer)
    model(x).sum().backward()
    optimizer.step()
    found = travels(model, x, optimizer=optimizer)
    assert found["0"] is not None and found["1"] is None
    with pytest.raises(errors.ArgumentError, match="got both start and optimizer; give one"):
        hinged.diagnose(model, x, optimizer=optimizer, start=hinged.copy_curves(model))
    with pytest.raises(
        errors.ArgumentError, match=r"optimizer=\.\.\.\)`: got a list; pass the opt"
    ):
        hinged.diagnose(model, x, optimizer=[optimizer])


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
