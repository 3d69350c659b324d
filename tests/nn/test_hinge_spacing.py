"""Curves stay right when their hinges are overwritten in place."""

import copy
import pickle

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

import hinged
from hinged import PiecewiseLinear
from hinged.curve import is_uniform
from hinged.kernels import use_kernel
from tests.oracles import per_channel

FREE = torch.tensor([-3.0, -0.1, 0.0, 2.0, 40.0])


def write_in_place(layer):
    with torch.no_grad():
        layer.hinges.copy_(FREE)


def write_through_data(layer):
    layer.hinges.data.copy_(FREE)


def write_through_the_state(layer):
    layer.state_dict()["hinges"].copy_(FREE)


def write_after_copying(layer):
    """A copy starts to count the versions of its hinges anew."""
    for _ in range(layer.hinges._version + 1):
        layer.hinges.copy_(FREE)


def load_the_state(layer):
    layer.load_state_dict({**layer.state_dict(), "hinges": FREE})


def load_the_state_by_assignment(layer):
    layer.load_state_dict({**layer.state_dict(), "hinges": FREE.clone()}, assign=True)


WRITES = [
    write_in_place,
    write_through_data,
    write_through_the_state,
    write_after_copying,
    load_the_state,
    load_the_state_by_assignment,
]


def called_layer(write):
    """Return a layer that was called with equally spaced hinges, whose hinges were then moved."""
    layer = PiecewiseLinear(3, hinges=5, range=(-2, 2))
    nn.init.normal_(layer.values)
    for _ in range(3):
        layer.hinges.add_(0)
    with use_kernel("reference"):
        layer(torch.randn(2, 3))
    layer = copy.deepcopy(layer)
    write(layer)
    return layer


def run_reference(layer, x):
    with use_kernel("reference"):
        return layer(x)


def run_default(layer, x):
    return layer(x)


def run_in_half(layer, x):
    return layer(x.half())


def run_in_double(layer, x):
    return layer(x.double())


def run_with_vmap(layer, x):
    return torch.func.vmap(layer)(x[:, None]).squeeze(1)


def run_second_derivative(layer, x):
    x = x.clone().requires_grad_()
    y = layer(x)
    (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return y + 0 * slope


def run_exported(layer, x):
    return torch.export.export(layer.eval(), (x,)).module()(x)


def run_exported_strictly(layer, x):
    return torch.export.export(layer.eval(), (x,), strict=True).module()(x)


def run_compiled(layer, x):
    return torch.compile(layer, backend="eager", fullgraph=True)(x)


def run_saved(layer, x):
    return pickle.loads(pickle.dumps(layer))(x)


RUNS = [
    run_reference,
    run_default,
    run_in_half,
    run_in_double,
    run_with_vmap,
    run_second_derivative,
    run_exported,
    run_exported_strictly,
    run_compiled,
    run_saved,
]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("run", RUNS)
def test_overwritten_hinges_count(write, run):
    layer, x = called_layer(write), 5 * torch.randn(40, 3)
    expected = per_channel(x, FREE[None], layer.values, 1)
    tolerance = 3e-2 if run is run_in_half else 1e-4
    torch.testing.assert_close(
        run(layer, x).detach().double(), expected, atol=tolerance, rtol=tolerance
    )


@pytest.mark.parametrize("run", [run_reference, run_default])
def test_hinges_written_through_data_after_a_call_count(run):
    """Such a write does not change the version of the hinges."""
    layer, x = PiecewiseLinear(3, hinges=5, range=(-2, 2)), 5 * torch.randn(40, 3)
    run(layer, x)
    version = layer.hinges._version
    write_through_data(layer)
    assert layer.hinges._version == version
    expected = per_channel(x, FREE[None], layer.values, 1)
    torch.testing.assert_close(run(layer, x).double(), expected, atol=1e-4, rtol=1e-4)


def test_averages_of_a_calibrated_model():
    x = torch.randn(200, 4) ** 3
    model = nn.Sequential(nn.Linear(4, 8), PiecewiseLinear(8), nn.Linear(8, 1))
    average = AveragedModel(model)
    run_reference(average.module[1], torch.zeros(1, 8))
    hinged.calibrate(model, x, placement="quantile")
    nn.init.normal_(model[1].values)
    average.update_parameters(model)
    copied = average.module.eval()
    exact = copy.deepcopy(model).double()(x.double()).float()
    for run in (run_reference, run_exported, run_exported_strictly, run_compiled, run_saved):
        torch.testing.assert_close(run(copied, x), exact, atol=1e-4, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.float16):
        torch.testing.assert_close(copied(x), model(x))


def test_a_compiled_layer_notices_new_hinges():
    layer = PiecewiseLinear(3, hinges=5, range=(-2, 2), dtype=torch.float64)
    nn.init.normal_(layer.values)
    compiled = torch.compile(layer, backend="eager", fullgraph=True)
    x = 5 * torch.randn(40, 3, dtype=torch.float64)
    compiled(x)
    write_in_place(layer)
    torch.testing.assert_close(compiled(x), per_channel(x, FREE[None], layer.values, 1))


@pytest.mark.parametrize(
    "make", [lambda: PiecewiseLinear(3), lambda: PiecewiseLinear(3, [-1, 0, 5])]
)
def test_equal_spacing_is_used_again_where_it_holds(make):
    layer = make()
    expected = layer.hinges.numel() == 9
    for copied in (layer, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), layer.double()):
        assert copied._spacing.is_uniform(copied.hinges) is expected
        copied.hinges.mul_(2)
        assert copied._spacing.is_uniform(copied.hinges) is expected
    assert not layer._spacing.is_uniform(layer.hinges.clone())


def test_a_layer_from_the_meta_device_reads_its_hinges_when_they_have_values():
    layer = PiecewiseLinear(3, hinges=5, device="meta").to_empty(device="cpu")
    layer.hinges.data.copy_(FREE)
    assert not layer._spacing.is_uniform(layer.hinges)


def test_hinges_that_a_cast_makes_uneven_are_not_treated_as_even(monkeypatch):
    """On a GPU, the hinges are not compared at each call."""
    monkeypatch.setattr("hinged.nn.hinge_spacing.has_readable_values", lambda _: False)
    layer = PiecewiseLinear(3, range=(-1.3, 0.2))
    assert is_uniform(layer.hinges)
    cast = layer.bfloat16()
    assert not is_uniform(cast.hinges) and not cast._spacing.is_uniform(cast.hinges)
