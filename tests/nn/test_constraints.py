import copy
import gc
import pickle
import warnings
import weakref
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn.utils import vector_to_parameters

from hinged import PiecewiseLinear, constrain, errors
from hinged.curve import Constraint, satisfies
from hinged.nn.constraints import _Snapshot, apply_constraint
from tests.curve.constraints.constraint_cases import CONSTRAINTS, SYMMETRIC, assert_satisfies

# Decay that is as strong as here moves curves against their constraint.
pytestmark = pytest.mark.filterwarnings("ignore::hinged.errors.DecayedCurvesWarning")

OPTIMISERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.5, foreach=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.1),
}


def network(**kwargs):
    settings = {"hinges": 9, "init": "identity", **kwargs}
    return nn.Sequential(nn.Linear(3, 4), PiecewiseLinear(4, **settings), nn.Linear(4, 1))


def held_report(model, **asked):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.MovedStartWarning)
        return constrain(model, **asked)


def held(model, **asked):
    held_report(model, **asked)
    return model


def random_step(model, optimiser):
    """A step with random gradients, as large as the values."""
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimiser.step()


def detached(curve):
    ends = None if curve.tail_slopes is None else curve.tail_slopes.detach()
    return replace(curve, values=curve.values.detach(), tail_slopes=ends)


def assert_holds(model, **asked):
    assert_satisfies(Constraint(**asked), detached(model[1].curve()))


@pytest.mark.slow
@given(
    st.sampled_from(sorted(CONSTRAINTS)),
    st.sampled_from(["linear", "free"]),
    st.sampled_from(sorted(OPTIMISERS)),
    st.booleans(),
)
@settings(max_examples=20)
def test_constraints_hold_exactly_after_each_of_50_random_steps(name, tails, optimiser, even):
    hinges = 9 if even else SYMMETRIC
    model = held(network(tails=tails, hinges=hinges), **CONSTRAINTS[name])
    stepping = OPTIMISERS[optimiser](model.parameters())
    moved = 0.0
    for _ in range(50):
        before = model[1].values.detach().clone()
        random_step(model, stepping)
        assert_holds(model, **CONSTRAINTS[name])
        moved += (model[1].values - before).abs().max().item()
    assert moved > 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, tails, optimiser",
    [
        ("odd, increasing, lipschitz, bounded", "free", "sgd"),
        ("concave, lipschitz, bounded", "linear", "adamw"),
    ],
)
def test_constraints_hold_exactly_after_each_of_1000_random_steps(name, tails, optimiser):
    model = held(network(tails=tails), **CONSTRAINTS[name])
    stepping = OPTIMISERS[optimiser](model.parameters())
    for _ in range(1000):
        random_step(model, stepping)
        assert_holds(model, **CONSTRAINTS[name])


def test_a_step_ends_at_the_closest_curve():
    model, free = network(), network()
    free.load_state_dict(model.state_dict())
    constrain(model, monotone=True)
    for each in (model, free):
        torch.manual_seed(1)
        random_step(each, torch.optim.SGD(each.parameters(), lr=1.0))
    from sklearn.isotonic import isotonic_regression

    for row, result in zip(free[1].values, model[1].values, strict=True):
        expected = torch.from_numpy(isotonic_regression(row.detach().double().numpy()))
        torch.testing.assert_close(result.detach(), expected.float())
    assert torch.equal(model[0].weight, free[0].weight)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_keeps_the_constraint_and_leaves_the_original_unchanged(again):
    model = held(network(), lipschitz=0.5)
    twin = again(model)
    before = model[1].values.detach().clone()
    random_step(twin, torch.optim.SGD(twin.parameters(), lr=1.0))
    assert_holds(twin, lipschitz=0.5)
    assert torch.equal(model[1].values, before)
    assert twin.state_dict().keys() == network().state_dict().keys()


def test_lbfgs_and_a_shared_layer_meet_the_constraint():
    model = held(network(), lipschitz=0.5)
    model.insert(2, model[1])
    optimiser = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe")
    x, y = torch.randn(16, 3), torch.randn(16, 1)

    def closure():
        optimiser.zero_grad()
        loss = (model(x) - y).square().mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimiser.step(closure)
        assert_holds(model, lipschitz=0.5)


@pytest.mark.parametrize(
    "write",
    [
        lambda layer: layer.values.mul_(-2.0),
        lambda layer: layer.load_state_dict(PiecewiseLinear(4, init="abs").state_dict()),
        lambda layer: layer.values.data.mul_(-2.0),
        lambda layer: layer.values.data.numpy().fill(0) or layer.values.data[0, 0].fill_(1.0),
        lambda layer: setattr(layer.values, "data", -layer.values.data),
        lambda layer: vector_to_parameters(torch.linspace(9, 0, 36), [layer.values]),
        lambda layer: setattr(layer, "values", nn.Parameter(-layer.values)),
    ],
    ids=["in place", "state", "data", "numpy", "new data", "vector", "new parameter"],
)
def test_values_written_by_hand_are_projected_before_the_next_forward_pass(write):
    model = held(network(), monotone=True)
    with torch.no_grad():
        write(model[1])
    assert not satisfies(model[1].curve(), Constraint(monotone=True)).all()
    model(torch.randn(2, 3))
    assert_holds(model, monotone=True)


def test_values_passed_by_functional_call_are_not_changed():
    model = held(network(), monotone=True)
    given = {name: -p.detach() for name, p in model.named_parameters()}
    wanted = given["1.values"].clone()
    functional_call(model, given, (torch.randn(2, 3),))
    assert torch.equal(given["1.values"], wanted)
    grads = torch.func.grad(
        lambda p: functional_call(model, p, (torch.randn(2, 3),)).sum()
    )({name: p.detach() for name, p in model.named_parameters()})  # fmt: skip
    assert grads["1.values"].abs().sum() > 0


def test_optimisers_of_other_parameters_do_not_project():
    model, other = held(network(), monotone=True), nn.Linear(2, 2)
    with torch.no_grad():
        model[1].values.neg_()
    wanted = model[1].values.detach().clone()
    random_step(other, torch.optim.SGD(other.parameters(), lr=1.0))
    assert torch.equal(model[1].values, wanted)


def test_the_report_and_the_warning_say_how_far_the_start_moved():
    model = network(init="relu")
    with pytest.warns(errors.MovedStartWarning, match=r"1 layers .* by up to 1\.5 \(in layer '1'"):
        report = constrain(model, odd=True)
    assert report.moved == {"1": 1.5}
    assert str(report) == "1 layers held to Constraint(odd=True); 1 moved, by up to 1.5"
    torch.testing.assert_close(model[1](torch.full((1, 4), 2.0)), torch.full((1, 4), 1.0))


def test_the_report_counts_the_layers_that_moved():
    model = nn.Sequential(network(init="relu"), network())
    assert "2 layers held to Constraint(odd=True); 1 moved, by" in str(held_report(model, odd=True))


def test_a_start_that_meets_the_constraint_is_not_changed():
    model = network(init="relu")
    before = copy.deepcopy(model.state_dict())
    constrain(model, monotone=True, convex=True, lipschitz=1.0, bounds=(0.0, None))
    assert torch.equal(model.state_dict()["1.values"], before["1.values"])


def test_a_second_call_replaces_the_constraint_and_an_empty_call_removes_it():
    model = held(network(), monotone=True)
    held(model, monotone="decreasing")
    random_step(model, torch.optim.SGD(model.parameters(), lr=1.0))
    assert_holds(model, monotone="decreasing")
    constrain(model)
    assert not model[1]._forward_pre_hooks
    random_step(model, torch.optim.SGD(model.parameters(), lr=1.0))
    assert not satisfies(model[1].curve(), Constraint(monotone="decreasing")).all()


def test_where_selects_layers():
    model = nn.Sequential(PiecewiseLinear(2), PiecewiseLinear(2))
    report = constrain(model, monotone=True, where=lambda site: site.name == "1")
    assert list(report.moved) == ["1"] and not model[0]._forward_pre_hooks
    with pytest.raises(errors.ArgumentError, match="a function that returns False for every layer"):
        constrain(model, monotone=True, where=lambda site: False)


def test_a_single_layer_is_a_model():
    layer = PiecewiseLinear(3)
    assert list(constrain(layer, monotone=True).moved) == [""]


def test_rejected_calls_change_nothing():
    good, bad = PiecewiseLinear(2, tails="linear"), PiecewiseLinear(2, tails="constant")
    model = nn.Sequential(good, bad)
    with pytest.raises(errors.ArgumentError, match=r"At layer '1': .*constant tails only a flat"):
        constrain(model, convex=True)
    assert not good._forward_pre_hooks and not bad._forward_pre_hooks
    with pytest.raises(errors.ArgumentError, match="a Linear without curves"):
        constrain(nn.Linear(2, 2), monotone=True)
    with pytest.raises(errors.ArgumentError, match="meta device"):
        constrain(PiecewiseLinear(2, device="meta"), monotone=True)


@pytest.mark.slow
def test_a_constrained_model_can_be_collected():
    model = held(network(), monotone=True)
    layer = weakref.ref(model[1])
    del model
    gc.collect()
    assert layer() is None


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_a_step_projects_with_a_compiled_model():
    model = held(network(), lipschitz=0.5)
    compiled = torch.compile(model, backend="eager")
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(3):
        compiled(torch.randn(8, 3)).sum().backward()
        optimiser.step()
        assert_holds(model, lipschitz=0.5)


def test_the_constraint_of_a_layer_can_be_applied_by_hand():
    layer = PiecewiseLinear(2, 5)
    constrain(layer, monotone=True)
    with torch.no_grad():
        layer.values.copy_(-layer.hinges.expand(2, -1))
    apply_constraint(layer)
    assert (layer.values == layer.values[:, :1]).all()


def test_a_version_shows_that_a_tensor_has_changed():
    """On a GPU, the numbers are not compared."""
    tensor = torch.zeros(3)
    remembered = _Snapshot(tensor)
    remembered._numbers = None
    assert not remembered.differs(tensor)
    assert remembered.differs(tensor.add_(1))
