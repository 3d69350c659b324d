"""What a model's curves do with its data: which units are dead, which hinges are used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from hinged import errors
from hinged.curve import Curve, distance, lipschitz, native_distances
from hinged.model.advice import Advice, advice
from hinged.model.tables import aligned
from hinged.model.watch import Seen, watch
from hinged.nn import PiecewiseLinear, curve_layers

CALL = "hinged.diagnose"
_HEAD = (
    "layer",
    "channels",
    "hinges",
    "dead",
    "dormant",
    "lines hit",
    "outside",
    "Lipschitz",
    "drift",
    "nearest",
)


@dataclass(frozen=True, eq=False)
class LayerDiagnosis:
    """What is known of one layer of curves, by channel.

    Attributes:
        curve: its curves when it was looked at.
        seen: what it took in and gave out.
        start: the curves it began as, where they were given.
    """

    curve: Curve
    seen: Seen
    start: Curve | None = None

    @property
    def dead(self) -> Tensor:
        """Channels whose output never changed over the whole data, shape `(C,)`, bool. For a ReLU
        these are the units that never fired."""
        return (self.seen.outputs.count > 0) & (self.seen.outputs.low >= self.seen.outputs.high)

    def dormant(self, threshold: float = 0.025) -> Tensor:
        """Return the channels whose mean absolute output is at most `threshold` of the layer's,
        shape `(C,)`, bool.

        Source: Sokar, Agarwal, Castro and Evci, "The dormant neuron phenomenon in deep
        reinforcement learning" (ICML 2023).
        """
        sizes = self.seen.sizes.mean
        return sizes <= threshold * sizes.mean()

    @property
    def occupancy(self) -> Tensor:
        """Share of the inputs on each line, left tail to right tail, shape `(C, K + 1)`."""
        return self.seen.lines.shares

    @property
    def share_outside(self) -> Tensor:
        """Share of the inputs on the tails, shape `(C,)`."""
        return self.seen.lines.share_outside

    @property
    def lipschitz(self) -> Tensor:
        """Steepest slope, shape `(C,)`."""
        return lipschitz(self.curve)

    @property
    def drift(self) -> Tensor | None:
        """Largest absolute difference from the start over both ranges, shape `(C,)`."""
        return None if self.start is None else distance(self.curve, self.start)

    @property
    def nearest_native(self) -> tuple[str, float]:
        """The native activation that serves all channels best, and its largest error."""
        worst = {name: each.max().item() for name, each in native_distances(self.curve).items()}
        return min(worst.items(), key=lambda item: item[1])

    def figures(self) -> dict[str, int | float | str | None]:
        """Return one figure for each column of the table: counts, shares, largest values."""
        name, error = self.nearest_native
        return {
            "channels": self.curve.channels,
            "hinges": self.curve.values.shape[1],
            "dead": int(self.dead.sum()),
            "dormant": self.dormant().double().mean().item(),
            "lines_hit": (~self.seen.lines.never_hit).double().mean().item(),
            "outside": self.share_outside.mean().item(),
            "lipschitz": self.lipschitz.max().item(),
            "drift": None if self.drift is None else self.drift.max().item(),
            "nearest_native": name,
            "native_error": error,
        }


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What is known of a model's curves; `str` of it is a table, with advice below.

    Attributes:
        layers: by the layer's name in the model.
        unreached: names of the layers that no data reached.
    """

    layers: dict[str, LayerDiagnosis]
    unreached: tuple[str, ...] = ()

    def figures(self) -> dict[str, dict[str, int | float | str | None]]:
        """Return the figures of every layer, ready for a logger or for JSON."""
        return {name: layer.figures() for name, layer in self.layers.items()}

    @property
    def advice(self) -> tuple[Advice, ...]:
        """Signs that something is wrong, each with what to do; empty where nothing is."""
        return tuple(each for name, layer in self.layers.items() for each in advice(name, layer))

    def __str__(self) -> str:
        rows = [_HEAD, *(_cells(name, figures) for name, figures in self.figures().items())]
        lines = [aligned(rows), *(f"{each.text}." for each in self.advice)]
        if self.unreached:
            lines.append(f"No data reached: {', '.join(self.unreached)}.")
        return "\n".join(lines)


def diagnose(model: nn.Module, data: Any, *, start: Mapping[str, Curve] | None = None) -> Diagnosis:
    """Return what the curves of a model do with data, by layer and channel.

    The model runs over the data once, as it is, in training or in evaluation mode, without
    gradients; parameters, BatchNorm statistics, training flags and random state stay as they were,
    and memory does not grow with the data.

    Args:
        model: any module with `PiecewiseLinear` layers.
        data: one batch (a tensor, a pair of inputs and targets, or a dictionary of keyword
            arguments), or an iterable of such batches, as a DataLoader is.
        start: the curves before training, from `hinged.curves`, for the drift.

    Raises:
        ArgumentError: a model without curves, no data, or a start with other layers.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> model = nn.Sequential(nn.Linear(2, 4), PiecewiseLinear(4), nn.Linear(4, 1))
    >>> with torch.no_grad():
    ...     model[0].bias[1] = -1e6
    >>> found = diagnose(model, torch.randn(100, 2), start=curves(model))
    >>> found.layers["1"].dead.tolist(), found.figures()["1"]["drift"]
    ([False, True, False, False], 0.0)
    """
    layers = curve_layers(model, CALL)
    check_start(layers, start)
    return diagnosis(layers, watch(model, data, CALL), start)


def check_start(layers: Mapping[str, nn.Module], start: Mapping[str, Curve] | None) -> None:
    """Raise `ArgumentError` unless `start` is None or has the curves of these layers."""
    if start is not None and start.keys() != layers.keys():
        came = f"curves of {sorted(start.keys() ^ layers.keys())} in one and not in the other"
        cure = "take start from hinged.curves(model) of this model"
        raise errors.ArgumentError(errors.sentence(f"{CALL}(start=...)", came, cure))


def diagnosis(
    layers: Mapping[str, PiecewiseLinear],
    seen: Mapping[str, Seen],
    start: Mapping[str, Curve] | None,
) -> Diagnosis:
    """Return what is known of layers, by what they have seen."""
    began = {} if start is None else start
    found = {
        name: LayerDiagnosis(layer.curve().snapshot(), seen[name], began.get(name))
        for name, layer in layers.items()
        if name in seen
    }
    return Diagnosis(found, tuple(name for name in layers if name not in found))


def curves(model: nn.Module) -> dict[str, Curve]:
    """Return copies of the present curves of a model, on the CPU, by the layer's name.

    >>> curves(nn.Sequential(nn.Linear(2, 4), PiecewiseLinear(4)))["1"].values.shape
    torch.Size([4, 9])
    """
    layers = curve_layers(model, "hinged.curves")
    return {name: layer.curve().snapshot() for name, layer in layers.items()}


def _cells(name: str, figures: dict[str, Any]) -> tuple[str, ...]:
    drift = "" if figures["drift"] is None else f"{figures['drift']:.3g}"
    shares = (f"{figures[key]:.1%}" for key in ("dormant", "lines_hit", "outside"))
    nearest = f"{figures['nearest_native']} +- {figures['native_error']:.2g}"
    counts = (str(figures[key]) for key in ("channels", "hinges", "dead"))
    return (name or "(itself)", *counts, *shares, f"{figures['lipschitz']:.3g}", drift, nearest)
