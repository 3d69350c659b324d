import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import (
    checkpoint,
    create_selective_checkpoint_contexts,
)

from hinged import PiecewiseLinear, convert, errors, param_groups, revert, to_native
from hinged.nn.input_observer import InputObserver, observers_by_values
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


def observer_of(layer):
    assert isinstance(layer._observer, InputObserver)
    return layer._observer


def observed(**kwargs):
    layer = PiecewiseLinear(3, **kwargs)
    param_groups(layer, 0.1)
    return layer, observer_of(layer)


def check_measured(observer, layer, x):
    total, passes, _ = observer.take()
    expected = moments_of(x[:, 0].double().numpy(), layer.hinges.double().numpy())
    np.testing.assert_allclose(total[0] / passes, expected, rtol=1e-4, atol=1e-5)


def test_a_layer_used_twice_is_measured_twice():
    layer, observer = observed()
    first, second = torch.randn(10, 3), 2 + torch.randn(10, 3)
    layer(first), layer(second)
    assert observer._passes == 2
    check_measured(observer, layer, torch.cat((first, second)))
    assert observer.take() is None


def change_nothing(*_):
    pass


def layers_with_shared_hooks():
    relu, x = nn.ReLU(), torch.randn(16, 3)
    relu.register_forward_hook(change_nothing)
    model = convert(nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu), x)
    assert model[1]._forward_hooks is model[3]._forward_hooks
    param_groups(model, 0.1)
    return model, x


def test_layers_that_share_their_hooks_are_measured_separately():
    model, x = layers_with_shared_hooks()
    observers = observers_by_values()
    model(x)
    for place in (1, 3):
        (observer,) = observers[id(model[place].values)]
        assert observer._passes == 1
        check_measured(observer, model[place], model[:place](x).detach())


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_layers_that_share_their_hooks_are_trained(optimizer):
    model, x = layers_with_shared_hooks()
    before = [model[place].values.detach().clone() for place in (1, 3)]
    steps = optimizer(param_groups(model, 0.1))
    model(x).square().sum().backward()
    steps.step()
    assert not any(map(torch.equal, before, (model[1].values, model[3].values)))


@pytest.mark.parametrize("remove", [revert, to_native])
def test_a_model_without_its_curves_has_no_observers_and_can_be_copied(remove):
    model, x = layers_with_shared_hooks()
    expected = model(x)
    remove(model)
    assert not model[1]._forward_pre_hooks and not model[1]._forward_pre_hooks_with_kwargs
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.allclose(copied(x), expected)


def test_one_of_the_layers_that_share_their_hooks_can_be_copied_alone():
    model, x = layers_with_shared_hooks()
    copied = copy.deepcopy(copy.deepcopy(model[1]))
    assert torch.equal(copied(x), model[1](x))


@pytest.mark.parametrize(
    ("shape", "dim", "expected"),
    [((10, 3), 1, 1), ((10, 3, 4, 5), 1, 20), ((10, 7, 3), -1, 7), ((3,), -1, 1), ((3, 4), 0, 4)],
)
def test_inputs_per_sample_are_those_of_one_curve(shape, dim, expected):
    layer, observer = observed(dim=dim)
    layer(torch.randn(shape))
    assert observer.take()[2] == expected


def test_inputs_may_be_given_by_name():
    layer, observer = observed()
    x = torch.randn(10, 3)
    assert torch.equal(layer(input=x), x.relu())
    check_measured(observer, layer, x)


class OwnForward(PiecewiseLinear):
    def forward(self, x):
        return self.curve()(x)


class CallsForward(PiecewiseLinear):
    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize("kind", [OwnForward, CallsForward])
def test_layers_with_a_forward_of_their_own_are_measured(kind):
    layer, x = kind(3), torch.randn(10, 3)
    param_groups(layer, 0.1)
    layer = copy.deepcopy(layer)
    layer(x)
    check_measured(observer_of(layer), layer, x)


def test_a_forward_with_other_names_can_be_called_by_name():
    layer, x = OwnForward(3), torch.randn(10, 3)
    param_groups(layer, 0.1)
    assert torch.allclose(layer(x=x), x.relu(), atol=1e-6)


def test_a_module_can_replace_a_layer_with_a_forward_of_its_own():
    model, x = nn.Sequential(nn.Linear(3, 3), OwnForward(3)), torch.randn(10, 3)
    param_groups(model, 0.1)
    expected = model(x)
    to_native(model, tolerance=1)
    assert isinstance(model[1], nn.ReLU)
    torch.testing.assert_close(model(x), expected)


def test_there_is_one_observer_for_each_layer():
    layer, observer = observed()
    param_groups(layer, 0.1)
    assert observer_of(layer) is observer


def test_only_passes_with_gradients_of_the_values_are_measured():
    layer, observer = observed()
    x = torch.randn(10, 3)
    with torch.no_grad():
        layer(x)
    with torch.inference_mode():
        layer(x)
    layer.requires_grad_(False)
    layer(x.requires_grad_())
    layer.requires_grad_(True)
    observer.needed = False
    layer(x)
    assert observer.take() is None


WRONG = [torch.zeros(4, 5), torch.zeros(4, 3, dtype=torch.long), torch.zeros(3), "x"]


@pytest.mark.parametrize("x", WRONG, ids=["channels", "integers", "no channel axis", "text"])
def test_wrong_inputs_give_the_errors_of_the_layer(x):
    with pytest.raises((errors.ArgumentError, errors.DtypeError)) as expected:
        PiecewiseLinear(3)(x)
    with pytest.raises(type(expected.value)) as found:
        observed()[0](x)
    assert str(found.value) == str(expected.value)


def test_transforms_of_functions_are_not_measured():
    layer, observer = observed()
    params, x = dict(layer.named_parameters()), torch.randn(5, 3)

    def loss(params, row):
        return torch.func.functional_call(layer, params, (row[None],)).sum()

    torch.func.vmap(torch.func.grad(loss), (None, 0))(params, x)
    torch.func.jvp(lambda x: layer(x), (x,), (x,))
    torch.func.vmap(layer)(x[:, None])
    assert observer.take() is None
    torch.func.functional_call(layer, params, (x,))
    check_measured(observer, layer, x)


def test_gradients_of_the_layer_are_right():
    layer = PiecewiseLinear(3, hinges=5, dtype=torch.float64)
    param_groups(layer, 0.1)
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_exported_programs_contain_no_measurement(strict):
    layer, observer = observed()
    program = torch.export.export(layer, (torch.randn(4, 3),), strict=strict)
    names = [str(node.target) for node in program.graph.nodes]
    plain = torch.export.export(PiecewiseLinear(3), (torch.randn(4, 3),), strict=strict)
    assert names == [str(node.target) for node in plain.graph.nodes]
    assert observer.take() is None


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning")
def test_traces_contain_no_measurement():
    layer, observer = observed()
    x = torch.randn(4, 3)
    traced, plain = (str(torch.jit.trace(m, (x,)).graph) for m in (layer, PiecewiseLinear(3)))
    assert traced.count("\n") == plain.count("\n")
    make_fx = torch.fx.experimental.proxy_tensor.make_fx
    assert make_fx(layer)(x).code == make_fx(PiecewiseLinear(3))(x).code
    assert observer.take() is None


@pytest.mark.slow
@pytest.mark.parametrize("fullgraph", [True, False])
def test_compiled_models_train_as_eager_ones(fullgraph):
    """Nothing is compiled again in 30 steps, and the graph has no break."""
    model, eager = network(), network()
    torch._dynamo.utils.counters.clear()
    compiled = torch.compile(model, fullgraph=fullgraph)
    optimizer, expected = adamw(model), adamw(eager)
    with torch._dynamo.config.patch(error_on_recompile=True):
        train(model, optimizer, 30, call=compiled)
    train(eager, expected, 30)
    counters = torch._dynamo.utils.counters
    assert not counters["graph_break"] and counters["stats"]["unique_graphs"] == 1
    for one, other in zip(curves(model), curves(eager), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)
        found = optimizer.state[one]["moments"]
        torch.testing.assert_close(found, expected.state[other]["moments"], rtol=1e-4, atol=1e-4)


class Wrapper(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = network()

    def forward(self, x):
        return self.layers(x)

    def __getitem__(self, index):
        return self.layers[index]


@pytest.mark.slow
def test_copies_of_compiled_models_have_observers_of_their_own():
    model = Wrapper()
    model.compile()
    with torch._dynamo.config.patch(error_on_recompile=True):
        train(model, adamw(model), 3)
    other = copy.deepcopy(model)
    observer_of(model[1]).forget()
    optimizer = adamw(other)
    train(other, optimizer, 3)
    assert optimizer.state[other[1].values]["measured"]
    assert observer_of(model[1]).take() is None


KINDS = {
    "reentrant": {"use_reentrant": True},
    "without reentry": {"use_reentrant": False},
    "selective": {
        "use_reentrant": False,
        "context_fn": lambda: create_selective_checkpoint_contexts([torch.ops.aten.addmm.default]),
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_checkpointed_models_train_as_others(kind):
    model, plain = network(), network()

    def call(x):
        return checkpoint(model, x.requires_grad_(), **KINDS[kind])

    optimizer, expected = adamw(model), adamw(plain)
    train(model, optimizer, 12, call=call)
    train(plain, expected, 12)
    for one, other in zip(curves(model), curves(plain), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        found = optimizer.state[one]["moments"]
        torch.testing.assert_close(found, expected.state[other]["moments"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_have_observers_of_their_own(duplicate):
    model = network()
    optimizer = adamw(model)
    train(model, optimizer, 3)
    other = duplicate(model)
    assert observer_of(other[1]).layer is other[1]
    assert observer_of(model[1]).layer is model[1]
    loss_of(other, batch(0)).backward()
    assert observer_of(model[1]).take() is None
    optimizer = adamw(other)
    train(other, optimizer, 3)
    assert optimizer.state[other[1].values]["measured"]


def test_a_deleted_model_is_freed_at_once():
    gc.collect()
    gc.disable()
    try:
        model = network()
        optimizer = adamw(model)
        train(model, optimizer, 3)
        layer = weakref.ref(model[1])
        del model, optimizer
        assert layer() is None
    finally:
        gc.enable()


def test_the_observer_does_not_change_the_training():
    model, plain = network(), network()
    for each in (model, plain):
        groups = param_groups(each, 0.01, smoothing=None if each is plain else 0.1)
        if each is model:
            groups = param_groups(each, 0.01, smoothing=None)
        train(each, torch.optim.AdamW(groups), 5)
    assert_equal_training(model, plain)


def test_autocast_inputs_are_measured():
    layer, observer = observed()
    model = nn.Sequential(nn.Linear(3, 3), layer)
    with torch.autocast("cpu", torch.bfloat16):
        x = model[0](torch.randn(20, 3))
        layer(x)
    assert x.dtype is torch.bfloat16
    check_measured(observer, layer, x.detach().float())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")
def test_compiled_vmap_is_not_measured():
    layer, observer = observed()
    x = torch.randn(5, 4, 3)
    found = torch.compile(torch.func.vmap(layer))(x)
    assert torch.equal(found, x.relu()) and observer.take() is None
