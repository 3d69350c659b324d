import copy
import io
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.nn.utils.parametrize as parametrize
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors, param_groups
from hinged.nn.curve_state import MEASURED_EVERY
from tests.curve.metric_oracle import Training, moments_of
from tests.nn.metric_training import (
    adamw,
    assert_equal_training,
    batch,
    curves,
    loss_of,
    network,
    train,
)

OPTIMIZERS = {
    "AdamW": torch.optim.AdamW,
    "AdamW, foreach": lambda groups: torch.optim.AdamW(groups, foreach=True),
    "AdamW, fused": lambda groups: torch.optim.AdamW(groups, fused=True),
    "SGD": lambda groups: torch.optim.SGD(groups, momentum=0.9, nesterov=True),
    "SGD, fused": lambda groups: torch.optim.SGD(groups, fused=True),
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "RMSprop": torch.optim.RMSprop,
    "Adagrad": torch.optim.Adagrad,
    "Adafactor": torch.optim.Adafactor,
    "Rprop": torch.optim.Rprop,
    "ASGD": torch.optim.ASGD,
    "Adadelta": torch.optim.Adadelta,
    "Adamax": torch.optim.Adamax,
}


def moments_of_first_layer(model, x):
    with torch.no_grad():
        rows = model[0](x).T.double().numpy()
    return np.array([moments_of(row, model[1].hinges.double().numpy()) for row in rows])


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_any_optimizer_takes_the_steps_of_the_metric(kind):
    """The steps of the first layer are those of a loop in NumPy."""
    model = network()
    optimizer = OPTIMIZERS[kind](param_groups(model, 0.01))
    weights, group = optimizer.param_groups
    hinges = model[1].hinges.expand(6, -1).double().numpy()
    oracle = Training(model[1].values.detach().double().numpy(), hinges)
    for step in range(MEASURED_EVERY + 2):
        x = batch(step)
        if step == 0:
            moments = moments_of_first_layer(model, x)
        elif step % MEASURED_EVERY == 0:
            moments = 0.8 * moments + 0.2 * moments_of_first_layer(model, x)
        optimizer.zero_grad()
        loss_of(model, x).backward()
        grad = model[1].values.grad.double().numpy()
        before = model[0].weight.clone()
        optimizer.step()
        oracle.step(grad, moments, group["lr"], group["smoothing"], group["curve_decay"])
        assert not torch.equal(model[0].weight, before)
    np.testing.assert_allclose(model[1].values.detach(), oracle.values, rtol=1e-4, atol=1e-5)
    assert weights["lr"] == 0.01


def test_curves_take_the_same_first_step_with_any_optimizer():
    results = []
    for make in (torch.optim.AdamW, torch.optim.RMSprop, torch.optim.SGD):
        model = network()
        train(model, make(param_groups(model, 0.01)), 1)
        results.append(curves(model))
    for others in results[1:]:
        assert all(map(torch.equal, results[0], others))


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has no Muon")
def test_muon_may_train_the_hidden_weights():
    model = network()
    weights, curve_group = param_groups(model, 0.01)
    muon = torch.optim.Muon([model[2].weight], lr=0.01)
    weights["params"] = [p for p in weights["params"] if p is not model[2].weight]
    optimizer = torch.optim.AdamW([weights, curve_group])
    before = copy.deepcopy(model.state_dict())
    for step in range(3):
        model.zero_grad()
        loss_of(model, batch(step)).backward()
        muon.step()
        optimizer.step()
    after = model.state_dict()
    changed = [name for name in after if not torch.equal(after[name], before[name])]
    assert len(changed) == len(list(model.parameters()))
    other = network()
    groups = param_groups(other, 0.01)[1:]
    train(other, torch.optim.Muon(groups), 1)  # Muon skips curves too.
    assert not torch.equal(other[1].values, before["1.values"])


def test_maximize_goes_uphill():
    steps = []
    for maximize in (False, True):
        model = network()
        before = [values.clone() for values in curves(model)]
        train(model, adamw(model, maximize=maximize), 1)
        steps.append([new - old for new, old in zip(curves(model), before, strict=True)])
    for down, up in zip(*steps, strict=True):
        torch.testing.assert_close(down, -up)


@pytest.mark.parametrize("set_to_none", [True, False])
def test_gradients_are_visible_after_the_step(set_to_none):
    model = network()
    optimizer = adamw(model)
    for step in range(3):
        optimizer.zero_grad(set_to_none=set_to_none)
        loss_of(model, batch(step)).backward()
        before = [values.grad for values in curves(model)]
        optimizer.step()
        assert all(map(lambda a, b: a.grad is b, curves(model), before))


def test_accumulated_gradients_are_those_of_the_whole_batch():
    whole, parts = network(), network()
    optimizers = adamw(whole), adamw(parts)
    for step in range(25):
        for model, optimizer, count in zip((whole, parts), optimizers, (1, 4), strict=True):
            optimizer.zero_grad()
            for x in batch(step).chunk(count):
                (loss_of(model, x) / count).backward()
            optimizer.step()
    for one, other in zip(curves(whole), curves(parts), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        moments = [o.state[v]["moments"] for o, v in zip(optimizers, (one, other), strict=True)]
        torch.testing.assert_close(*moments, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("by_keyword", [True, False])
def test_closures_give_the_same_steps(by_keyword):
    plain, closed = network(), network()
    train(plain, adamw(plain), 12)
    optimizer = adamw(closed)
    for step in range(12):

        def closure(step=step):
            optimizer.zero_grad()
            loss = loss_of(closed, batch(step))
            loss.backward()
            return loss

        loss = optimizer.step(closure=closure) if by_keyword else optimizer.step(closure)
        assert loss.item() > 0 and closed[1].values.grad is not None
    assert_equal_training(plain, closed)


def test_lbfgs_is_refused():
    model = network()
    (group,) = param_groups(model[1], 0.01)
    optimizer = torch.optim.LBFGS([group])
    before = model[1].values.clone()
    with pytest.raises(errors.ArgumentError, match=r"an LBFGS optimizer.*smoothing=None, so that"):
        optimizer.step(lambda: loss_of(model, batch(0)))
    assert torch.equal(model[1].values, before)


class MovesFirst(torch.optim.Optimizer):
    """Computes gradients at shifted parameters, and moves those with gradients back (SAM)."""

    def __init__(self, groups):
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure):
        parameters = [p for group in self.param_groups for p in group["params"]]
        for parameter in parameters:
            parameter.add_(1.0)
        closure()
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.sub_(1.0)


def test_optimizers_that_move_curves_before_the_closure_are_refused():
    model = network()
    optimizer = MovesFirst(param_groups(model, 0.01))
    message = "moves curves in a step before it computes .* call its step without a closure"
    with pytest.raises(errors.ArgumentError, match=message):
        optimizer.step(lambda: loss_of(model, batch(0)).backward())


def test_a_schedule_and_a_tensor_set_the_rate():
    models = [network() for _ in range(2)]
    for model, as_tensor in zip(models, (False, True), strict=True):
        groups = param_groups(model, 0.01)
        rate = groups[1]["lr"]
        for group in groups:
            group["lr"] = torch.tensor(group["lr"]) if as_tensor else group["lr"]
        optimizer = torch.optim.AdamW(groups)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
        start = model[1].values.clone()
        for step in range(3):
            train(model, optimizer, step + 1, step)
            schedule.step()
        assert float(optimizer.param_groups[1]["lr"]) == pytest.approx(rate / 8, rel=1e-6)
        assert not torch.equal(model[1].values, start)
    for one, other in zip(curves(models[0]), curves(models[1]), strict=True):
        torch.testing.assert_close(one, other)


def test_frozen_curves_and_a_rate_of_zero_do_not_move():
    model = network()
    model[3].requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    optimizer = torch.optim.AdamW(param_groups(model, 0.01, curve_lr=0.0))
    train(model, optimizer, 3)
    assert torch.equal(model[1].values, before["1.values"])
    assert torch.equal(model[3].values, before["3.values"])


def test_dead_channels_neither_move_nor_become_nan():
    model = network()
    with torch.no_grad():
        model[2].weight[:, 2] = 0
        model[2].weight.requires_grad_(False)
    before = model[1].values.clone()
    train(model, adamw(model), 12)
    assert torch.equal(model[1].values[2], before[2])
    assert all(values.isfinite().all() for values in curves(model))
    assert not torch.equal(model[1].values, before)


def test_inputs_that_are_not_finite_do_not_spoil_the_moments():
    model, x = PiecewiseLinear(2), torch.randn(64, 2)
    optimizer = torch.optim.SGD(param_groups(model, 0.1))
    for bad in (float("nan"), float("inf"), 3e38):
        optimizer.zero_grad()
        model(torch.full((1, 2), bad))
        model(x[:0])
        model(x).square().sum().backward()
        optimizer.step()
        assert model.values.isfinite().all()
        assert optimizer.state[model.values]["moments"].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_are_trained(dtype):
    model, plain = network(dtype), network()
    before = [values.clone() for values in curves(model)]
    train(model, adamw(model), 12)
    train(plain, adamw(plain), 12)
    for values, old, wide in zip(curves(model), before, curves(plain), strict=True):
        assert values.dtype is dtype and not torch.equal(values, old)
        tolerance = 0.05 if dtype is torch.bfloat16 else 1e-3
        torch.testing.assert_close(values.float(), wide, rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("ignore:optimizer contains a parameter group with duplicate")
def test_a_curve_that_is_listed_twice_takes_one_step():
    model, twice = network(), network()
    groups = param_groups(twice, 0.01)
    for group in groups:
        if group.get("smoothing") is not None:
            group["params"] *= 2
    train(twice, torch.optim.AdamW(groups), 3)
    train(model, adamw(model), 3)
    assert_equal_training(model, twice)


class KeepsItsHooks(torch.optim.AdamW):
    """An optimizer whose copies have copies of its hooks."""

    def __getstate__(self):
        return self.__dict__


def test_an_optimizer_that_copies_its_hooks_takes_each_step_once():
    model = network()
    optimizer = KeepsItsHooks(param_groups(model, 0.01))
    train(model, optimizer, 3)
    other, copied = copy.deepcopy((model, optimizer))
    train(model, optimizer, 15, first=3)
    train(other, copied, 15, first=3)
    assert_equal_training(model, other)
    assert all(each.grad is not None for each in curves(other))


def test_without_smoothing_the_optimizer_trains_curves_itself():
    model, by_hand = network(), network()
    train(model, torch.optim.AdamW(param_groups(model, 0.01, smoothing=None)), 12)
    values = {id(each) for each in curves(by_hand)}
    weights = [p for p in by_hand.parameters() if id(p) not in values]
    groups = [{"params": weights}, {"params": curves(by_hand), "lr": 0.02}]
    train(by_hand, torch.optim.AdamW(groups, lr=0.01, weight_decay=0.0), 12)
    assert_equal_training(model, by_hand)


class Doubled(nn.Module):
    def forward(self, tensor):
        return 2 * tensor

    def right_inverse(self, tensor):
        return tensor / 2


def test_parametrised_values_are_trained_by_the_optimizer():
    model = network()
    parametrize.register_parametrization(model[1], "values", Doubled())
    optimizer = adamw(model)
    assert [group["name"] for group in optimizer.param_groups] == [
        "weights", "curves", "activations"
    ]  # fmt: skip
    before = model[1].values.clone()
    train(model, optimizer, 3)
    original = model[1].parametrizations["values"].original
    assert "exp_avg" in optimizer.state[original] and not torch.equal(model[1].values, before)


def test_tail_slopes_are_trained_by_the_optimizer():
    model = network(tails="free", range=(-0.5, 0.5))
    optimizer = adamw(model)
    before = model[1].tail_slopes.clone()
    train(model, optimizer, 3)
    assert "exp_avg" in optimizer.state[model[1].tail_slopes]
    assert not torch.equal(model[1].tail_slopes, before)
    assert "moments" in optimizer.state[model[1].values]


KINDS = {
    "constant tails": {"tails": "constant"},
    "free hinges": {"hinges": [-2.0, -0.5, 0.0, 1.0, 1.5]},
    "hinges by channel": {"hinges": torch.arange(1.0, 7)[:, None] * torch.arange(-2.0, 3)},
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_curves_are_trained(kind):
    model = network(**KINDS[kind])
    with torch.no_grad():
        first = sum(loss_of(model, batch(step)) for step in range(20))
    train(model, adamw(model), 60)
    with torch.no_grad():
        assert sum(loss_of(model, batch(step)) for step in range(20)) < 0.9 * first


def test_constraints_hold_after_each_step():
    model = network()
    hinged.constrain(model, monotone=True, lipschitz=1.0)
    optimizer = adamw(model)
    for step in range(5):
        train(model, optimizer, step + 1, step)
        for layer in (model[1], model[3]):
            slopes = layer.values.diff() / layer.hinges.diff()
            assert (slopes >= 0).all() and (slopes <= 1).all()


def test_a_group_without_curve_layers_is_refused():
    model = network()
    groups = param_groups(model, 0.01)
    optimizer = torch.optim.SGD([{**groups[1], "params": [nn.Parameter(torch.zeros(2, 3))]}])
    optimizer.param_groups[0]["params"][0].grad = torch.ones(2, 3)
    with pytest.raises(
        errors.ArgumentError, match="param_groups has prepared; make the groups from"
    ):
        optimizer.step()


def test_a_state_of_the_metric_needs_prepared_layers():
    model, plain = network(), network()
    optimizer = adamw(model)
    train(model, optimizer, 1)
    other = torch.optim.AdamW(param_groups(plain, 0.01, smoothing=None))
    other.load_state_dict(optimizer.state_dict())
    with pytest.raises(errors.ArgumentError, match="a loaded state of a training in the metric"):
        train(plain, other, 1)


def test_flat_pieces_of_curves_are_refused():
    """FullyShardedDataParallel replaces parameters by one-dimensional pieces."""
    model = network()
    model[1].values = nn.Parameter(model[1].values.detach().flatten())
    model[1].values.grad = torch.ones_like(model[1].values)
    optimizer = adamw(model[1])
    with pytest.raises(errors.ArgumentError, match="cuts them into flat pieces; use torch"):
        optimizer.step()


def test_a_hook_that_clips_gradients_runs_before_the_curves_move():
    model, seen = network(), []
    optimizer = adamw(model)
    optimizer.register_step_pre_hook(lambda *_: seen.append(model[1].values.grad is not None))
    train(model, optimizer, 2)
    assert seen == [True, True]


def test_an_error_in_a_step_leaves_nothing_behind():
    model = network()
    optimizer = adamw(model)
    loss_of(model, batch(0)).backward()

    def fail(*_):
        raise RuntimeError("stop")

    handle = optimizer.register_step_post_hook(fail)
    with pytest.raises(RuntimeError, match="stop"):
        optimizer.step()
    handle.remove()
    train(model, optimizer, 2)
    assert model[1].values.grad is not None


LOADER = """
import pickle, sys, torch
model, optimizer = pickle.load(open(sys.argv[1], "rb"))
x = torch.randn(9, 3)
model(x).square().mean().backward()
optimizer.step()
assert "moments" in optimizer.state[model[1].values]
"""


@pytest.mark.slow
def test_a_pickled_optimizer_trains_in_the_metric_in_another_process(tmp_path):
    model = network()
    optimizer = adamw(model)
    with open(tmp_path / "pair", "wb") as file:
        pickle.dump((model, optimizer), file)
    subprocess.run([sys.executable, "-c", LOADER, str(tmp_path / "pair")], check=True)


def test_one_saved_file_holds_model_and_optimizer():
    model = network()
    optimizer = train(model, adamw(model), 3) and adamw(model)
    buffer = io.BytesIO()
    torch.save((model, optimizer), buffer)
    buffer.seek(0)
    other, loaded = torch.load(buffer, weights_only=False)
    train(model, optimizer, 13)
    train(other, loaded, 13)
    assert_equal_training(model, other, (optimizer, loaded))
