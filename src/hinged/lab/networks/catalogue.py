"""The networks of the experiments. The activation is an argument."""

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
from hinged.lab.experiment.user_code import names_function
from hinged.lab.networks import pretrained, vision
from hinged.lab.networks.activations import ActivationFactory, replace_activations
from hinged.lab.networks.detector import DETECTORS
from hinged.lab.networks.pretrained import PretrainedWeights

_CALIBRATION_SAMPLES = 32
"""Training samples for which `hinged.convert` runs a network, and from which it takes ranges."""


def build_network(
    network: NetworkSettings,
    data: DataSet,
    activation: ActivationFactory,
    seed: int,
    weights: PretrainedWeights | None = None,
) -> nn.Module:
    """Return a network. Its weights depend on the seed and not on the activation.

    The networks of this file and the detectors are built with the activation. The networks of
    `hinged.lab.networks.vision` are built with their own activations, which `replace_activations`
    then replaces.

    A user's function (`file.py:function`) takes one argument or none. Its argument is the
    activation factory: it makes the activation for a number of channels, and for `dim`, the channel
    axis, if that is not 1. If the function takes no argument, `replace_activations` replaces the
    activations of the network that it returns.

    Args:
        network: kind and size of the network.
        data: the data to train on.
        activation: makes the activation for a number of channels and a channel axis.
        seed: decides the weights. With `weights`, it decides those of a new head only.
        weights: initial weights. A head for another number of classes gets new weights.

    Raises:
        ArgumentError: the network does not fit the data, a user's function does not return a
            network for these data, or the weights belong to another network.
    """
    _check_data_fit(network, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if network.kind in _BUILDERS:
            model = _BUILDERS[network.kind](network, data, _with_own_random_state(activation))
            return _initialized(network, model, weights)
        make, takes_activation = _network_function(network, data, weights)
        if takes_activation:
            model = make(_with_own_random_state(activation))
            return _checked_outputs(network.kind, _initialized(network, model, weights), data)
        model = _checked_outputs(network.kind, _initialized(network, make(), weights), data)
        sample = data.to_inputs(data.x_train[:_CALIBRATION_SAMPLES])
        return replace_activations(model, sample, activation, f"network.kind {network.kind}")


def head_names(kind: str, model: nn.Module) -> tuple[str, ...]:
    """Return the names of the modules that compute a network's outputs.

    These are the heads that `hinged.lab.networks.vision` lists, the two linear maps to the outputs
    of a `bypass-mlp`, the last convolution of a detector, and the last `nn.Linear` of all others.

    >>> head_names("mlp", nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)))
    ('2',)
    """
    if vision.is_vision_network(kind):
        return vision.find_vision_network(kind).head
    if kind == "bypass-mlp":
        return ("output", "bypass")
    layer = nn.Conv2d if kind in DETECTORS else nn.Linear
    return tuple([name for name, module in model.named_modules() if isinstance(module, layer)][-1:])


def check_network_kind(kind: str) -> None:
    """Raise an error if there is no such kind of network.

    Raises:
        UnknownNameError: the kind is not in `NETWORK_KINDS`, not `timm:NAME` and not
            `file.py:function`.
    """
    if vision.is_vision_network(kind):
        vision.find_vision_network(kind)
    elif kind not in NETWORK_KINDS and not names_function(kind):
        raise errors.unknown_name("network.kind", kind, NETWORK_KINDS)


def _check_data_fit(network: NetworkSettings, data: DataSet) -> None:
    """Raise an error if a network cannot take the samples, or cannot answer as the data require."""
    kind, call = network.kind, f"network.kind {network.kind}"
    if names_function(kind):
        return
    if (kind in DETECTORS) != data.problem.predicts_per_cell:
        suitable = [n for n in NETWORK_KINDS if (n in DETECTORS) == data.problem.predicts_per_cell]
        got = f"{data.name}, whose metric is {data.metric}"
        hint = f"give other data, or one of: {', '.join(suitable)}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    shape = data.sample_shape
    if kind not in ("mlp", "bypass-mlp") and len(shape) != 3:
        hint = f"a {kind} needs images: use `network.kind mlp`"
        got = f"{data.name} with samples of shape {shape}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    if (kind == "cnn" or kind in DETECTORS) and min(shape[1:]) < 2**network.depth:
        hint = "every block halves the image: use fewer blocks"
        got = f"{network.depth} blocks on images of {shape[1]} x {shape[2]} pixels"
        raise errors.ArgumentError(errors.message("network.depth", got, hint))


def _with_own_random_state(activation: ActivationFactory) -> ActivationFactory:
    """Return a factory that does not advance torch's random state.

    An activation that draws its initial values would otherwise change the weights of the layers
    after it.
    """

    def make(channels: int, dim: int = 1) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            return activation(channels, dim)

    return make


def _initialized(
    network: NetworkSettings, model: nn.Module, weights: PretrainedWeights | None
) -> nn.Module:
    if weights is not None:
        pretrained.load_weights(model, weights, head_names(network.kind, model))
    return model


def _mlp(network: NetworkSettings, data: DataSet, activation: ActivationFactory) -> nn.Module:
    """Return an MLP with `depth` hidden layers of `width` units."""
    layers: list[nn.Module] = [nn.Flatten()]
    size = math.prod(data.sample_shape)
    for _ in range(network.depth):
        layers.append(nn.Linear(size, network.width, bias=not network.batch_norm))
        if network.batch_norm:
            layers.append(nn.BatchNorm1d(network.width))
        layers.append(activation(network.width))
        size = network.width
    return nn.Sequential(*layers, nn.Linear(size, data.outputs))


def _bypass_mlp(
    network: NetworkSettings, data: DataSet, activation: ActivationFactory
) -> nn.Module:
    """Return an MLP with one hidden layer of `width` units and a linear bypass.

    Its hidden weights are scaled to the range of the curves (`hinged.optim.net_control`).
    """
    if data.x_train.dim() != 2 or network.depth != 1 or network.batch_norm:
        got = f"{data.name} with {network.depth} layers, batch_norm={network.batch_norm}"
        hint = "it takes a table and has one hidden layer without normalisation: "
        hint += "use `network.kind mlp`"
        raise errors.ArgumentError(errors.message("network.kind bypass-mlp", got, hint))
    inputs = data.x_train.shape[1]
    model = optim.MLP(
        inputs, network.width, data.outputs, activation(network.width), dtype=torch.float32
    )
    optim.net_control(model, data.x_train)
    return model


def _shallow_cnn(
    network: NetworkSettings, data: DataSet, activation: ActivationFactory
) -> nn.Module:
    """Return `depth` VGG blocks and a linear head.

    A block is: convolution, activation, convolution, activation, max-pooling. Each block has twice
    the filters of the previous one.

    Source of the block: Simonyan and Zisserman, "Very deep convolutional networks for large-scale
    image recognition" (ICLR 2015).
    """
    channels, height, width = data.sample_shape
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


def _network_function(
    network: NetworkSettings, data: DataSet, weights: PretrainedWeights | None
) -> tuple[Callable[..., nn.Module], bool]:
    """Return the function that makes a network, and whether it takes the activation.

    A network of `hinged.lab.networks.vision` has the form for the size of the images that its
    weights were trained on.
    """
    if names_function(network.kind):
        make = user_code.load_function("network.kind", network.kind)
        return make, bool(inspect.signature(make).parameters)
    side = weights.side if weights is not None and weights.side else min(data.sample_shape[1:])
    definition = vision.find_vision_network(network.kind)
    return lambda: definition.make(data.outputs, side), False


def _checked_outputs(kind: str, model: nn.Module, data: DataSet) -> nn.Module:
    """Return the network, or raise an error if its outputs do not have the shape the data need."""
    call, sample = f"network.kind {kind}", data.to_inputs(data.x_train[:2])
    if not isinstance(model, nn.Module):
        hint = "the function must return an nn.Module"
        got = f"an object of class {type(model).__name__}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    outputs = _outputs(kind, model.eval(), sample)
    axes = 4 if data.problem.predicts_per_cell else 2
    if outputs.shape[:2] != (2, data.outputs) or outputs.dim() != axes:
        expected = ", ".join(("2", str(data.outputs), "rows", "columns")[:axes])
        got = f"outputs of shape {tuple(outputs.shape)}"
        raise errors.ArgumentError(errors.message(call, got, f"{data.name} needs ({expected})"))
    return model.train()


@torch.no_grad()
def _outputs(kind: str, model: nn.Module, sample: Tensor) -> Tensor:
    try:
        return model(sample)  # type: ignore[no-any-return]
    except RuntimeError as error:
        if names_function(kind):
            raise  # The error comes from the user's code.
        shape = " x ".join(map(str, sample.shape[1:]))
        got = f"inputs of {shape}, which it cannot take ({str(error).splitlines()[0]})"
        hint = "give larger images, or resize them with `network.image_size`"
        raise errors.ArgumentError(errors.message(f"network.kind {kind}", got, hint)) from None


_BUILDERS: dict[str, Callable[[NetworkSettings, DataSet, ActivationFactory], nn.Module]] = {
    "bypass-mlp": _bypass_mlp,
    "cnn": _shallow_cnn,
    "mlp": _mlp,
    **DETECTORS,
}
"""The networks that are built with the activation."""

NETWORK_KINDS = (*_BUILDERS, *vision.NETWORKS)
"""The kinds of networks. `timm:NAME` and `file.py:function` are further kinds."""
