import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import hinged
from hinged import Curve, PiecewiseLinear, errors
from hinged.curve import START_FUNCTIONS
from hinged.nn import Abs, Copy, Zero
from tests.model.networks import Convolutional

X = torch.randn(200, 3, 8, 8) * 3
NATIVES = {
    "identity": Copy,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "hardtanh": nn.Hardtanh,
    "leaky_relu": nn.LeakyReLU,
    "abs": Abs,
}


def sloped(slopes, **settings):
    """A layer that is a PReLU of these slopes."""
    layer = PiecewiseLinear(len(slopes), **settings)
    with torch.no_grad():
        left = torch.tensor(slopes)[:, None] * layer.hinges
        layer.values.copy_(torch.where(layer.hinges < 0, left, layer.hinges))
    return layer


@pytest.mark.parametrize(
    "name, dtype",
    [
        (name, dtype)
        for name in NATIVES
        for dtype in (torch.float32, torch.bfloat16, torch.float64)
        # bfloat16 cannot tell the slope of 0.01 from 0 next to values of 8.
        if (name, dtype) != ("leaky_relu", torch.bfloat16)
    ],
)
def test_every_start_function_is_replaced_by_its_native_activation(name, dtype):
    model = nn.Sequential(PiecewiseLinear(3, hinges=13, range=(-8, 8), init=name, dtype=dtype))
    x = 9 * torch.randn(50, 3, 4, dtype=dtype)
    expected = model(x).detach()
    done = hinged.to_native(model)
    assert type(model[0]) is NATIVES[name]
    assert done.replaced == {"0": name} and done.layers["0"].native == 3
    if name == "leaky_relu":  # The slope is exact only up to rounding.
        torch.testing.assert_close(model(x), expected)
    else:
        assert torch.equal(model(x), expected)
        assert torch.equal(model(x), START_FUNCTIONS[name].call(x))


def test_zero_keeps_shape_and_dtype():
    model = nn.Sequential(sloped([0.0, 0.0], init=torch.zeros_like))
    with torch.no_grad():
        model[0].values.zero_()
    hinged.to_native(model)
    x = torch.randn(4, 2, dtype=torch.bfloat16)
    assert isinstance(model[0], Zero) and torch.equal(model(x), torch.zeros_like(x))


def test_slopes_by_channel_become_a_prelu_with_the_parameters_dtype_and_flag():
    layer = sloped([0.1, 0.3, -1.0], dtype=torch.float64)
    layer.values.requires_grad_(False)
    model = nn.Sequential(layer)
    x = torch.randn(50, 3, 4, 4, dtype=torch.float64)
    expected = model(x)
    done = hinged.to_native(model)
    assert done.replaced == {"0": "prelu"}
    assert model[0].weight.dtype == torch.float64 and not model[0].weight.requires_grad
    torch.testing.assert_close(model(x), expected)


def test_a_prelu_is_not_used_where_the_channels_are_on_another_axis():
    model = nn.Sequential(sloped([0.1, 0.3, -1.0], dim=-1))
    done = hinged.to_native(model).layers["0"]
    assert isinstance(model[0], PiecewiseLinear) and not done.replaced
    assert done.reason == "nn.PReLU needs its channels on axis 1, but this layer has axis -1"
    assert (done.nearest, done.native) == ("prelu", 3)
    model = nn.Sequential(sloped([0.1, 0.1, 0.1], dim=-1))
    assert hinged.to_native(model).replaced == {"0": "leaky_relu"}
    assert model[0].negative_slope == pytest.approx(0.1)


def test_a_layer_with_only_some_native_channels_is_not_replaced():
    model = nn.Sequential(PiecewiseLinear(3), PiecewiseLinear(3), PiecewiseLinear(2, init="gelu"))
    with torch.no_grad():
        model[0].values[1, 4] += 0.25
        model[1].values[1] = model[1].hinges.abs()
        model[1].values[2] = 0
    layers = list(model)
    done = hinged.to_native(model)
    assert list(model) == layers and done.replaced == {}
    first, second, third = done.layers.values()
    assert (first.native, first.nearest, first.reason) == (
        2,
        "relu",
        "only some channels are native",
    )
    assert first.error == pytest.approx(0.25)
    assert (second.native, second.reason) == (3, "its channels are different native activations")
    assert (third.native, third.reason) == (0, "no channel is native")
    lines = str(done).splitlines()
    assert lines[1].split() == ["0", "-", "relu", "0.25", "2", "of", "3"]
    assert lines[2] == "    only some channels are native"
    assert lines[-1] == "0 of 3 layers replaced"


@given(st.sampled_from([0.01, 0.1, 0.3]), st.integers(0, 1000))
def test_replaced_layers_are_within_the_tolerance_up_to_one_range_beyond_the_range(tolerance, seed):
    torch.manual_seed(seed)
    layer = sloped([0.1, 0.2])
    with torch.no_grad():
        layer.values += 0.1 * torch.rand(()) * torch.randn_like(layer.values)
    model = nn.Sequential(layer)
    x = torch.cat((torch.linspace(-9, 9, 901), layer.hinges))[:, None].expand(-1, 2)
    before = layer(x).detach()
    done = hinged.to_native(model, tolerance).layers["0"]
    gap = (model(x) - before).abs().max().item()
    assert gap <= tolerance + 1e-5
    assert gap == pytest.approx(done.error, abs=1e-5) if done.replaced else done.error > tolerance


@given(st.sampled_from([0.02, 0.05, 0.2]), st.integers(0, 1000))
def test_with_data_the_mean_squared_difference_over_the_inputs_counts(tolerance, seed):
    torch.manual_seed(seed)
    layer = sloped([0.1, 0.2])
    with torch.no_grad():
        layer.values += 0.2 * torch.rand(()) * torch.randn_like(layer.values)
    model, x = nn.Sequential(layer), torch.randn(4000, 2) + torch.tensor([0.0, 2.0])
    before = layer(x).detach()
    done = hinged.to_native(model, tolerance, x)
    rms = (model(x) - before).square().mean(dim=0).sqrt().max().item()
    assert done.measure == "rms"
    error = done.layers["0"].error
    if done.replaced:
        # The library knows the distribution by the bins of a histogram only.
        assert rms == pytest.approx(error, rel=0.05, abs=1e-3)
        assert error <= tolerance + 1e-6
    else:
        assert rms == 0 and error > tolerance


def test_with_data_the_slope_is_the_least_squares_fit():
    layer = PiecewiseLinear(1, hinges=17, init="gelu")
    x = torch.randn(20_000, 1)
    with torch.no_grad():
        y, left = layer(x), x.clamp(max=0)
    best = ((left * y).sum() / left.square().sum()).item()
    miss = (y - torch.where(x < 0, best * x, x)).square().mean().sqrt().item()
    model = nn.Sequential(copy.deepcopy(layer))
    done = hinged.to_native(model, miss * 1.01, x)
    assert done.replaced == {"0": "leaky_relu"}
    assert model[0].negative_slope == pytest.approx(best, abs=0.01)
    assert hinged.to_native(nn.Sequential(layer), miss * 0.98, x).replaced == {}


def test_a_layer_in_several_places_becomes_one_module():
    layer, calls = PiecewiseLinear(4).eval(), []
    handle = layer.register_forward_hook(lambda *_: calls.append(1))
    model = nn.Sequential(nn.Linear(4, 4), layer, nn.ModuleList([layer, layer])[0], layer)
    model.again = layer
    hinged.to_native(model)
    assert model[1] is model[2] is model[3] is model.again
    assert isinstance(model[1], nn.ReLU) and not model[1].inplace and not model[1].training
    nn.Sequential(*model[:4])(torch.randn(2, 4))
    assert calls == [1, 1, 1]
    handle.remove()
    model[1](torch.randn(2, 4))
    assert calls == [1, 1, 1]


def test_a_model_with_native_activations_is_copied_pickled_and_exported():
    model = Convolutional().eval()
    model.second = PiecewiseLinear(4, dim=-1)
    expected = model(X)
    done = hinged.to_native(model, 0.0, X)
    assert done.layers["spare"].reason == "no data reached it"
    assert set(done.replaced) == {"first", "second"}
    assert torch.equal(model(X), expected)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(X), expected)
    exported = torch.export.export(model, (X,)).module()
    torch.testing.assert_close(exported(X), expected)


def test_writing_into_the_output_of_an_identity_does_not_change_its_input():
    model = nn.Sequential(PiecewiseLinear(2, init="identity"), nn.ReLU(inplace=True))
    x = torch.tensor([[-1.0, 1.0]])
    hinged.to_native(model)
    model(x)
    assert x.tolist() == [[-1, 1]]


def test_a_constrained_layer_is_not_replaced():
    layer = PiecewiseLinear(2)
    hinged.constrain(layer, monotone=True)
    done = hinged.to_native(nn.Sequential(layer)).layers["0"]
    assert done.reason == "it has a constraint; hinged.constrain(model) removes the constraint"


def test_a_layer_by_itself_is_refused():
    layer = PiecewiseLinear(2)
    with pytest.raises(
        errors.ArgumentError, match=r"cannot be replaced in place; wrap it in nn\.Sequential"
    ):
        hinged.to_native(layer)
    assert hinged.curve.recognise_native(layer.curve(), 0.0).name == "relu"


def test_set_curve_refuses_what_does_not_fit():
    layer = PiecewiseLinear(3)
    values, hinges = layer.values.detach().clone(), layer.hinges
    with pytest.raises(errors.ArgumentError, match="for 2 channels; expected curves for 3"):
        layer.set_curve(Curve(hinges, values[:2]))
    close = Curve(torch.tensor([1.0, 1.0 + 1e-9], dtype=torch.float64), values[:, :2].double())
    with pytest.raises(errors.ArgumentError, match="a repeated hinge"):
        layer.set_curve(close)
    torch.nn.utils.parametrize.register_parametrization(layer, "values", nn.Identity())
    with pytest.raises(errors.ArgumentError, match="parametrised; remove the parametrisation"):
        layer.set_curve(Curve(hinges, values))
    assert layer.hinges is hinges and torch.equal(layer.values, values)
