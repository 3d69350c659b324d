import copy

import pytest
import torch
import torch.nn.utils.parametrize as parametrize
from torch import nn

from hinged import PiecewiseLinear, convert, errors, param_groups
from hinged.nn.parameter_groups import (
    CURVE_LR_FACTOR,
    MOST_CURVE_DECAY,
    MOST_CURVE_LR,
    SMOOTHING,
    default_curve_decay,
    replace_parameters,
)


class Doubled(nn.Module):
    def forward(self, tensor):
        return 2 * tensor

    def right_inverse(self, tensor):
        return tensor / 2


def network(**kwargs):
    return nn.Sequential(
        nn.Linear(3, 4), PiecewiseLinear(4, **kwargs), nn.BatchNorm1d(4), nn.Linear(4, 1)
    )


def names(model, group):
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return [known[id(parameter)] for parameter in group["params"]]


def test_curves_stand_apart_without_weight_decay():
    model = network()
    weights, curves = param_groups(model, 1e-3, weight_decay=0.01)
    assert names(model, curves) == ["1.values"]
    assert names(model, weights) == [
        "0.weight", "0.bias", "2.weight", "2.bias", "3.weight", "3.bias"
    ]  # fmt: skip
    assert (weights["name"], weights["lr"], weights["weight_decay"]) == ("weights", 1e-3, 0.01)
    assert (curves["name"], curves["lr"], curves["weight_decay"]) == ("curves", 4e-3, 0.0)
    assert curves["smoothing"] == SMOOTHING and curves["curve_decay"] == default_curve_decay()


def test_without_the_metric_curves_have_twice_the_rate_of_the_weights():
    _, curves = param_groups(network(), 1e-3, smoothing=None)
    assert curves["lr"] == 2e-3 and "smoothing" not in curves


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1)])
def test_the_default_rate_of_curves_has_an_upper_limit(rate):
    weights, curves = param_groups(network(), rate)
    assert weights["lr"] == rate and float(curves["lr"]) == pytest.approx(0.05)


def test_a_decay_of_curves_needs_the_metric():
    with pytest.raises(
        errors.ArgumentError, match=r"got curve_decay=0\.1 with smoothing=None; lea"
    ):
        param_groups(network(), 1e-3, smoothing=None, curve_decay=0.1)


def test_a_smoothing_of_zero_is_refused():
    with pytest.raises(errors.ArgumentError, match=r"smoothing=.*got 0; expected a number above 0"):
        param_groups(network(), 1e-3, smoothing=0)


def test_curves_take_a_learning_rate_of_their_own():
    _, curves = param_groups(network(), 1e-3, curve_lr=0.0)
    assert curves["lr"] == 0.0
    weights, curves = param_groups(network(), 1e-3, curve_lr=0.5)
    assert (weights["lr"], curves["lr"]) == (1e-3, 0.5)


def test_tail_slopes_and_other_activations_have_a_group_of_their_own():
    model = nn.Sequential(*network(tails="free"), nn.PReLU(), nn.Linear(1, 1))
    _, curves, others = param_groups(model, 1e-3, curve_types=(PiecewiseLinear, nn.PReLU))
    assert names(model, curves) == ["1.values"]
    assert names(model, others) == ["1.tail_slopes", "4.weight"]
    assert (others["name"], others["lr"], others["weight_decay"]) == ("activations", 2e-3, 0.0)
    *_, others = param_groups(model, 1e-3, activation_lr=0.3)
    assert others["lr"] == 0.3


@pytest.mark.parametrize("name", ["values", "tail_slopes"])
def test_parametrised_tensors_of_a_curve_are_curves(name):
    model = network(tails="free")
    parametrize.register_parametrization(model[1], name, Doubled())
    weights, *others = param_groups(model, 1e-3)
    listed = [each for group in others for each in names(model, group)]
    assert f"1.parametrizations.{name}.original" in listed
    assert len(listed) == 2
    assert len(weights["params"]) == 6


def test_a_shared_layer_is_listed_once():
    shared, linear = PiecewiseLinear(4), nn.Linear(4, 4)
    model = nn.Sequential(linear, shared, linear, shared, nn.Sequential(shared))
    weights, curves = param_groups(model, 1e-3)
    assert names(model, curves) == ["1.values"]
    assert names(model, weights) == ["0.weight", "0.bias"]


def test_values_tied_to_another_layer_are_listed_once():
    first, second = PiecewiseLinear(4), PiecewiseLinear(4)
    second.values = first.values
    (curves,) = param_groups(nn.Sequential(first, second), 1e-3)
    assert len(curves["params"]) == 1
    assert curves["params"][0] is first.values


def test_frozen_parameters_and_empty_groups_are_left_out():
    model = network()
    model[0].requires_grad_(False)
    weights, _ = param_groups(model, 1e-3)
    assert names(model, weights) == ["2.weight", "2.bias", "3.weight", "3.bias"]
    model[1].requires_grad_(False)
    assert [group["name"] for group in param_groups(model, 1e-3)] == ["weights"]
    model.requires_grad_(False)
    model[1].requires_grad_(True)
    assert [group["name"] for group in param_groups(model, 1e-3)] == ["curves"]


def test_one_step_of_adamw_decays_weights_and_not_curves():
    model = network()
    before = copy.deepcopy(model.state_dict())
    optimiser = torch.optim.AdamW(param_groups(model, 0.1, weight_decay=0.5))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimiser.step()
    after = model.state_dict()
    assert torch.equal(after["1.values"], before["1.values"])
    torch.testing.assert_close(after["0.weight"], before["0.weight"] * (1 - 0.1 * 0.5))


def test_one_step_of_training_moves_all_but_what_is_frozen():
    model = network()
    model[0].weight.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    groups = param_groups(model, 0.1, weight_decay=0.5, curve_lr=0.001, smoothing=None)
    optimiser = torch.optim.AdamW(groups)
    model(torch.randn(32, 3)).square().mean().backward()
    optimiser.step()
    after = model.state_dict()
    assert torch.equal(after["0.weight"], before["0.weight"])
    # Adam's first step is the learning rate, wherever there is a gradient.
    moved = (after["1.values"] - before["1.values"])[model[1].values.grad != 0].abs()
    torch.testing.assert_close(moved, torch.full_like(moved, 0.001), rtol=1e-2, atol=0)
    assert torch.equal(after["1.hinges"], before["1.hinges"])
    assert not torch.equal(after["3.weight"], before["3.weight"])


def test_a_model_with_everything_frozen_is_refused():
    with pytest.raises(errors.ArgumentError, match="got a model with every parameter frozen; set"):
        param_groups(network().requires_grad_(False), 1e-3)


@pytest.mark.parametrize("name", ["lr", "weight_decay", "curve_lr"])
@pytest.mark.parametrize("rate", [-1.0, float("nan"), float("inf")])
def test_rates_below_zero_are_refused(name, rate):
    message = rf"param_groups\({name}=\.\.\.\)`: got {rate}; expected a finite number of 0 or more"
    with pytest.raises(errors.ArgumentError, match=message):
        param_groups(network(), **{"lr": 1e-3, name: rate})


@pytest.mark.parametrize("several", [False, True])
def test_replaced_parameters_keep_their_place_and_lose_their_state(several):
    model = network()
    groups = param_groups(model, lr=0.1, curve_lr=0.5, smoothing=None)
    optimiser = torch.optim.AdamW(groups)
    model(torch.randn(8, 3)).sum().backward()
    optimiser.step()
    old, new = model[1].values, nn.Parameter(torch.zeros(4, 5))
    before = [[*group["params"]] for group in optimiser.param_groups]
    replace_parameters([optimiser] if several else optimiser, {old: new})
    for group, held in zip(optimiser.param_groups, before, strict=True):
        expected = [new if each is old else each for each in held]
        assert [id(each) for each in group["params"]] == [id(each) for each in expected]
    assert old not in optimiser.state and len(optimiser.state) == 6
    new.grad = torch.ones(4, 5)
    optimiser.step()
    torch.testing.assert_close(new.detach(), torch.full((4, 5), -0.5))


OPTIMISERS = {
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=0.3, betas=(0.8, 0.9), eps=1e-6),
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.3, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_convert_and_param_groups_give_curves_the_same_settings(kind):
    x, curves = torch.randn(8, 3), {}
    before = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    after = convert(copy.deepcopy(before), x)
    optimiser = OPTIMISERS[kind]([{"params": before.parameters(), "weight_decay": 0.01}])
    convert(before, x, optimizers=optimiser)
    curves["convert"] = optimiser.param_groups[-1]
    curves["param_groups"] = OPTIMISERS[kind](param_groups(after, 0.3, 0.01)).param_groups[-1]
    converted, grouped = ({k: v for k, v in g.items() if k != "params"} for g in curves.values())
    assert converted == grouped
    assert converted["lr"] == pytest.approx(MOST_CURVE_LR) and converted["weight_decay"] == 0
    assert curves["convert"]["params"] == [before[1].values]


def test_convert_uses_the_present_settings_of_the_group_of_weights():
    x = torch.randn(8, 3)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    head = {"params": model[2].parameters(), "lr": 0.5}
    weights = {"params": model[0].parameters(), "lr": 0.1, "name": "weights", "momentum": 0.5}
    optimiser = torch.optim.SGD([head, weights], lr=0.3)
    torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=[0.5, 0.01], total_steps=10)
    convert(model, x, optimizers=optimiser)
    _, weights, curves = optimiser.param_groups
    assert curves["momentum"] == weights["momentum"]
    for rate in ("lr", "initial_lr", "max_lr", "min_lr"):
        assert curves[rate] == CURVE_LR_FACTOR * weights[rate]


def test_convert_removes_replaced_parameters_from_the_same_list():
    model = nn.Sequential(nn.Linear(3, 4), nn.PReLU(), nn.Linear(4, 1))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    parameters = optimiser.param_groups[0]["params"]
    convert(model, torch.randn(8, 3), optimizers=optimiser)
    assert optimiser.param_groups[0]["params"] is parameters and len(parameters) == 4


def test_later_curves_have_the_rate_of_earlier_ones_if_all_weights_are_frozen():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU()), nn.Linear(4, 4), nn.ReLU())
    model = convert(model, torch.randn(8, 3), where=lambda site: site.name == "1.0")
    for layer in (model[0], model[2]):
        layer.requires_grad_(False)
    optimizer = torch.optim.AdamW(param_groups(model, lr=0.01))
    convert(model, torch.randn(8, 3), optimizers=optimizer)
    assert [(g["name"], g["lr"]) for g in optimizer.param_groups] == [("curves", 0.04)] * 2


@pytest.mark.parametrize("settings", [{"smoothing": None}, {"curve_lr": 0.3, "curve_decay": 2.0}])
def test_later_curves_have_the_settings_of_earlier_ones(settings):
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU()), nn.Linear(4, 4), nn.ReLU())
    model = convert(model, torch.randn(8, 3), where=lambda site: site.name == "1.0")
    optimizer = torch.optim.AdamW(param_groups(model, lr=0.01, **settings))
    convert(model, torch.randn(8, 3), optimizers=optimizer)
    _, first, second = ({**group, "params": ()} for group in optimizer.param_groups)
    assert first == second and first["name"] == "curves"


def test_later_slopes_of_free_tails_are_not_trained_in_the_metric():
    x = torch.randn(8, 3)
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU()), nn.Linear(4, 4), nn.ReLU())
    model = convert(model, x, where=lambda site: site.name == "1.0")
    for layer in (model[0], model[2]):
        layer.requires_grad_(False)
    optimizer = torch.optim.AdamW(param_groups(model, lr=0.01))
    convert(model, x, tails="free", optimizers=optimizer)
    assert [(g["name"], g["lr"]) for g in optimizer.param_groups][2] == ("activations", 0.02)
    before = model[3].tail_slopes.detach().clone()
    model(100 * x).sum().backward()
    optimizer.step()
    assert not torch.equal(model[3].tail_slopes, before)


@pytest.mark.parametrize("rate", [None, "0.1", nn.ReLU(), torch.ones(2)], ids=str)
def test_rates_that_are_no_numbers_are_refused(rate):
    for name in ("lr", "weight_decay"):
        given = {"lr": 0.1, name: rate}
        with pytest.raises(
            errors.ArgumentError, match=rf"groups\({name}=.*expected a finite number of 0"
        ):
            param_groups(nn.Linear(2, 2), **given)


@pytest.mark.parametrize("name", ["samples", "steps"])
@pytest.mark.parametrize("count", [0, -1, 0.5, True, "all"])
def test_counts_are_whole_numbers_above_zero(name, count):
    message = rf"groups\({name}=\.\.\.\)`: got {count!r}; expected .*, a whole number above 0"
    with pytest.raises(errors.ArgumentError, match=message):
        param_groups(network(), 1e-3, **{name: count})


def test_the_default_pull_falls_with_the_number_of_samples():
    decays = [param_groups(network(), 1e-3, samples=n)[1]["curve_decay"] for n in (100, 60_000)]
    assert decays == [default_curve_decay(100), default_curve_decay(60_000)]
    assert decays[0] == MOST_CURVE_DECAY and 0 < decays[1] < 0.1
