"""Snapshots of the learned curves of a network, with histograms of their inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hinged.curve import TAILS, Curve
from hinged.model.observation.batches import Batches
from hinged.model.observation.layer_statistics import collect_custom_statistics
from hinged.model.observation.mergeable import Mergeable
from hinged.nn import PiecewiseLinear

_BINS = 80
_BATCH_SIZE = 100


class CurveSnapshot(NamedTuple):
    """The learned curves of one layer, with a histogram of the layer's inputs.

    Attributes:
        name: the name of the layer in the network.
        curve: the learned curves, one for each channel or one for all channels.
        edges: edges of the `B` bins of the histogram, `(B + 1,)`.
        counts: number of inputs in each bin, over all channels, `(B,)`.
        outside: share of the inputs below the first or above the last hinge, from 0 to 1.
    """

    name: str
    curve: Curve
    edges: Tensor
    counts: Tensor
    outside: float


@dataclass(frozen=True, eq=False)
class _InputHistogram(Mergeable):
    """The histogram of a layer's inputs, over all channels.

    The histogram has 80 bins. The first bin starts below the first hinge, and the last bin ends
    above the last hinge. Both distances are a quarter of the distance between the first and the
    last hinge. Inputs outside the bins are not counted in `counts`. `hinged.model.Histogram` has
    other bins: their width is a power of two, and they cover all inputs.

    Attributes:
        edges: edges of the bins, `(81,)`.
        counts: number of inputs in each bin, `(80,)`.
        outside: number of inputs below the first or above the last hinge.
        total: number of all inputs.
    """

    edges: Tensor
    counts: Tensor
    outside: Tensor
    total: Tensor

    @classmethod
    def of(cls, layer: PiecewiseLinear, inputs: Tensor, _outputs: Tensor) -> _InputHistogram:
        """Return the histogram of a layer's inputs in one forward pass."""
        low, high = layer.hinges.min(), layer.hinges.max()
        margin = (high - low) / 4
        ends = float(low - margin), float(high + margin)
        counts, edges = torch.histogram(inputs.float().flatten(), _BINS, range=ends)
        outside = ((inputs < low) | (inputs > high)).sum()
        return cls(edges, counts, outside, torch.tensor(inputs.numel()))

    def merge(self, other: _InputHistogram) -> _InputHistogram:
        """Return the histogram of the inputs in `self` and `other` together."""
        return _InputHistogram(
            self.edges,
            self.counts + other.counts,
            self.outside + other.outside,
            self.total + other.total,
        )


def snapshot_tensors(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the curves of a network and the histograms of their inputs, as named tensors.

    `read_snapshots` makes snapshots from these tensors.

    Args:
        model: the trained network.
        x: inputs of the network for `N` samples, `(N, ...)`.

    Returns:
        Tensors by name. Each `PiecewiseLinear` called `NAME` in the network has the tensors
        `NAME.place` (its number in the order of the forward pass), `NAME.hinges`, `NAME.values`,
        `NAME.tails`, `NAME.edges`, `NAME.counts` and `NAME.outside`, and `NAME.tail_slopes` if its
        tails are `free`. The dictionary is empty if the network has no curves.
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, PiecewiseLinear)}
    if not layers:
        return {}
    batches = Batches(list(x.split(_BATCH_SIZE)), "snapshot_tensors")
    histograms = collect_custom_statistics(model, batches, _InputHistogram.of)
    tensors: dict[str, Tensor] = {}
    for place, (name, histogram) in enumerate(histograms.items()):
        layer = layers[name]
        parts = {
            "place": torch.tensor(place),
            "hinges": layer.hinges,
            "values": layer.values,
            "tails": layer.get_extra_state(),
            "edges": histogram.edges,
            "counts": histogram.counts,
            "outside": histogram.outside / histogram.total.double(),
        }
        if layer.tail_slopes is not None:
            parts["tail_slopes"] = layer.tail_slopes
        for part, tensor in parts.items():
            tensors[f"{name}.{part}"] = tensor.detach().contiguous().clone()
    return tensors


def read_snapshots(tensors: dict[str, Tensor]) -> Iterator[CurveSnapshot]:
    """Yield one snapshot for each layer of curves.

    Args:
        tensors: the tensors that `snapshot_tensors` returned.

    Yields:
        The snapshots, in the order of the forward pass. Tensors of older runs do not contain this
        order; their snapshots are sorted by the names of the layers, layer `2` before layer `10`.
    """
    names = [name.removesuffix(".hinges") for name in tensors if name.endswith(".hinges")]
    names.sort(key=_numeric_order)
    names.sort(key=lambda name: int(tensors.get(f"{name}.place", 0)))
    for name in names:
        curve = Curve(
            tensors[f"{name}.hinges"],
            tensors[f"{name}.values"],
            TAILS[int(tensors[f"{name}.tails"])],
            tensors.get(f"{name}.tail_slopes"),
        )
        outside = tensors[f"{name}.outside"].item()
        yield CurveSnapshot(
            name, curve, tensors[f"{name}.edges"], tensors[f"{name}.counts"], outside
        )


def _numeric_order(name: str) -> list[tuple[int, str]]:
    """Return a sort key that compares numbers in names by value: `2` is before `10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
