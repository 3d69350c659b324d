"""Functions that build the networks of the experiments with a given activation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hinged import errors, optim, user_code
from hinged.lab.data import DataSet
from hinged.lab.experiment.settings import NetworkSettings
from hinged.lab.networks import pretrained, vision
from hinged.lab.networks.activations import ActivationFactory, is_required, replace_activations
from hinged.lab.networks.detector import DETECTORS
from hinged.lab.networks.pretrained import PretrainedWeights
from hinged.user_code import names_function

_CALIBRATION_SAMPLES = 32
"""Number of training samples that `hinged.convert` gets, to find activations and input ranges."""


def build_network(
    network: NetworkSettings,
    data: DataSet,
    activation: ActivationFactory,
    seed: int,
    weights: PretrainedWeights | None = None,
) -> nn.Module:
    """Build a network with a given activation.

    The initial weights depend on the seed and not on the activation. The kind of the network
    decides how the activation is inserted:

    * `cnn`, `mlp`, `bypass-mlp` and the detectors are built with the factory `activation`.
    * The networks of `hinged.lab.networks.vision` are built with their published activations.
      `replace_activations` then replaces the published activations.
    * A user's function (`file.py:function`) with one parameter receives the factory. The function
      calls `activation(channels)`, or `activation(channels, dim=-1)` if the last axis contains the
      channels.
    * A user's function without parameters returns a network. `replace_activations` then replaces
      the activations of this network.

    Args:
        network: kind and size of the network.
        data: the data set to train on. It determines the shapes of the inputs and outputs.
        activation: a function that makes an activation. Its arguments are the number of channels
            and the channel axis.
        seed: decides the random initial weights.
        weights: pretrained weights. The head (the modules that compute the outputs) gets random
            weights if the number of classes differs. None gives all layers random weights.

    Returns:
        The network.

    Raises:
        ArgumentError: if the network does not fit the data, if a user's function does not return a
            network for these data, or if `weights` belong to another network.
    """
    _check_data_fit(network, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if network.kind in _BUILDERS:
            model = _BUILDERS[network.kind](network, data, _with_own_random_state(activation))
            return _initialized(network, model, weights)
        make, takes_activation = _network_function(network, data, weights)
        if takes_activation:
            with errors.note_on_error(lambda: _FACTORY_NOTE.format(kind=network.kind)):
                model = make(_with_own_random_state(activation))
            return _checked_outputs(network.kind, _initialized(network, model, weights), data)
        model = _checked_outputs(network.kind, _initialized(network, make(), weights), data)
        sample = data.to_inputs(data.x_train[:_CALIBRATION_SAMPLES])
        return replace_activations(model, sample, activation, f"network.kind {network.kind}")


def head_names(kind: str, model: nn.Module) -> tuple[str, ...]:
    """Return the names of the modules in a network's head, which computes the outputs.

    The head depends on the kind of the network:

    * networks of `hinged.lab.networks.vision`: the modules that `VisionNetwork.head` lists;
    * `bypass-mlp`: the linear layers `output` and `bypass`;
    * detectors: the last convolution;
    * all other networks: the last `nn.Linear`.

    Args:
        kind: the kind of the network (`NetworkSettings.kind`).
        model: the network.

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
    """Raise an error if there is no network of this kind.

    The form `file.py:function` is accepted without loading the file.

    Args:
        kind: the kind of a network (`NetworkSettings.kind`).

    Raises:
        UnknownNameError: if the kind is not in `NETWORK_KINDS`, not a network `timm:NAME` of timm,
            and not of the form `file.py:function`.
        MissingExtraError: if the kind is `timm:NAME` and timm is not installed.
    """
    if vision.is_vision_network(kind):
        vision.find_vision_network(kind)
    elif kind not in NETWORK_KINDS and not names_function(kind):
        also = ", or timm:NAME or my.py:make_net"
        raise errors.unknown_name("network.kind", kind, NETWORK_KINDS, also)


def _check_data_fit(network: NetworkSettings, data: DataSet) -> None:
    """Raise an error if a network cannot be trained on a data set.

    The network must accept the samples, and its outputs must have the form of the targets.
    """
    kind, call = network.kind, f"network.kind {network.kind}"
    if names_function(kind):
        return
    if (kind in DETECTORS) != data.problem.predicts_per_cell:
        suitable = [n for n in NETWORK_KINDS if (n in DETECTORS) == data.problem.predicts_per_cell]
        unit = "cell of a grid" if data.problem.predicts_per_cell else "sample"
        got = f"the data set {data.name}, which needs one prediction for each {unit}"
        hint = f"choose another data set, or one of these networks: {', '.join(suitable)}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    shape = data.sample_shape
    if kind not in ("mlp", "bypass-mlp") and len(shape) != 3:
        hint = f"a {kind} needs images: use `network.kind mlp`"
        got = f"the data set {data.name}, whose samples have the shape {shape}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    if (kind == "cnn" or kind in DETECTORS) and min(shape[1:]) < 2**network.depth:
        hint = "every block halves height and width: use fewer blocks"
        got = f"{network.depth} blocks on images of {shape[1]} x {shape[2]} pixels"
        raise errors.ArgumentError(errors.message("network.depth", got, hint))


def _with_own_random_state(activation: ActivationFactory) -> ActivationFactory:
    """Return a factory of the same activations that leaves torch's random state unchanged.

    Otherwise, an activation with random initial values would change the weights of later layers.
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
    """Return an MLP with `depth` hidden layers of `width` units each."""
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
    """Return an MLP with `width` hidden units and a linear path from the inputs to the outputs.

    `hinged.optim.net_control` scales the hidden weights. The input of each hidden unit's activation
    then has mean 0.5 and standard deviation 1 on the training split.
    """
    if data.x_train.dim() != 2 or network.depth != 1 or network.batch_norm:
        got = f"the data set {data.name}, network.depth={network.depth}"
        got += f" and network.batch_norm={network.batch_norm}"
        hint = "this network needs a table and one hidden layer without batch normalisation: "
        hint += "otherwise use `network.kind mlp`"
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
    """Return a CNN of `depth` VGG blocks and a linear head.

    A block consists of convolution, activation, convolution, activation and max-pooling. The first
    block has `width` filters in each convolution. Each later block has twice the filters of the
    previous block.

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


_NETWORK_ARGUMENTS = (
    "it is called without arguments, or with one: a function that makes an activation. Give all "
    "other arguments a default"
)


_FACTORY_NOTE = (
    "{kind} has an argument, so it was called with a function that makes an activation: "
    "activation(channels). If the network needs no such function, remove the argument."
)


def _network_function(
    network: NetworkSettings, data: DataSet, weights: PretrainedWeights | None
) -> tuple[Callable[..., nn.Module], bool]:
    """Return a function that makes a network, and whether it takes the factory of activations.

    Some networks of `hinged.lab.networks.vision` have other layers for small images. The image size
    is the size that the weights were trained on. Without weights, it is the image size of `data`.

    Args:
        network: kind of the network: a user's function or a network of
            `hinged.lab.networks.vision`.
        data: the data set to train on.
        weights: pretrained weights, or None.
    """
    if names_function(network.kind):
        make = user_code.load_function("network.kind", network.kind)
        parameters = inspect.signature(make).parameters.values()
        takes_activation = any(
            each.name == "activation" or is_required(each) for each in parameters
        )
        given = ["the factory of activations"] if takes_activation else []
        user_code.check_call(f"network.kind {network.kind}", make, _NETWORK_ARGUMENTS, *given)
        return make, takes_activation
    side = weights.side if weights is not None and weights.side else min(data.sample_shape[1:])
    definition = vision.find_vision_network(network.kind)
    return lambda: definition.make(data.outputs, side), False


def _checked_outputs(kind: str, model: nn.Module, data: DataSet) -> nn.Module:
    """Return the network, or raise an error if its outputs have the wrong shape for the data."""
    call, sample = f"network.kind {kind}", data.to_inputs(data.x_train[:2])
    if not isinstance(model, nn.Module):
        hint = "the function must return an nn.Module"
        got = f"an object of class {type(model).__name__}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    outputs = _outputs(kind, model.eval(), sample)
    axes = 4 if data.problem.predicts_per_cell else 2
    if outputs.shape[:2] != (2, data.outputs) or outputs.dim() != axes:
        expected = ", ".join(("2", str(data.outputs), "rows", "columns")[:axes])
        got = f"outputs of shape {tuple(outputs.shape)} for 2 samples"
        hint = f"the data set {data.name} needs outputs of shape ({expected})"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return model.train()


@torch.no_grad()
def _outputs(kind: str, model: nn.Module, sample: Tensor) -> Tensor:
    shape = " x ".join(map(str, sample.shape[1:]))
    note = f"The network of {kind} was called with 2 samples of shape {shape}."
    try:
        with errors.note_on_error(lambda: note):
            return model(sample)  # type: ignore[no-any-return]
    except RuntimeError as error:
        if names_function(kind):
            raise  # The error comes from the user's code.
        reason = str(error).splitlines()[0]
        got = f"images of shape {shape}, which this network cannot process ({reason})"
        hint = "give larger images, or resize them with `network.image_size`"
        raise errors.ArgumentError(errors.message(f"network.kind {kind}", got, hint)) from None


_BUILDERS: dict[str, Callable[[NetworkSettings, DataSet, ActivationFactory], nn.Module]] = {
    "bypass-mlp": _bypass_mlp,
    "cnn": _shallow_cnn,
    "mlp": _mlp,
    **DETECTORS,
}
"""The functions that build a network with a given activation, by the kind of the network."""

NETWORK_KINDS = (*_BUILDERS, *vision.NETWORKS)
"""The built-in kinds of networks. Other kinds are `timm:NAME` and `file.py:function`."""
