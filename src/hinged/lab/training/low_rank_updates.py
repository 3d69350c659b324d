"""LoRA: frozen weights that are trained by adding a matrix of low rank to each of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from hinged.lab.networks.activations import TRAINABLE_ACTIVATIONS

_ADAPTED_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class LowRankUpdate(nn.Module):
    """A trained update of a frozen weight: `W + B A`, where `B A` has a low rank.

    The weight `W` of a linear layer is a matrix of `M` rows (outputs) and `P` columns (inputs). The
    weight of a convolution is used as the matrix with one row per filter, so `P` is the number of
    input channels of a group times the size of the kernel. `B` is `(M, R)` and starts at 0, so the
    layer starts as the same function. `A` is `(R, P)` and starts with normal random numbers of
    variance `1 / P`. `B A` is not scaled.

    Sources: Hu et al., "LoRA: low-rank adaptation of large language models" (ICLR 2022), for linear
    layers. Convolutions are treated as in the comparison with LoRA in Hu, Gamba and Balestriero,
    "Curvature tuning" (NeurIPS 2025). There, `A` starts at 0 and `B` with random numbers.

    Args:
        weight: the weight `W`, `(M, ...)`.
        rank: the rank `R`.
        generator: the source of the random numbers.

    >>> weight = torch.randn(4, 3, 5, 5)
    >>> update = LowRankUpdate(weight, 1, torch.Generator())
    >>> torch.equal(update(weight), weight), update.a.shape, update.b.shape
    (True, torch.Size([1, 75]), torch.Size([4, 1]))
    """

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = len(weight), weight[0].numel()
        start = torch.randn(rank, columns, generator=generator) / math.sqrt(columns)
        self.a = nn.Parameter(start.to(weight))
        self.b = nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the updated weight, in the shape of `weight`."""
        return weight + (self.b @ self.a).view(weight.shape)


def add_low_rank_updates(model: nn.Module, rank: int, head: Sequence[str], seed: int) -> nn.Module:
    """Add a `LowRankUpdate` to the weight of each linear layer and convolution of a network.

    Layers of the head and layers inside activations get no update. The weights themselves are
    frozen.

    Args:
        model: the network. It is changed in place.
        rank: the rank of each update.
        head: names of the modules in the head, which computes the outputs.
        seed: decides the random initial values.

    Returns:
        The network.

    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> model = add_low_rank_updates(model, 1, ["2"], 0)
    >>> [name for name, _ in model.named_parameters() if name.endswith((".a", ".b"))]
    ['0.parametrizations.weight.0.a', '0.parametrizations.weight.0.b']
    """
    activations = [m for m in model.modules() if isinstance(m, TRAINABLE_ACTIVATIONS)]
    parts = [*activations, *(model.get_submodule(name) for name in head)]
    left_out = {id(module) for part in parts for module in part.modules()}
    generator = torch.Generator().manual_seed(seed)
    for layer in list(model.modules()):
        if isinstance(layer, _ADAPTED_LAYERS) and id(layer) not in left_out:
            layer.weight.requires_grad_(False)
            update = LowRankUpdate(layer.weight, rank, generator)
            parametrize.register_parametrization(layer, "weight", update)
    return model


def merge_low_rank_updates(model: nn.Module) -> nn.Module:
    """Replace each weight that has a `LowRankUpdate` by the updated weight.

    The network then has its original layers and names of parameters, and computes the same
    function.

    Args:
        model: the network. It is changed in place.

    Returns:
        The network.
    """
    for layer in list(model.modules()):
        if isinstance(layer, _ADAPTED_LAYERS) and parametrize.is_parametrized(layer, "weight"):
            updates = layer.parametrizations["weight"]  # type: ignore[index]
            if isinstance(updates[0], LowRankUpdate):
                parametrize.remove_parametrizations(layer, "weight")
    return model
