"""Tests `torch.fx` and TorchScript with converted models."""

import pytest
import torch
from torch import nn

import hinged
from hinged import errors
from hinged._torchvision_operators import declare_missing

declare_missing()
from torchvision.models.feature_extraction import create_feature_extractor  # noqa: E402

from tests.model.conversion.example_networks import Functional, Loops, SharedModule  # noqa: E402
from tests.model.conversion.test_torch_features import NarrowResNet, vgg11  # noqa: E402
from tests.model.conversion.wrapped_networks import DecoratedStep, Plain  # noqa: E402

MAPS, ROWS = torch.randn(4, 3, 5, 5), torch.randn(8, 4)


def converted(make, x):
    model = hinged.convert(make(), x).eval()
    for layer in model.modules():
        if isinstance(layer, hinged.PiecewiseLinear):
            nn.init.normal_(layer.values)
    return model


def nodes_of_curves(graph):
    modules = dict(graph.named_modules())
    found = [node for node in graph.graph.nodes if node.op == "call_module"]
    return [node for node in found if isinstance(modules[node.target], hinged.PiecewiseLinear)]


class Helper(Plain):
    """The activation is in another method than `forward`."""

    def forward(self, x):
        return self.activate(self.line(x))

    def activate(self, x):
        return x.relu()


@pytest.mark.parametrize(
    "make, x, count",
    [
        (lambda: nn.Sequential(Plain(), nn.ReLU(), Plain()), ROWS, 3),
        (Helper, ROWS, 1),
        (NarrowResNet, torch.randn(2, 3, 32, 32), 9),
        (lambda: nn.Sequential(SharedModule()), MAPS, 3),
        (lambda: nn.Sequential(Loops()), ROWS, None),
    ],
)
def test_a_traced_model_calls_its_curves(make, x, count):
    model = converted(make, x)
    graph = torch.fx.symbolic_trace(model)
    assert len(nodes_of_curves(graph)) == (count or len(hinged.sites(model).converted))
    assert torch.allclose(graph(x), model(x))
    graph(x).sum().backward()
    assert all(p.grad is not None for n, p in model.named_parameters() if n.endswith("values"))


@pytest.mark.parametrize(
    "make, x", [(Plain, ROWS), (Functional, MAPS), (SharedModule, MAPS), (Loops, ROWS)]
)
def test_a_model_whose_curves_would_be_left_out_is_refused(make, x):
    model = converted(make, x)
    with pytest.raises(errors.ArgumentError, match=r"trace torch\.nn\.Sequential\(model\)"):
        torch.fx.symbolic_trace(model)
    inside = torch.fx.symbolic_trace(nn.Sequential(model))
    assert torch.allclose(inside(x), model(x))
    torch.fx.symbolic_trace(hinged.revert(model))


def test_a_single_layer_is_refused():
    with pytest.raises(errors.ArgumentError, match="a model that contains the layer"):
        torch.fx.symbolic_trace(hinged.PiecewiseLinear(3))


@pytest.mark.parametrize(
    "make, outputs",
    [(NarrowResNet, {"layer1": "a", "fc": "b"}), (vgg11, {"features.4": "a", "classifier": "b"})],
)
def test_features_are_extracted_behind_curves(make, outputs):
    x = torch.randn(2, 3, 32, 32)
    model = converted(make, x)
    expected = {}
    for name, key in outputs.items():
        hook = lambda _m, _i, y, key=key: expected.__setitem__(key, y)  # noqa: E731
        model.get_submodule(name).register_forward_hook(hook)
    found = create_feature_extractor(model, outputs)(x)
    model(x)
    assert all(torch.allclose(found[key], expected[key]) for key in outputs.values())


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(
    "make, x", [(Plain, ROWS), (DecoratedStep, ROWS), (lambda: nn.Sequential(nn.ReLU()), ROWS)]
)
def test_torchscript_is_refused_in_words(make, x):
    model = converted(make, x)
    with pytest.raises(errors.ArgumentError, match=r"use torch\.jit\.trace"):
        torch.jit.script(model)
    assert torch.allclose(model(x), torch.jit.trace(model, x)(x))
