"""Trains only some parts of a network, and sets the mode of the frozen ones."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hinged.lab.networks.activations import activation_parameters
from hinged.model import train_only
from hinged.model.adaptation.model_parts import norm_layers

EVERYTHING = "everything"


def freeze(model: nn.Module, trains: str, head: Sequence[str]) -> nn.Module:
    """Freeze all parts of a network except the named ones, and return the network.

    Args:
        model: the network. This sets `requires_grad` of its parameters.
        trains: `everything`, or some of `head`, `norm` (weights and biases of the normalisation)
            and `curves` (parameters of the activations, if they are trained at all), joined by `+`.
        head: names of the modules of the head.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.PReLU(), nn.Linear(3, 1))
    >>> [p.requires_grad for p in freeze(model, "head+curves", ["2"]).parameters()]
    [False, False, True, True, True]
    """
    if trains == EVERYTHING:
        return model
    parts = trains.split("+")
    curves = [p for p in activation_parameters(model) if p.requires_grad and "curves" in parts]
    train_only(model, curves=False, head=head, norm="norm" in parts)
    for parameter in curves:
        parameter.requires_grad_()
    return model


def set_training_mode(model: nn.Module, training: bool = True) -> nn.Module:
    """Set the mode of a network and return it. Frozen normalisation stays in evaluation mode.

    It keeps its statistics unchanged. Dropout follows `training`.

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
