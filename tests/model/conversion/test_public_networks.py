"""Conversion of public networks with random weights, in evaluation and in training mode."""

import copy
from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import hinged
from hinged import errors
from hinged._torchvision_operators import declare_missing

declare_missing()
timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision.models")

# Name: size of the images, expected number of sites, and how many of them are gates.
NETWORKS = {
    "resnet18": (32, 17, 0),
    "vgg11": (32, 10, 0),
    "googlenet": (32, 61, 0),
    "mobilenet_v2": (32, 35, 0),
    "mobilenet_v3_small": (32, 42, 9),
    "squeezenet1_1": (32, 26, 0),
    "shufflenet_v2_x0_5": (32, 37, 0),
    "mnasnet0_5": (32, 35, 0),
    "timm/resnet10t": (32, 11, 0),
    "timm/convnextv2_atto": (32, 12, 0),
    "timm/mobilenetv4_conv_small": (32, 30, 0),
    "timm/repvgg_a0": (32, 22, 0),
    "timm/edgenext_xx_small": (64, 12, 0),
    "timm/levit_128s": (224, 25, 0),
    "timm/test_vit": (32, 6, 0),
    "resnet50": (32, 49, 0),
    "vgg11_bn": (32, 10, 0),
    "densenet121": (32, 121, 0),
    "efficientnet_b0": (32, 65, 16),
    "convnext_tiny": (32, 18, 0),
    "vit_b_16": (32, 12, 0),
    "swin_t": (32, 12, 0),
    "swin_v2_t": (32, 36, 0),
    "regnet_y_400mf": (32, 81, 16),
    "inception_v3": (299, 96, 0),
    "alexnet": (64, 7, 0),
    "timm/resnetv2_50": (32, 49, 0),
    "timm/nf_resnet26": (32, 25, 0),
    "timm/regnetz_b16": (32, 90, 22),
    "timm/ghostnet_100": (32, 49, 7),
    "timm/hrnet_w18_small": (32, 75, 0),
    "timm/dla34": (32, 33, 0),
    "timm/fastvit_t8": (64, 19, 1),
    "timm/mixer_s32_224": (64, 16, 0),
    "timm/seresnext26t_32x4d": (32, 43, 8),
}
_ATEN = {
    "relu hardtanh leaky_relu prelu _prelu_kernel elu gelu silu mish hardswish hardsigmoid",
    "sigmoid tanh softplus celu selu relu6",
}
ATEN = {name for names in _ATEN for name in names.split()}


class Operators(TorchDispatchMode):
    """Counts the activations among the operators that torch executes, independently of hinged."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__.rstrip("_")
        self.counts[name] += name in ATEN
        return func(*args, **(kwargs or {}))


# Settings that make a network small and leave its modules the same.
SMALLER = {
    "timm/mixer_s32_224": {"img_size": 64},
    "timm/test_vit": {"img_size": 32},
    "googlenet": {"init_weights": False},  # Its initialisation takes long.
    "inception_v3": {"init_weights": False},
}


def vit_b_16():
    """A ViT-B/16 with 1/24 of the features; the builder of torchvision has no such option."""
    return models.VisionTransformer(
        image_size=32, patch_size=16, num_layers=12, num_heads=2, hidden_dim=32, mlp_dim=128,
        num_classes=10,
    )  # fmt: skip


def build_network(name):
    torch.manual_seed(0)
    settings = SMALLER.get(name, {})
    if name == "vit_b_16":
        model = vit_b_16()
    elif name.startswith("timm/"):
        model = timm.create_model(name.removeprefix("timm/"), num_classes=10, **settings)
    else:
        model = getattr(models, name)(weights=None, num_classes=10, **settings)
    if isinstance(model, models.VGG | models.AlexNet):
        shrink_classifier(model.classifier)
    for parameter in model.parameters():
        if parameter.dim() > 1 and not parameter.any():  # A head of zeros would give zeros only.
            nn.init.normal_(parameter, std=0.02)
    return model


def shrink_classifier(classifier):
    """Give the linear layers of a classifier 64 hidden units instead of 4,096."""
    for index, layer in enumerate(classifier):
        if isinstance(layer, nn.Linear):
            inputs = 64 if layer.in_features == 4096 else layer.in_features
            classifier[index] = nn.Linear(inputs, min(layer.out_features, 64))


def tensors(output):
    if isinstance(output, torch.Tensor):
        return [output]
    parts = output.values() if isinstance(output, dict) else output
    return [tensor for part in parts for tensor in tensors(part)]


def run_and_count(model, x, train):
    """Return outputs, number of activations that torch executed, and number of calls of curves."""
    state = copy.deepcopy(model.state_dict())
    curves = []
    handles = [
        module.register_forward_hook(lambda module, args, y: curves.append(module))
        for module in model.modules()
        if isinstance(module, hinged.PiecewiseLinear)
    ]
    torch.manual_seed(1)
    with torch.no_grad(), Operators() as operators:
        outputs = tensors(model.train(train)(x))
    for handle in handles:
        handle.remove()
    model.load_state_dict(state)
    return outputs, operators.counts.total(), len(curves)


def relative_difference(before, after):
    return max(
        ((a - b).abs().max() / a.abs().max()).item() for a, b in zip(before, after, strict=True)
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize(
    "name, size, site_count, gates",
    [(name, *facts) for name, facts in NETWORKS.items()],
)
def test_every_activation_is_a_site_and_the_function_stays(name, size, site_count, gates):
    model, x = build_network(name), torch.randn(2, 3, size, size)
    state = copy.deepcopy(model.state_dict())
    before = {train: run_and_count(model, x, train) for train in (False, True)}
    hinged.convert(model.eval(), x)
    sites = hinged.sites(model)
    assert len(sites) == site_count
    assert sum(site.skipped.startswith("a gate") for site in sites) == gates
    assert {site.skipped.split(":")[0] for site in sites.skipped} <= {
        "a gate",
        "its input does not depend on the data",
    }
    assert all(site.axis is not None for site in sites.converted)
    exact = all(site.error <= 1e-6 for site in sites)
    for train, (outputs, count, _) in before.items():
        after, left, curves = run_and_count(model, x, train)
        assert count == left + curves, f"train={train}"
        if exact:
            assert relative_difference(outputs, after) <= 1e-5, f"train={train}"
    for site in sites.converted:
        check_error(model.get_submodule(site.name), site)
    hinged.revert(model)
    for train, (outputs, count, _) in before.items():
        after, left, _ = run_and_count(model, x, train)
        assert all(map(torch.equal, outputs, after)) and left == count
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


def check_error(layer, site):
    """Check that curves differ from their activation by at most the reported error."""
    activation = eval(site.activation, {**vars(timm.layers), **vars(nn)})
    x = torch.linspace(*site.range, 4001)
    curve = layer.curve()
    y = hinged.piecewise_linear(x[:, None], curve.values[:1].detach(), curve.hinges)
    assert (y[:, 0] - activation(x)).abs().max() <= site.error * 1.001 + 1e-6


@pytest.mark.slow
def test_errors_name_the_site():
    with pytest.raises(errors.ArgumentError, match=r"At site 'features.0.2', ReLU6\(\): "):
        hinged.convert(build_network("mobilenet_v2"), torch.randn(2, 3, 32, 32), hinges=3)
