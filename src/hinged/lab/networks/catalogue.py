"""The networks of the experiments, with the activation left open."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hinged import errors, optim
from hinged.lab.data import DataSet
from hinged.lab.experiment import user_code
from hinged.lab.experiment.settings import NetworkSettings
from hinged.lab.experiment.user_code import is_function
from hinged.lab.networks import pretrained, vision
from hinged.lab.networks.activations import Factory, replace_activations
from hinged.lab.networks.blocks import check_depth
from hinged.lab.networks.detector import DETECTORS
from hinged.lab.networks.pretrained import Weights

Maker = Callable[[NetworkSettings, DataSet, Factory], nn.Module]

_SAMPLES = 32
"""Training samples that a whole network is tried on; curves find their ranges there."""


def build(
    network: NetworkSettings,
    data: DataSet,
    activation: Factory,
    seed: int,
    weights: Weights | None = None,
) -> nn.Module:
    """Return a network whose weights depend on the seed alone, whatever the activation.

    A `cnn` and an `mlp` are made with the activation. A network of `hinged.lab.networks.vision` is made with
    its own, which is then replaced as `hinged.lab.networks.activations.replace_activations` does it; so is
    that of a function of the user's, unless it takes the activation.

    Args:
        network: its kind and size. Of the kind `file.py:function` it is what the function returns:
            either it takes one argument, which makes the activation for a number of channels (and
            an axis, `dim`, where they are not on axis 1), or none, and then every activation of its
            network is replaced that `hinged.convert` would make trainable.
        data: what it is to be trained on.
        activation: makes the activation for a number of channels on an axis.
        seed: decides the weights; only those of the head where others are given.
        weights: to start from, but for the head where that is for other classes.

    Raises:
        ArgumentError: the network cannot take the data: a CNN needs images, and every block
            halves them; the user's function makes no network for these data; or the weights are of
            another network.
    """
    _check_fits(network.kind, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if network.kind in _OPEN:
            model = _OPEN[network.kind](network, data, _without_drawing(activation))
            return _started(network, model, weights)
        make, takes_activation = _maker(network, data, weights)
        if takes_activation:
            model = _started(network, make(_without_drawing(activation)), weights)
            return _tried(network.kind, model, data)
        model = _tried(network.kind, _started(network, make(), weights), data)
        sample = data.scaled(data.x_train[:_SAMPLES])
        return replace_activations(model, sample, activation, f"--model {network.kind}")


def head(kind: str, model: nn.Module) -> tuple[str, ...]:
    """Return the names of the modules that give a network's outputs: what `hinged.lab.networks.vision`
    knows of it, both linear maps to the outputs of a `bypass-mlp`, or else its last `nn.Linear`, of
    a detector its last convolution.

    >>> head("mlp", nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))
    ('2',)
    """
    if vision.is_known(kind):
        return vision.find(kind).head
    if kind == "bypass-mlp":
        return ("output", "bypass")
    layer = nn.Conv2d if kind in DETECTORS else nn.Linear
    return tuple([name for name, module in model.named_modules() if isinstance(module, layer)][-1:])


def _check_fits(kind: str, data: DataSet) -> None:
    """Raise where a kind of network does not answer as the data ask."""
    if not is_function(kind) and (kind in DETECTORS) != data.problem.on_grid:
        fitting = [name for name in MODELS if (name in DETECTORS) == data.problem.on_grid]
        got = f"{data.name}, whose metric is {data.metric}"
        hint = f"give other data, or one of: {', '.join(fitting)}"
        raise errors.ArgumentError(errors.message(f"--model {kind}", got, hint))


def _without_drawing(activation: Factory) -> Factory:
    """Return a factory that leaves the random state alone, so that an activation that draws its
    start does not shift the weights of the layers behind it."""

    def make(channels: int, dim: int = 1) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return activation(channels, dim)

    return make


def _started(network: NetworkSettings, model: nn.Module, weights: Weights | None) -> nn.Module:
    if weights is not None:
        pretrained.start(model, weights, head(network.kind, model))
    return model


def _mlp(network: NetworkSettings, data: DataSet, activation: Factory) -> nn.Module:
    """Return `depth` hidden layers of `width` units."""
    layers: list[nn.Module] = [nn.Flatten()]
    size = math.prod(data.sample_shape)
    for _ in range(network.depth):
        layers.append(nn.Linear(size, network.width, bias=not network.batch_norm))
        if network.batch_norm:
            layers.append(nn.BatchNorm1d(network.width))
        layers.append(activation(network.width))
        size = network.width
    return nn.Sequential(*layers, nn.Linear(size, data.outputs))


def _bypass_mlp(network: NetworkSettings, data: DataSet, activation: Factory) -> nn.Module:
    """Return one hidden layer of `width` units beside bypass weights, its nets brought to the
    curves (`hinged.optim.net_control`)."""
    if data.x_train.dim() != 2 or network.depth != 1 or network.batch_norm:
        got = f"{data.name} with {network.depth} layers, batch_norm={network.batch_norm}"
        hint = "it takes a table and has one hidden layer without normalisation: use --model mlp"
        raise errors.ArgumentError(errors.message("--model bypass-mlp", got, hint))
    inputs = data.x_train.shape[1]
    model = optim.MLP(
        inputs, network.width, data.outputs, activation(network.width), dtype=torch.float32
    )
    optim.net_control(model, data.x_train)
    return model


def _shallow_cnn(network: NetworkSettings, data: DataSet, activation: Factory) -> nn.Module:
    """Return `depth` VGG blocks (conv, act, conv, act, pool), each with twice the filters of the
    one before, and a linear head. Source of the block: Simonyan and Zisserman, "Very deep
    convolutional networks for large-scale image recognition" (ICLR 2015)."""
    channels, height, width = _image("cnn", data)
    check_depth(network.depth, height, width)
    layers: list[nn.Module] = []
    for block in range(network.depth):
        filters = network.width * 2**block
        for inputs in (channels, filters):
            layers.append(nn.Conv2d(inputs, filters, 3, padding=1, bias=not network.batch_norm))
            if network.batch_norm:
                layers.append(nn.BatchNorm2d(filters))
            layers.append(activation(filters))
        layers.append(nn.MaxPool2d(2))
        channels = filters
    size = channels * (height // 2**network.depth) * (width // 2**network.depth)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, data.outputs))


def _image(kind: str, data: DataSet) -> tuple[int, int, int]:
    """Return channels, height and width of what the network is given.

    Raises:
        ArgumentError: the data are no images.
    """
    shape = data.sample_shape
    if len(shape) != 3:
        hint = f"a {kind} needs images: use --model mlp"
        got = f"{data.name} with samples of shape {shape}"
        raise errors.ArgumentError(errors.message(f"--model {kind}", got, hint))
    return shape[0], shape[1], shape[2]


def _maker(
    network: NetworkSettings, data: DataSet, weights: Weights | None
) -> tuple[Callable[..., nn.Module], bool]:
    """Return what makes a network, and whether it is to be given the activation. The form of those
    of `hinged.lab.networks.vision` follows the images that the weights were trained on."""
    if is_function(network.kind):
        make = user_code.load("--model", network.kind)
        return make, bool(inspect.signature(make).parameters)
    _, height, width = _image(network.kind, data)
    side = weights.side if weights is not None and weights.side else min(height, width)
    found = vision.find(network.kind)
    return lambda: found.make(data.outputs, side), False


def _tried(kind: str, model: nn.Module, data: DataSet) -> nn.Module:
    """Return the network, or raise where it does not give the outputs that the data need."""
    option, sample = f"--model {kind}", data.scaled(data.x_train[:2])
    if not isinstance(model, nn.Module):
        hint = "the function must return an nn.Module"
        got = f"an object of class {type(model).__name__}"
        raise errors.ArgumentError(errors.message(option, got, hint))
    outputs = _outputs(option, model.eval(), sample)
    axes = 4 if data.problem.on_grid else 2
    if outputs.shape[:2] != (2, data.outputs) or outputs.dim() != axes:
        wanted = ", ".join(("2", str(data.outputs), "rows", "columns")[:axes])
        got = f"outputs of shape {tuple(outputs.shape)}"
        raise errors.ArgumentError(errors.message(option, got, f"{data.name} needs ({wanted})"))
    return model.train()


@torch.no_grad()
def _outputs(option: str, model: nn.Module, sample: Tensor) -> Tensor:
    try:
        return model(sample)  # type: ignore[no-any-return]
    except RuntimeError as error:
        if is_function(option):
            raise  # What the user's own code raises is the user's.
        shape = " x ".join(map(str, sample.shape[1:]))
        got = f"inputs of {shape}, which it cannot take ({str(error).splitlines()[0]})"
        hint = "give larger images, or resize them with --image-size"
        raise errors.ArgumentError(errors.message(option, got, hint)) from None


_OPEN: dict[str, Maker] = {
    "bypass-mlp": _bypass_mlp,
    "cnn": _shallow_cnn,
    "mlp": _mlp,
    **DETECTORS,
}

MODELS = (*_OPEN, *vision.NETWORKS)
"""The kinds of networks, beside `timm:NAME` and `file.py:function`."""


def check_kind(kind: str) -> None:
    """Raise where a text is no kind of network.

    Raises:
        UnknownNameError: it is neither in `MODELS`, nor timm's, nor `file.py:function`.
    """
    if vision.is_known(kind):
        vision.find(kind)
    elif kind not in MODELS and not is_function(kind):
        raise errors.unknown_name("--model", kind, MODELS)
