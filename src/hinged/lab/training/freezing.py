"""Freezing of parts of a network, and the evaluation mode of frozen layers."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hinged.lab.networks.activations import activation_parameters
from hinged.model import train_only
from hinged.model.adaptation.model_parts import norm_layers

EVERYTHING = "everything"


def freeze(model: nn.Module, trains: str, head: Sequence[str]) -> nn.Module:
    """Freeze all parameters of a network except those of the parts in `trains`.

    Args:
        model: the network. `requires_grad` of its parameters is set.
        trains: the parts to train. `everything` leaves the network unchanged. All other values are
            names joined by `+`, for example `head+curves+norm`. `head` means the modules in the
            argument `head`. `curves` means the parameters of activations, except those that are
            frozen already. `norm` means weights and biases of normalisation layers. `biases` means
            the biases of all layers, including normalisation layers (BitFit: Ben Zaken, Goldberg
            and Ravfogel, ACL 2022). `lora` names parameters that are added later.
        head: names of the modules in the head, which computes the outputs.

    Returns:
        The network.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.PReLU(), nn.Linear(3, 1))
    >>> [p.requires_grad for p in freeze(model, "head+curves", ["2"]).parameters()]
    [False, False, True, True, True]
    """
    if trains == EVERYTHING:
        return model
    parts = trains.split("+")
    activations = activation_parameters(model)
    also = [p for p in activations if p.requires_grad and "curves" in parts]
    if "biases" in parts:
        own = {id(parameter) for parameter in activations}
        named = model.named_parameters()
        also += [p for name, p in named if name.endswith("bias") and id(p) not in own]
    train_only(model, curves=False, head=head, norm="norm" in parts)
    for parameter in also:
        parameter.requires_grad_()
    return model


def set_training_mode(model: nn.Module, training: bool = True) -> nn.Module:
    """Set the training or evaluation mode of a network, and return the network.

    Normalisation layers with only frozen parameters are always set to evaluation mode. Their
    running statistics then stay unchanged. All other layers get the mode that `training` selects.

    Args:
        model: the network. Its mode is changed in place.
        training: True for training mode, False for evaluation mode.

    >>> norm = nn.BatchNorm1d(2).requires_grad_(False)
    >>> set_training_mode(nn.Sequential(nn.Linear(2, 2), norm))[1].training
    False
    """
    model.train(training)
    for layer in norm_layers(model).values():
        parameters = list(layer.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            layer.eval()
    return model
