"""The networks of the experiments, with the activation left open."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import torch
from torch import nn

from hinged import errors
from hinged.lab import functions
from hinged.lab.activations import Factory, replace_activations
from hinged.lab.data import DataSet
from hinged.lab.detector import DETECTORS
from hinged.lab.functions import is_function
from hinged.lab.settings import NetworkSettings

Maker = Callable[[NetworkSettings, DataSet, Factory], nn.Module]


def build(network: NetworkSettings, data: DataSet, activation: Factory, seed: int) -> nn.Module:
    """Return a network whose weights depend on the seed alone, whatever the activation.

    Args:
        network: its kind and size. Of the kind `file.py:function` it is what the function returns:
            either it takes one argument, which makes the activation for a number of channels (and
            an axis, `dim`, where they are not on axis 1), or none, and then every activation of its
            network is replaced that `hinged.convert` would make trainable.
        data: what it is to be trained on.
        activation: makes the activation for a number of channels on an axis.
        seed: decides the weights.

    Raises:
        ArgumentError: the network cannot take the data: a CNN needs images, and every block
            halves them; or the user's function makes no network for these data.
    """
    make = _own if is_function(network.kind) else _known(network.kind, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make(network, data, _without_drawing(activation))


def _known(kind: str, data: DataSet) -> Maker:
    """Return what makes a kind of network, or raise where it does not answer as the data ask."""
    if (kind in DETECTORS) != data.problem.on_grid:
        fitting = [name for name in MODELS if (name in DETECTORS) == data.problem.on_grid]
        came = f"{data.name}, whose metric is {data.metric}"
        cure = f"give other data, or one of: {', '.join(fitting)}"
        raise errors.ArgumentError(errors.sentence(f"--model {kind}", came, cure))
    return MODELS[kind]


def _without_drawing(activation: Factory) -> Factory:
    """Return a factory that leaves the random state alone, so that an activation that draws its
    start does not shift the weights of the layers behind it."""

    def make(channels: int, dim: int = 1) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return activation(channels, dim)

    return make


def _mlp(network: NetworkSettings, data: DataSet, activation: Factory) -> nn.Module:
    """Return `depth` hidden layers of `width` units."""
    layers: list[nn.Module] = [nn.Flatten()]
    size = data.x_train[0].numel()
    for _ in range(network.depth):
        layers.append(nn.Linear(size, network.width, bias=not network.batch_norm))
        if network.batch_norm:
            layers.append(nn.BatchNorm1d(network.width))
        layers.append(activation(network.width))
        size = network.width
    return nn.Sequential(*layers, nn.Linear(size, data.outputs))


def _shallow_cnn(network: NetworkSettings, data: DataSet, activation: Factory) -> nn.Module:
    """Return `depth` VGG blocks (conv, act, conv, act, pool), each with twice the filters of the
    one before, and a linear head. Source of the block: Simonyan and Zisserman, "Very deep
    convolutional networks for large-scale image recognition" (ICLR 2015)."""
    shape = tuple(data.x_train.shape[1:])
    if len(shape) != 3:
        cure = "a cnn needs images: use --model mlp"
        came = f"{data.name} with samples of shape {shape}"
        raise errors.ArgumentError(errors.sentence("--model cnn", came, cure))
    channels, height, width = shape
    if min(height, width) < 2**network.depth:
        cure = "every block halves the image: use fewer blocks"
        came = f"{network.depth} blocks on images of {height} x {width} pixels"
        raise errors.ArgumentError(errors.sentence("--depth", came, cure))
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


def _own(network: NetworkSettings, data: DataSet, activation: Factory) -> nn.Module:
    """Return the network that a function of the user's makes, tried on two samples."""
    option = f"--model {network.kind}"
    make = functions.load("--model", network.kind)
    sample = data.scaled(data.x_train[:2])
    takes_activation = bool(inspect.signature(make).parameters)
    model = make(activation) if takes_activation else make()
    if not isinstance(model, nn.Module):
        cure = "the function must return an nn.Module"
        came = f"an object of class {type(model).__name__}"
        raise errors.ArgumentError(errors.sentence(option, came, cure))
    if not takes_activation:
        model = replace_activations(model, sample, activation, option)
    with torch.no_grad():
        shape = tuple(model.eval()(sample).shape)
    axes = 4 if data.problem.on_grid else 2
    if shape[:2] != (2, data.outputs) or len(shape) != axes:
        wanted = ", ".join(("2", str(data.outputs), "rows", "columns")[:axes])
        cure = f"{data.name} needs ({wanted})"
        raise errors.ArgumentError(errors.sentence(option, f"outputs of shape {shape}", cure))
    return model.train()


MODELS: dict[str, Maker] = {
    "cnn": _shallow_cnn,
    "mlp": _mlp,
    **DETECTORS,
}
