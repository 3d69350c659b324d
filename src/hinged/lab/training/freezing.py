"""Which parts of a network are trained, and how the others behave meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from hinged.lab.networks.activations import activation_parameters
from hinged.model import train_only
from hinged.model.adaptation.model_parts import norm_layers

EVERYTHING = "everything"


def freeze(model: nn.Module, trains: str, head: Sequence[str]) -> nn.Module:
    """Leave only some parts of a network to be trained, and return it.

    Args:
        model: the network; `requires_grad` of its parameters is set.
        trains: `everything`, or several of `head`, `norm` (weights and biases of the normalisation)
            and `curves` (the parameters of the activations, where they have any that are
            trained), joined by `+`.
        head: names of the modules that give the outputs.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.PReLU(), nn.Linear(3, 1))
    >>> [p.requires_grad for p in freeze(model, "head+curves", ["2"]).parameters()]
    [False, False, True, True, True]
    """
    if trains == EVERYTHING:
        return model
    parts = trains.split("+")
    own = [p for p in activation_parameters(model) if p.requires_grad and "curves" in parts]
    train_only(model, curves=False, head=head, norm="norm" in parts)
    for parameter in own:
        parameter.requires_grad_()
    return model


def set_training(model: nn.Module, training: bool = True) -> nn.Module:
    """Set the mode of a network, and return it, with frozen normalisation left in evaluation mode:
    it normalises by the statistics it has, which then do not drift. Dropout is on as ever.

    >>> norm = nn.BatchNorm1d(2).requires_grad_(False)
    >>> set_training(nn.Sequential(nn.Linear(2, 2), norm))[1].training
    False
    """
    model.train(training)
    for layer in norm_layers(model).values():
        own = list(layer.parameters())
        if own and not any(parameter.requires_grad for parameter in own):
            layer.eval()
    return model
