"""Conversion of the networks people use, with random weights, in evaluation and in training."""

import copy
from collections import Counter

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import hinged
from hinged import errors
from hinged.lab._torchvision_operators import declare_missing

declare_missing()
timm = pytest.importorskip("timm")
models = pytest.importorskip("torchvision.models")

# Name, size of the images, and what it must find: how many sites and how many of them gates.
NETWORKS = {
    "resnet18": (32, 17, 0),
    "vgg11": (32, 10, 0),
    "googlenet": (64, 61, 0),
    "mobilenet_v2": (32, 35, 0),
    "mobilenet_v3_small": (32, 42, 9),
    "squeezenet1_1": (64, 26, 0),
    "shufflenet_v2_x0_5": (32, 37, 0),
    "mnasnet0_5": (32, 35, 0),
    "timm/resnet10t": (32, 11, 0),
    "timm/convnextv2_atto": (32, 12, 0),
    "timm/mobilenetv4_conv_small": (32, 30, 0),
    "timm/repvgg_a0": (32, 22, 0),
    "timm/edgenext_xx_small": (64, 12, 0),
    "timm/levit_128s": (224, 25, 0),
    "timm/test_vit": (160, 6, 0),
    "resnet50": (64, 49, 0),
    "vgg11_bn": (32, 10, 0),
    "densenet121": (64, 121, 0),
    "efficientnet_b0": (64, 65, 16),
    "convnext_tiny": (64, 18, 0),
    "vit_b_16": (224, 12, 0),
    "swin_t": (64, 12, 0),
    "swin_v2_t": (64, 36, 0),
    "regnet_y_400mf": (64, 81, 16),
    "inception_v3": (299, 96, 0),
    "alexnet": (64, 7, 0),
    "timm/resnetv2_50": (64, 49, 0),
    "timm/nf_resnet26": (64, 25, 0),
    "timm/regnetz_b16": (64, 90, 22),
    "timm/ghostnet_100": (64, 49, 7),
    "timm/hrnet_w18_small": (64, 75, 0),
    "timm/dla34": (64, 33, 0),
    "timm/fastvit_t8": (64, 19, 1),
    "timm/mixer_s32_224": (224, 16, 0),
    "timm/seresnext26t_32x4d": (64, 43, 8),
}
_ATEN = {
    "relu hardtanh leaky_relu prelu _prelu_kernel elu gelu silu mish hardswish hardsigmoid",
    "sigmoid tanh softplus celu selu relu6",
}
ATEN = {name for names in _ATEN for name in names.split()}


class Operators(TorchDispatchMode):
    """Counts the activations among the operators that torch executes, below any Python of ours."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__.rstrip("_")
        self.counts[name] += name in ATEN
        return func(*args, **(kwargs or {}))


def built(name):
    torch.manual_seed(0)
    if name.startswith("timm/"):
        model = timm.create_model(name.removeprefix("timm/"), pretrained=False, num_classes=10)
    else:
        extra = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        model = getattr(models, name)(weights=None, num_classes=10, **extra)
    for parameter in model.parameters():
        if parameter.dim() > 1 and not parameter.any():  # A head of zeros would hide everything.
            nn.init.normal_(parameter, std=0.02)
    return model


def tensors(output):
    if isinstance(output, torch.Tensor):
        return [output]
    parts = output.values() if isinstance(output, dict) else output
    return [tensor for part in parts for tensor in tensors(part)]


def run(model, x, train):
    """Return outputs, activations that torch executed and curves that were called."""
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


def apart(before, after):
    return max(
        ((a - b).abs().max() / a.abs().max()).item() for a, b in zip(before, after, strict=True)
    )


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize(
    "name, size, count, gates",
    [(name, *facts) for name, facts in NETWORKS.items()],
)
def test_every_activation_is_a_site_and_the_function_stays(name, size, count, gates):
    model, x = built(name), torch.randn(2, 3, size, size)
    state = copy.deepcopy(model.state_dict())
    before = {train: run(model, x, train) for train in (False, True)}
    hinged.convert(model.eval(), x)
    sites = hinged.sites(model)
    assert len(sites) == count
    assert sum(site.skipped.startswith("a gate") for site in sites) == gates
    assert {site.skipped.split(":")[0] for site in sites.skipped} <= {
        "a gate",
        "its input does not depend on the data",
    }
    assert all(site.axis is not None for site in sites.converted)
    exact = all(site.error <= 1e-6 for site in sites)
    for train, (outputs, seen, _) in before.items():
        after, left, curves = run(model, x, train)
        assert seen == left + curves, f"train={train}"
        if exact:
            assert apart(outputs, after) <= 1e-5, f"train={train}"
    for site in sites.converted:
        check_error(model.get_submodule(site.name), site)
    hinged.revert(model)
    for train, (outputs, seen, _) in before.items():
        after, left, _ = run(model, x, train)
        assert all(map(torch.equal, outputs, after)) and left == seen
    assert list(model.state_dict()) == list(state)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


def check_error(layer, site):
    """The layer is off its activation by no more than its site says, over the range."""
    activation = {"ReLU6()": nn.ReLU6(), "ReLU()": nn.ReLU()}.get(site.activation)
    activation = activation or next(
        (each for each in (nn.GELU(), nn.SiLU(), nn.Hardswish()) if str(each) == site.activation),
        None,
    )
    if activation is None:
        return
    low, high = site.range
    x = torch.linspace(low, high, 4001)
    curve = layer.curve()
    y = hinged.piecewise_linear(x[:, None], curve.values[:1].detach(), curve.hinges)
    assert (y[:, 0] - activation(x)).abs().max() <= site.error * 1.001 + 1e-6


def test_refusals_name_the_site():
    with pytest.raises(errors.ArgumentError, match=r"At site 'features.0.2', ReLU6\(\): "):
        hinged.convert(built("mobilenet_v2"), torch.randn(2, 3, 32, 32), hinges=3)
