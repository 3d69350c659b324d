"""The diagnosis of one layer: dead units, lines in use, slopes, drift."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from hinged.curve import Curve, distance, distances_to_native, lipschitz
from hinged.model.observation.dormant_units import DORMANT_THRESHOLD, dormant_units
from hinged.model.observation.layer_statistics import LayerStatistics


@dataclass(frozen=True, eq=False)
class LayerDiagnosis:
    """The diagnosis of one layer of curves, by channel.

    Attributes:
        curve: the layer's curves at the time of the diagnosis.
        statistics: statistics of its inputs and outputs.
        start: its curves before training, or None.
    """

    curve: Curve
    statistics: LayerStatistics
    start: Curve | None = None

    @property
    def dead(self) -> Tensor:
        """Channels with the same output for all data, shape `(C,)`, bool.

        For a ReLU these are the units that never fired.
        """
        outputs = self.statistics.outputs
        return (outputs.count > 0) & (outputs.low >= outputs.high)

    def dormant(self, threshold: float = DORMANT_THRESHOLD) -> Tensor:
        """Return the channels with a mean absolute output of at most `threshold` times the layer's.

        Shape `(C,)`, bool. `hinged.model.observation.dormant_units` has the source of this rule.
        """
        return dormant_units(self.statistics.absolute_outputs.mean, threshold)

    @property
    def occupancy(self) -> Tensor:
        """Share of the inputs on each line, left tail to right tail, shape `(C, K + 1)`."""
        return self.statistics.lines.shares

    @property
    def share_outside(self) -> Tensor:
        """Share of the inputs on the tails, shape `(C,)`."""
        return self.statistics.lines.share_outside

    @property
    def lipschitz(self) -> Tensor:
        """Steepest slope, shape `(C,)`."""
        return lipschitz(self.curve)

    @property
    def drift(self) -> Tensor | None:
        """Largest absolute difference from the start over the ranges of both, shape `(C,)`."""
        return None if self.start is None else distance(self.curve, self.start)

    @property
    def nearest_native(self) -> tuple[str, float]:
        """The native activation that is nearest to all channels, and its largest error."""
        worst = {name: each.max().item() for name, each in distances_to_native(self.curve).items()}
        return min(worst.items(), key=lambda item: item[1])

    def figures(self) -> dict[str, int | float | str | None]:
        """Return one number or name for each column of the table."""
        name, error = self.nearest_native
        return {
            "channels": self.curve.channels,
            "hinges": self.curve.values.shape[1],
            "dead": int(self.dead.sum()),
            "dormant": self.dormant().double().mean().item(),
            "lines_hit": (~self.statistics.lines.never_hit).double().mean().item(),
            "outside": self.share_outside.mean().item(),
            "lipschitz": self.lipschitz.max().item(),
            "drift": None if self.drift is None else self.drift.max().item(),
            "nearest_native": name,
            "native_error": error,
        }
