"""`CurvesOfColumns`: a layer of curves, in groups of columns that share a constraint."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from hinged.sklearn.ordered_layers import OrderedCurves

Kind = TypeVar("Kind", bound=Hashable)


class CurvesOfColumns(nn.Module):
    """A layer of one curve for each column, with a layer inside for each kind of columns.

    Args:
        kinds: the kind of each column.
        make: returns the curves of a group, for the kind and the number of columns.
    """

    def __init__(self, kinds: Sequence[Kind], make: Callable[[Kind, int], OrderedCurves]) -> None:
        super().__init__()
        groups: dict[Kind, list[int]] = {}
        for column, kind in enumerate(kinds):
            groups.setdefault(kind, []).append(column)
        self.columns = [torch.tensor(columns) for columns in groups.values()]
        self.order = torch.cat(self.columns).argsort()
        self.layers = nn.ModuleList(make(kind, len(each)) for kind, each in groups.items())

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs of the curves, `(..., columns)`, for inputs of this shape."""
        groups = zip(self.layers, self.columns, strict=True)
        parts = [layer(x[..., columns.to(x.device)]) for layer, columns in groups]
        return torch.cat(parts, dim=-1)[..., self.order.to(x.device)]

    def groups(self) -> Iterator[tuple[OrderedCurves, Tensor]]:
        """Yield the curves of each group and the numbers of their columns."""
        for layer, columns in zip(self.layers, self.columns, strict=True):
            assert isinstance(layer, OrderedCurves)
            yield layer, columns
