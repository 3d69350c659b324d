"""The learned curves of a network and the histograms of their inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hinged.curve import TAILS, Curve
from hinged.model.observation.layer_statistics import collect_custom_statistics
from hinged.model.observation.mergeable import Mergeable
from hinged.nn import PiecewiseLinear

_BINS = 80
_BATCH_SIZE = 100


class CurveSnapshot(NamedTuple):
    """One trained activation.

    Attributes:
        name: the name of the layer in the network.
        curve: the learned curves.
        edges: bin edges of the histogram of the inputs, `(B + 1,)`.
        counts: number of inputs in each bin, over all channels, `(B,)`.
        outside: share of the inputs below the first or above the last hinge.
    """

    name: str
    curve: Curve
    edges: Tensor
    counts: Tensor
    outside: float


@dataclass(frozen=True, eq=False)
class _InputHistogram(Mergeable):
    """Histogram of a layer's inputs, the number outside the range, and the total number.

    Run folders and pages have 80 bins that cover the range of the hinges and a quarter of it on
    both sides. `hinged.model.Histogram` has bins whose width is a power of two and that cover all
    inputs, so it cannot give these counts.
    """

    edges: Tensor
    counts: Tensor
    outside: Tensor
    total: Tensor

    @classmethod
    def of(cls, layer: PiecewiseLinear, inputs: Tensor, _outputs: Tensor) -> _InputHistogram:
        """Return the histogram of one call."""
        low, high = layer.hinges.min(), layer.hinges.max()
        margin = (high - low) / 4
        ends = float(low - margin), float(high + margin)
        counts, edges = torch.histogram(inputs.float().flatten(), _BINS, range=ends)
        outside = ((inputs < low) | (inputs > high)).sum()
        return cls(edges, counts, outside, torch.tensor(inputs.numel()))

    def merge(self, other: _InputHistogram) -> _InputHistogram:
        """Return the histogram of both together."""
        return _InputHistogram(
            self.edges,
            self.counts + other.counts,
            self.outside + other.outside,
            self.total + other.total,
        )


def snapshot_tensors(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the curves of a trained network and the histograms of their inputs for samples `x`.

    The tensors of each `PiecewiseLinear` are named `LAYER.hinges`, `LAYER.values` and so on.
    `read_snapshots` reads them. The result is empty for a network without curves.
    """
    layers = {n: m for n, m in model.named_modules() if isinstance(m, PiecewiseLinear)}
    if not layers:
        return {}
    batches = list(x.split(_BATCH_SIZE))
    histograms = collect_custom_statistics(model, batches, _InputHistogram.of, "snapshot_tensors")
    tensors: dict[str, Tensor] = {}
    for name, histogram in histograms.items():
        layer = layers[name]
        parts = {
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
    """Yield the layers in the tensors of `snapshot_tensors`, in the order of their names."""
    names = [name.removesuffix(".hinges") for name in tensors if name.endswith(".hinges")]
    for name in sorted(names, key=_numeric_order):
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
    """Return a sort key that orders the numbers in a name by value: `2` before `10`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
