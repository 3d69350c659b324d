"""Layers that take their channels from the first input, and layers that return to their start."""

import copy
import functools
import pickle

import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors
from hinged._torchvision_operators import declare_missing
from hinged.nn import register_activation

X = torch.randn(4, 6, 5)


@pytest.mark.parametrize("dim, channels", [(1, 6), (-1, 5), (0, 4)])
@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
@pytest.mark.parametrize("init", ["relu", "gelu"])
def test_the_first_input_sets_the_channels(dim, channels, tails, init):
    lazy = PiecewiseLinear(None, dim=dim, tails=tails, init=init)
    assert isinstance(lazy, PiecewiseLinear) and lazy.has_uninitialized_params()
    plain = PiecewiseLinear(channels, dim=dim, tails=tails, init=init)
    assert torch.equal(lazy(X), plain(X))
    assert type(lazy) is PiecewiseLinear and str(lazy) == str(plain)
    assert all(map(torch.equal, lazy.state_dict().values(), plain.state_dict().values()))
    lazy(X).sum().backward()
    assert lazy.values.grad.shape == (channels, 9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize(
    "change", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer)), lambda layer: layer]
)
def test_lazy_layers_are_cast_and_copied_before_the_first_input(dtype, change):
    lazy = change(PiecewiseLinear(None, init="silu").to(dtype))
    assert lazy(X.to(dtype)).dtype == dtype and lazy.values.dtype == dtype
    torch.testing.assert_close(
        lazy.double()(X.double()),
        PiecewiseLinear(6, init="silu").double()(X.double()),
        atol=0.02,
        rtol=0.02,
    )


def test_states_of_lazy_layers():
    trained = PiecewiseLinear(6)
    nn.init.normal_(trained.values)
    lazy = nn.Sequential(PiecewiseLinear(None))
    lazy.load_state_dict(nn.Sequential(trained).state_dict())
    assert lazy[0].channels == 6 and torch.equal(lazy[0](X), trained(X))
    assert str(lazy[0]) == str(trained)
    again = nn.Sequential(PiecewiseLinear(None))
    again.load_state_dict(nn.Sequential(PiecewiseLinear(None)).state_dict())
    assert torch.equal(again[0](X), X.relu())
    empty = nn.Sequential(PiecewiseLinear(None))
    assert "0.values" in empty.load_state_dict({}, strict=False).missing_keys
    assert torch.equal(empty[0](X), X.relu())
    with pytest.raises(RuntimeError, match=r"\(6, 9\); this layer has \(6, 5\)"):
        nn.Sequential(PiecewiseLinear(None, 5)).load_state_dict(nn.Sequential(trained).state_dict())


@pytest.mark.parametrize(
    "x, said", [(torch.zeros(3), "shape .3,. with dim=1"), (torch.zeros(3, 4).long(), "int64")]
)
def test_a_first_input_that_does_not_fit_is_refused(x, said):
    lazy = PiecewiseLinear(None)
    with pytest.raises(errors.HingedError, match=said):
        lazy(x)
    assert torch.equal(lazy(X), X.relu())


def test_subclasses_are_not_lazy():
    class Mine(PiecewiseLinear):
        pass

    with pytest.raises(errors.ArgumentError, match="got None; expected a whole number"):
        Mine(None)


def test_an_argument_for_the_activation_class_builds_curves():
    declare_missing()
    torchvision = pytest.importorskip("torchvision")
    block = torchvision.ops.Conv2dNormActivation(
        3, 8, activation_layer=functools.partial(PiecewiseLinear, None), inplace=True
    )
    block(torch.randn(2, 3, 6, 6))
    assert block[2].channels == 8


def test_timm_builds_curves_by_name():
    declare_missing()
    timm = pytest.importorskip("timm")
    assert "timm" in register_activation("hinged_test", init="relu")
    model = timm.create_model("resnet10t", act_layer="hinged_test", num_classes=3)
    model(torch.randn(2, 3, 32, 32))
    layers = [each for each in model.modules() if isinstance(each, PiecewiseLinear)]
    assert len(layers) > 5 and all(layer.channels > 1 for layer in layers)
    assert len(hinged.param_groups(model, 0.01)) == 2


def test_transformers_builds_curves_by_name():
    transformers = pytest.importorskip("transformers")
    assert "transformers" in register_activation("hinged_test")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.BertConfig(
        vocab_size=50, intermediate_size=32, hidden_act="hinged_test", **sizes
    )
    model = transformers.BertModel(config).eval()
    model(torch.arange(7)[None])
    (layer,) = (each for each in model.modules() if isinstance(each, PiecewiseLinear))
    assert layer.channels == 32 and layer.dim == -1


def test_names_are_registered_with_settings_that_work():
    with pytest.raises(errors.ArgumentError, match="1 hinge"):
        register_activation("hinged_test", hinges=1)


@pytest.mark.parametrize("tails", ["linear", "free"])
@pytest.mark.parametrize("init", ["relu", "silu", nn.PReLU(6)])
def test_reset_parameters_restores_the_start(tails, init):
    layer = PiecewiseLinear(6, init=init, tails=tails)
    start, before = layer(X), layer.values
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
        layer.hinges.mul_(2)
    layer.reset_parameters()
    assert torch.equal(layer(X), start) and layer.values is before
    layer.set_curve(hinged.Curve(torch.tensor([0.0, 1.0]), torch.ones(1, 2)))
    layer.reset_parameters()
    assert torch.equal(layer(X), start)


def test_a_model_from_the_meta_device_returns_to_its_start():
    with torch.device("meta"):
        model = nn.Sequential(PiecewiseLinear(6, init="gelu"), PiecewiseLinear(6, tails="free"))
    model.to_empty(device="cpu")
    for layer in model:
        layer.reset_parameters()
    expected = nn.Sequential(PiecewiseLinear(6, init="gelu"), PiecewiseLinear(6, tails="free"))
    assert torch.equal(model(X), expected(X))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.SiLU, nn.Hardswish, lambda: nn.PReLU(6)])
def test_converted_layers_return_to_the_converted_start(activation):
    model = hinged.convert(nn.Sequential(nn.BatchNorm1d(6), activation()), X)
    start = model.eval()(X)
    nn.init.normal_(model[1].values)
    hinged.calibrate(model, 3 * X, hinges=17)
    model[1].reset_parameters()
    assert torch.equal(model(X), start)


def test_a_lazy_layer_returns_to_its_start_when_it_has_one():
    lazy = PiecewiseLinear(None)
    lazy.reset_parameters()
    assert lazy.has_uninitialized_params()
    trained = PiecewiseLinear(6)
    nn.init.normal_(trained.values)
    lazy.load_state_dict(trained.state_dict())
    lazy.reset_parameters()
    assert torch.equal(lazy(X), X.relu())
