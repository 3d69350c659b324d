"""The networks of the estimators, and their parameters as arrays."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hinged.nn import PiecewiseLinear
from hinged.optim import MLP
from hinged.sklearn.constrained_network import TwoClasses, constrained_layers
from hinged.sklearn.feature_shapes import FeatureShape, has_limits
from hinged.sklearn.input_curves import InputCurves

FIXED_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "hardswish": nn.Hardswish,
    "identity": nn.Identity,
    "leaky_relu": nn.LeakyReLU,
    "logistic": nn.Sigmoid,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
"""The activations without trained parameters, by the names that the estimators accept."""

CURVES = "hinged"
"""The name of the activation with trained curves."""

ACTIVATIONS = (CURVES, *FIXED_ACTIVATIONS)

_RANDOM_STATE_IN_USE = threading.Lock()
"""First weights are random numbers of torch, whose state all threads share."""

Parameters = dict[str, NDArray[np.float64]]
"""The state of a network: arrays by their names in its `state_dict`."""


@dataclass(frozen=True)
class Architecture:
    """The layers of a network.

    Attributes:
        sizes: number of inputs, of units in each hidden layer, and of outputs.
        activation: a name in `ACTIVATIONS`.
        hinges: number of hinges of each curve. Fixed activations do not use it.
        bypass: whether the outputs are also linear in the inputs, as the second-order methods of
            `hinged.optim` need it. The network then has one hidden layer.
        shapes: the constraint on each input, which then has a curve of its own. Empty for a network
            without curves of inputs.
        logit: whether the one output is the logarithm of the odds of the second of two classes. The
            network then returns outputs for both.
    """

    sizes: tuple[int, ...]
    activation: str
    hinges: int
    bypass: bool = False
    shapes: tuple[FeatureShape, ...] = ()
    logit: bool = False

    @property
    def has_curves(self) -> bool:
        """Whether the network has curves: those of hidden units, or those of inputs."""
        return (self.activation == CURVES and len(self.sizes) > 2) or bool(self.shapes)

    def build(self) -> nn.Module:
        """Return a network with random weights, in the default dtype of torch.

        >>> Architecture((4, 8, 1), "relu", 9).build()(torch.zeros(5, 4)).shape
        torch.Size([5, 1])
        """
        if self.bypass:
            inputs, hidden, outputs = self.sizes
            dtype = torch.get_default_dtype()
            return MLP(inputs, hidden, outputs, self._activation(hidden), dtype=dtype)
        layers: list[nn.Module] = []
        if self.shapes:
            layers.append(InputCurves(self.shapes, self.hinges))
        if has_limits(self.shapes):
            layers += constrained_layers(self.shapes, self.sizes, self.hinges)
        else:
            for inputs, units in zip(self.sizes[:-2], self.sizes[1:-1], strict=True):
                layers += [nn.Linear(inputs, units), self._activation(units)]
            layers.append(nn.Linear(self.sizes[-2], self.sizes[-1]))
        return nn.Sequential(*layers, *([TwoClasses()] if self.logit else []))

    def build_all(self, seeds: Sequence[int]) -> list[nn.Module]:
        """Return a network for each seed, with random weights that the seed decides.

        The random state of torch does not change.
        """
        networks: list[nn.Module] = []
        with _RANDOM_STATE_IN_USE, torch.random.fork_rng(devices=[]):
            for seed in seeds:
                torch.manual_seed(seed)
                networks.append(_copy_anew(networks[0]) if networks else self.build())
        return networks

    def restore(self, parameters: Mapping[str, NDArray[np.float64]]) -> nn.Module:
        """Return the network with the given parameters, in float64 and in evaluation mode."""
        return self.restore_all([parameters])[0]

    def restore_all(self, several: Iterable[Mapping[str, NDArray[np.float64]]]) -> list[nn.Module]:
        """Return networks with the given parameters, in float64 and in evaluation mode.

        The random state of torch does not change.

        Raises:
            ValueError: if the parameters are too small for this architecture. Nothing is allocated
                then.
            RuntimeError: if they do not fit it in another way.
        """
        networks: list[nn.Module] = []
        for parameters in several:
            if not self._may_have(parameters):
                raise ValueError("the parameters are smaller than the layers")
            network = copy.deepcopy(networks[0]) if networks else self._build_in_float64()
            network.load_state_dict({name: torch.from_numpy(a) for name, a in parameters.items()})
            networks.append(network)
        return networks

    def _build_in_float64(self) -> nn.Module:
        with _RANDOM_STATE_IN_USE, torch.random.fork_rng(devices=[]):
            return self.build().double().eval()

    def _may_have(self, parameters: Mapping[str, NDArray[np.float64]]) -> bool:
        """Whether the parameters have as many numbers and hinges as the layers need at least."""
        weights = sum(inputs * outputs for inputs, outputs in itertools.pairwise(self.sizes))
        given = sum(array.size for array in parameters.values())
        widest = max((array.shape[-1] for array in parameters.values() if array.ndim), default=0)
        return (
            min(self.sizes) > 0
            and weights <= given
            and not (self.has_curves and self.hinges > widest)
        )

    def _activation(self, units: int) -> nn.Module:
        if self.activation == CURVES:
            return PiecewiseLinear(units, self.hinges, dim=-1)
        return FIXED_ACTIVATIONS[self.activation]()


def _copy_anew(network: nn.Module) -> nn.Module:
    """Return a copy of a network with new random weights.

    To build a network takes several times as long as to copy one.
    """
    network = copy.deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            layer.reset_parameters()
    return network


@torch.no_grad()
def ignore_inputs(network: nn.Module, ignored: torch.Tensor) -> None:
    """Set the weights of some inputs to 0 in place, so that outputs do not depend on them.

    Args:
        network: a network that `Architecture.build` has returned.
        ignored: whether an input is ignored, `(features,)`.

    >>> network = Architecture((2, 8, 1), "relu", 9).build()
    >>> ignore_inputs(network, torch.tensor([True, False]))
    >>> bool(network(torch.tensor([[1.0, 2.0]])) == network(torch.tensor([[5.0, 2.0]])))
    True
    """
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    first = [network.hidden, network.bypass] if isinstance(network, MLP) else linear[:1]
    for layer in first:
        layer.weight[:, ignored] = 0


def parameters_of(network: nn.Module) -> Parameters:
    """Return copies of the parameters and buffers of a network in float64.

    >>> sorted(parameters_of(nn.Linear(2, 3)))
    ['bias', 'weight']
    """
    state = network.state_dict()
    return {name: tensor.detach().cpu().double().numpy().copy() for name, tensor in state.items()}
