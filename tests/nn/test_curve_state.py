import copy
import io

import numpy as np
import pytest
import torch

import hinged
from hinged import PiecewiseLinear, param_groups
from hinged.errors import ArgumentError
from hinged.nn import metric_steps
from hinged.nn.curve_state import MEASURED_EVERY
from tests.curve.metric_oracle import moments_of
from tests.nn.metric_training import (
    adamw,
    assert_equal_training,
    batch,
    curves,
    loss_of,
    network,
    train,
)
from tests.oracles import interpolate

ODD = MEASURED_EVERY + 3


def save(model, optimizer):
    buffer = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict()), buffer)
    buffer.seek(0)
    return buffer


def load(buffer, model, optimizer):
    states = torch.load(buffer)
    model.load_state_dict(states[0])
    optimizer.load_state_dict(states[1])
    return model, optimizer


@pytest.mark.parametrize("saved_at", [1, MEASURED_EVERY - 1, MEASURED_EVERY, ODD])
@pytest.mark.parametrize("kwargs", [{}, {"fused": True}, {"maximize": True}], ids=str)
def test_a_resumed_training_is_the_same_bit_for_bit(saved_at, kwargs):
    model = network()
    optimizer = adamw(model, **kwargs)
    train(model, optimizer, saved_at)
    buffer = save(model, optimizer)
    train(model, optimizer, 3 * MEASURED_EVERY, saved_at)
    other = network()
    other, resumed = load(buffer, other, adamw(other, **kwargs))
    train(other, resumed, 3 * MEASURED_EVERY, saved_at)
    assert_equal_training(model, other, (optimizer, resumed))


def test_a_resumed_training_with_accumulated_gradients_is_the_same():
    def accumulate(model, optimizer, steps, first=0):
        for step in range(first, steps):
            optimizer.zero_grad()
            for x in batch(step).chunk(2):
                loss_of(model, x).backward()
            optimizer.step()

    model = network()
    optimizer = adamw(model)
    accumulate(model, optimizer, ODD)
    buffer = save(model, optimizer)
    accumulate(model, optimizer, 3 * MEASURED_EVERY, ODD)
    other = network()
    other, resumed = load(buffer, other, adamw(other))
    accumulate(other, resumed, 3 * MEASURED_EVERY, ODD)
    assert_equal_training(model, other, (optimizer, resumed))


def test_a_training_that_goes_back_to_a_saved_step_is_the_same():
    model = network()
    optimizer = adamw(model)
    train(model, optimizer, MEASURED_EVERY)
    buffer = save(model, optimizer)
    train(model, optimizer, ODD, MEASURED_EVERY)
    expected = copy.deepcopy(model)
    load(buffer, model, optimizer)
    train(model, optimizer, ODD, MEASURED_EVERY)
    assert_equal_training(model, expected)


def test_a_second_optimizer_begins_anew():
    model, fresh = network(), network()
    train(model, adamw(model), 3)
    fresh.load_state_dict(model.state_dict())
    train(model, adamw(model), ODD)
    train(fresh, adamw(fresh), ODD)
    assert_equal_training(model, fresh)


def test_a_state_without_the_largest_size_is_continued():
    model = network()
    optimizer = torch.optim.AdamW(param_groups(model, 0.01, curve_decay=1.0))
    train(model, optimizer, 5)
    saved = optimizer.state_dict()
    for state in saved["state"].values():
        state.pop("largest", None)
    optimizer.load_state_dict(saved)
    train(model, optimizer, 6, 5)
    state = optimizer.state[model[1].values]
    torch.testing.assert_close(state["largest"], state["size"] / (1 - 0.99**6))


OF_FIVE_CURVES = (
    r"got a state with 'start' of shape \(5, 9\) for a layer with values of shape \(3, 9"
)


def test_a_state_of_another_number_of_curves_is_refused():
    def layer_and_optimizer(channels):
        layer = PiecewiseLinear(channels)
        return layer, torch.optim.SGD(param_groups(layer, 0.01))

    def step(layer, optimizer):
        layer(torch.randn(4, layer.channels)).sum().backward()
        optimizer.step()

    (large, one), (small, other) = layer_and_optimizer(5), layer_and_optimizer(3)
    step(large, one)
    other.load_state_dict(one.state_dict())
    with pytest.raises(ArgumentError, match=OF_FIVE_CURVES):
        step(small, other)


@pytest.mark.parametrize("name", ["start", "direction", "size", "largest", "moments", "step"])
@pytest.mark.parametrize("damaged", [torch.ones(2, 2), torch.ones(0), None], ids=str)
def test_a_damaged_state_is_refused(name, damaged):
    model = network()
    optimizer = torch.optim.SGD(param_groups(model, 0.01))
    train(model, optimizer, 1)
    saved = optimizer.state_dict()
    next(state for state in saved["state"].values() if "moments" in state)[name] = damaged
    optimizer.load_state_dict(saved)
    kept = model[1].values.detach().clone()
    with pytest.raises(ArgumentError, match=rf"`Optimizer.step`: got a state with '{name}' of"):
        train(model, optimizer, 1)
    assert torch.equal(model[1].values, kept)


def test_a_parameter_that_lost_curves_is_refused():
    layer = PiecewiseLinear(5)
    optimizer = torch.optim.SGD(param_groups(layer, 0.01))
    layer(torch.randn(4, 5)).sum().backward()
    optimizer.step()
    layer.values.grad = None
    layer.values.data = layer.values.data[:3].clone()
    layer.values.grad = torch.ones_like(layer.values)
    with pytest.raises(ArgumentError, match=OF_FIVE_CURVES):
        optimizer.step()


def test_copies_of_model_and_optimizer_train_alike():
    model = network()
    optimizer = adamw(model)
    train(model, optimizer, ODD)
    other, copied = copy.deepcopy((model, optimizer))
    train(other, copied, 3 * MEASURED_EVERY, ODD)
    assert not torch.equal(other[1].values, model[1].values)
    train(model, optimizer, 3 * MEASURED_EVERY, ODD)
    assert_equal_training(model, other, (optimizer, copied))


def test_a_loaded_state_of_a_bfloat16_model_is_wide_again():
    model = network(torch.bfloat16)
    optimizer = adamw(model)
    train(model, optimizer, 3)
    load(save(model, optimizer), model, optimizer)
    train(model, optimizer, 5, 3)
    state = optimizer.state[model[1].values]
    for name in ("start", "direction", "size", "largest", "moments"):
        assert state[name].dtype is torch.float32


def test_a_state_dict_of_the_model_has_no_new_entries():
    model = network()
    before = list(model.state_dict()), [name for name, _ in model.named_buffers()]
    train(model, adamw(model), 2)
    assert (list(model.state_dict()), [name for name, _ in model.named_buffers()]) == before


def test_an_average_of_models_is_that_of_their_values():
    model = network()
    optimizer = adamw(model)
    average = torch.optim.swa_utils.AveragedModel(model)
    seen = []
    for step in range(4):
        train(model, optimizer, step + 1, step)
        average.update_parameters(model)
        seen.append(model[1].values.detach().clone())
    torch.testing.assert_close(average.module[1].values.detach(), torch.stack(seen).mean(0))
    plain = network()
    train(plain, adamw(plain), 4)
    assert_equal_training(model, plain)


def calibrated(hinges=None, **kwargs):
    model = network(**kwargs)
    optimizer = torch.optim.AdamW(param_groups(model, 0.01, curve_decay=1.0))
    train(model, optimizer, ODD)
    start = optimizer.state[model[1].values]["start"].clone()
    old = model[1].hinges.clone()
    x = 20 * batch(0)
    hinged.calibrate(model, x, hinges=hinges, optimizers=optimizer)
    return model, optimizer, (old, start)


def test_moved_hinges_do_not_renew_the_pull():
    model, optimizer, _ = calibrated()
    state = optimizer.state[model[1].values]
    state["largest"].fill_(1e6)
    train(model, optimizer, ODD + 1, ODD)
    assert state["step"] == 1 and (state["largest"] == 1e6).all()


@pytest.mark.parametrize("tails", ["linear", "constant"])
def test_moved_hinges_begin_anew_from_the_old_start(tails):
    model, optimizer, (old, start) = calibrated(tails=tails)
    values = model[1].values.detach().clone()
    train(model, optimizer, ODD + 1, ODD)
    state = optimizer.state[model[1].values]
    assert state["step"] == 1 and torch.equal(state["hinges"], model[1].hinges)
    assert not torch.equal(model[1].hinges, old) and not torch.equal(model[1].values, values)
    for row, before in zip(state["start"], start, strict=True):
        expected = interpolate(model[1].hinges, old, before, tails)
        np.testing.assert_allclose(row, expected, rtol=1e-4, atol=1e-4)


def test_the_first_step_after_a_calibration_uses_inputs_at_the_new_hinges():
    model, optimizer, _ = calibrated()
    x = batch(ODD)
    rows = model[0](x).T.detach().double().numpy()
    train(model, optimizer, ODD + 1, ODD)
    hinges = model[1].hinges.double().numpy()
    for row, found in zip(rows, optimizer.state[model[1].values]["moments"], strict=True):
        np.testing.assert_allclose(found, moments_of(row, hinges), rtol=1e-4, atol=1e-5)


def test_another_number_of_hinges_is_trained():
    model, optimizer, _ = calibrated(hinges=17)
    before = model[1].values.detach().clone()
    train(model, optimizer, ODD + MEASURED_EVERY, ODD)
    assert model[1].values.shape == (6, 17) and not torch.equal(model[1].values, before)
    assert optimizer.state[model[1].values]["moments"].shape == (6, 35)


def test_hinges_may_move_between_accumulated_passes():
    model = PiecewiseLinear(3)
    optimizer = torch.optim.SGD(param_groups(model, 0.1))
    x = torch.randn(20, 3)
    model(x).sum().backward()
    hinged.calibrate(model, 5 * x, hinges=5, optimizers=optimizer)
    model(x).sum().backward()
    optimizer.step()
    expected = moments_of(x[:, 0].double().numpy(), model.hinges.double().numpy())
    np.testing.assert_allclose(
        optimizer.state[model.values]["moments"][0], expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("groups_first", [True, False])
def test_frozen_curves_are_measured_after_their_calibration(groups_first):
    model = network()
    optimizer = adamw(model) if groups_first else None
    calibration = hinged.calibrate_after(model, 4)
    optimizer = optimizer or adamw(model)
    start = [values.clone() for values in curves(model)]
    for step in range(4):
        train(model, optimizer, step + 1, step)
        assert all(map(torch.equal, curves(model), start))
        calibration.step()
    assert model[1].values not in optimizer.state
    x = batch(4)
    rows = model[0](x).T.detach().double().numpy()
    train(model, optimizer, 5, 4)
    found = optimizer.state[model[1].values]["moments"]
    expected = moments_of(rows[0], model[1].hinges.double().numpy())
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups_first", [True, False])
def test_gradients_set_by_hand_do_not_move_frozen_curves(groups_first):
    """DistributedDataParallel writes gradients after all hooks of tensors."""
    model = network()
    optimizer = adamw(model) if groups_first else None
    calibration = hinged.calibrate_after(model, 4)
    optimizer = optimizer or adamw(model)
    before = model[1].values.clone()
    loss_of(model, batch(0)).backward()
    model[1].values.grad = torch.ones_like(model[1].values)
    optimizer.step()
    assert torch.equal(model[1].values, before) and not calibration.done


def test_only_curves_may_be_trained():
    model = network()
    hinged.train_only(model, head=False)
    before = copy.deepcopy(model.state_dict())
    train(model, adamw(model), 3)
    changed = [n for n, new in model.state_dict().items() if not torch.equal(new, before[n])]
    assert changed == ["1.values", "3.values"]


def test_converted_curves_are_trained_in_the_metric():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 6), torch.nn.ReLU(), torch.nn.Linear(6, 1))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    hinged.convert(model, batch(0), optimizers=optimizer)
    train(model, optimizer, 2)
    assert optimizer.state[model[1].values].keys() >= {
        "start",
        "moments",
        "direction",
        "size",
        "largest",
    }


def test_tied_values_are_measured_on_the_inputs_of_all_their_layers():
    layers = [PiecewiseLinear(2) for _ in range(3)]
    for layer in layers[1:]:
        layer.values = layers[0].values
    model = torch.nn.ModuleList(layers)
    optimizer = torch.optim.SGD(param_groups(model, 0.1))
    xs = [shift + torch.randn(30, 2) for shift in (-2, 0, 2)]
    sum(layer(x).sum() for layer, x in zip(layers, xs, strict=True)).backward()
    optimizer.step()
    rows = torch.cat(xs).T.double().numpy()
    expected = moments_of(rows[0], layers[0].hinges.double().numpy())
    found = optimizer.state[layers[0].values]["moments"]
    np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
    for layer in layers:
        assert not layer._observer.needed


def test_a_state_serves_all_steps_until_it_is_replaced():
    model = network()
    optimizer = adamw(model)
    train(model, optimizer, 2)
    known = dict(metric_steps._trainings[optimizer].states)
    train(model, optimizer, 4, first=2)
    assert metric_steps._trainings[optimizer].states == known
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    train(model, optimizer, 5, first=4)
    assert not set(metric_steps._trainings[optimizer].states.values()) & set(known.values())
