"""`PackedNetwork`: networks of the same layers that are trained together.

A small network on small batches takes more time to start operations than to compute. Eight networks
in one take about twice the time of one.

Source: Gorishniy et al., "TabM: advancing tabular deep learning with parameter-efficient
ensembling" (ICLR 2025) trains ensembles in one network, too. There, the networks share most
weights; here, they share none.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hinged.curve import Curve
from hinged.nn import PiecewiseLinear
from hinged.nn.constraints import copy_constraint
from hinged.sklearn.curve_groups import CurvesOfColumns
from hinged.sklearn.ordered_layers import OrderedLinear


class PackedNetwork(nn.Module):
    """Several networks of the same layers, with inputs of their own, as one network.

    The parameters have the networks along their first axis. If the loss is the sum of the losses of
    the networks, each has the gradients that it would have alone. The curves of a layer share the
    scale of their inputs in their metric (`hinged.curve.metric.input_scale`): all networks have the
    scale that belongs to the mean of their variances.

    Args:
        networks: the networks: linear layers, activations without parameters, and curves with one
            curve for each unit.

    >>> networks = [nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)) for _ in range(3)]
    >>> inputs = torch.randn(15, 2)
    >>> outputs = PackedNetwork(networks)(inputs)
    >>> torch.allclose(outputs[1::3], networks[1](inputs[1::3]), atol=1e-6)
    True
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.count = len(networks)
        # A list of a list: torch would register modules that are attributes themselves.
        self._unpacked = [list(networks)]
        self.layers = nn.Sequential(
            *map(_pack, zip(*map(nn.Module.children, networks), strict=True))
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs, `(rows * networks, outputs)`.

        Args:
            inputs: rows for the networks in turn, `(rows * networks, features)`: the first row is
                for the first network, the second row for the second, and so on.
        """
        rows = inputs.view(-1, self.count, inputs.shape[1])
        outputs: Tensor = self.layers(rows).flatten(0, 1)
        return outputs

    @torch.no_grad()
    def unpack(self) -> list[nn.Module]:
        """Return the networks, with the present parameters."""
        networks = self._unpacked[0]
        parameters = [list(network.parameters()) for network in networks]
        for packed, *singles in zip(self.parameters(), *parameters, strict=True):
            for part, single in zip(packed.chunk(self.count), singles, strict=True):
                single.copy_(part.view_as(single))
        return networks


def _pack(layers: Sequence[Any]) -> nn.Module:
    """Return one layer for the same layer of several networks."""
    if isinstance(layers[0], nn.Linear):
        return _PackedLinear(layers)
    if isinstance(layers[0], PiecewiseLinear):
        return _PackedCurves(layers)
    if isinstance(layers[0], CurvesOfColumns):
        return _PackedGroups(layers)
    assert isinstance(layers[0], nn.Module)
    return layers[0]


class _PackedLinear(nn.Module):
    """Linear layers, for inputs `(rows, networks, features)`.

    The weights are `(networks, outputs, inputs)` and the biases `(networks * outputs,)`.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.count = len(layers)
        self.weight = nn.Parameter(torch.stack([each.weight.detach() for each in layers]))
        self.bias = nn.Parameter(torch.cat([each.bias.detach() for each in layers]))
        first = layers[0]
        self.signs = first.signs if isinstance(first, OrderedLinear) else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, `(rows, networks, outputs)`."""
        weight: Tensor = self.signs(self.weight)
        bias = self.bias.view(self.count, 1, -1)
        return torch.baddbmm(bias, x.transpose(0, 1), weight.mT).transpose(0, 1)


class _PackedCurves(nn.Module):
    """Curves of several networks in one layer, for inputs `(rows, networks, units)`."""

    def __init__(self, layers: Sequence[PiecewiseLinear]) -> None:
        super().__init__()
        first = layers[0]
        values = torch.cat([each.values.detach() for each in layers])
        hinges: Tensor = first.hinges.clone()
        if not all(torch.equal(each.hinges, hinges) for each in layers) or hinges.dim() == 2:
            hinges = torch.cat([each.hinges.expand_as(each.values) for each in layers])
        curves = PiecewiseLinear(len(values), init="identity", dim=-1, tails=first.tails)
        self.curves = curves.to(values)
        self.curves.set_curve(Curve(hinges, values, first.tails))
        copy_constraint(first, self.curves)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the curves, `(rows, networks, units)`."""
        outputs: Tensor = self.curves(x.flatten(1)).view(x.shape)
        return outputs


class _PackedGroups(CurvesOfColumns):
    """Groups of curves of several networks, for inputs `(rows, networks, columns)`."""

    def __init__(self, layers: Sequence[CurvesOfColumns]) -> None:
        nn.Module.__init__(self)
        self.columns, self.order = layers[0].columns, layers[0].order
        groups = zip(*(each.layers for each in layers), strict=True)
        self.layers = nn.ModuleList(_PackedCurves(group) for group in groups)
