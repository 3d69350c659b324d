"""The diagnosis of one layer of curves: dead units, pieces with inputs, slopes, change."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from hinged.curve import Curve, distance, distances_to_native, lipschitz
from hinged.curve.metric import input_scale
from hinged.model.observation.dormant_units import DORMANT_THRESHOLD, dormant_units
from hinged.model.observation.layer_statistics import LayerStatistics


@dataclass(frozen=True, eq=False)
class LayerDiagnosis:
    """The diagnosis of one layer with `C` channels and `K` hinges per curve.

    A line of a curve is a piece between two hinges, or one of the two tails outside the hinges.

    Attributes:
        curve: the curves of the layer at the time of the diagnosis.
        statistics: statistics of the inputs and outputs of the layer.
        start: the curves of the layer before training, or None if they were not given.
        trainable: whether the values of the curves require gradients.
    """

    curve: Curve
    statistics: LayerStatistics
    start: Curve | None = None
    trainable: bool = True

    @property
    def dead(self) -> Tensor:
        """Whether each channel had the same output for all data, shape `(C,)`, bool.

        A ReLU unit is dead if its output was always 0.
        """
        outputs = self.statistics.outputs
        return (outputs.count > 0) & (outputs.low >= outputs.high)

    def dormant(self, threshold: float = DORMANT_THRESHOLD) -> Tensor:
        """Return whether the outputs of each channel are small compared with the other channels.

        A channel is dormant if its mean absolute output is at most `threshold` times the mean over
        all channels. `hinged.model.observation.dormant_units` names the source of this rule.

        Args:
            threshold: a fraction of the mean absolute output of the layer.

        Returns:
            A tensor of shape `(C,)`, bool.
        """
        return dormant_units(self.statistics.absolute_outputs.mean, threshold)

    @property
    def occupancy(self) -> Tensor:
        """Fraction of the inputs on each line, from left tail to right tail, shape `(C, K + 1)`."""
        return self.statistics.lines.shares

    @property
    def share_outside(self) -> Tensor:
        """Fraction of the inputs outside the first and last hinge, shape `(C,)`."""
        return self.statistics.lines.share_outside

    @property
    def lipschitz(self) -> Tensor:
        """Largest absolute slope of each curve, shape `(C,)`."""
        return lipschitz(self.curve)

    @property
    def drift(self) -> Tensor | None:
        """Largest absolute difference between each curve and the curve in `start`, shape `(C,)`.

        The curves are compared from the leftmost to the rightmost hinge of both. The result is None
        if `start` is None.
        """
        return None if self.start is None else distance(self.curve, self.start)

    @property
    def travel(self) -> Tensor | None:
        """How far each curve has travelled from the curve in `start`, shape `(C,)`, float64.

        It is the root mean square of the difference between the two curves, over the inputs of the
        channel, divided by the scale of the inputs of the layer (`hinged.curve.metric`). Inputs
        count as lying in the middle of their bin of `statistics.histogram`. The result is None if
        `start` is None.
        """
        if self.start is None:
            return None
        points, shares = (part.cpu() for part in self.statistics.histogram.points())
        rows = points.expand(max(self.curve.channels, self.start.channels), -1).mT
        squares = (self.curve(rows) - self.start(rows)).mT.square()
        return (shares * squares).sum(dim=1).sqrt() / self._input_scale()

    def _input_scale(self) -> Tensor:
        inputs = self.statistics.inputs
        moments = torch.stack((inputs.mean, inputs.mean.square() + inputs.std.square()), dim=1)
        return input_scale(moments.cpu(), self.curve.hinges)

    @property
    def nearest_native(self) -> tuple[str, float]:
        """Name and error of the activation of torch (such as `"leaky_relu"`) closest to the curves.

        The error is the largest absolute difference between the activation and any of the curves,
        from the first to the last hinge.
        """
        worst = {name: each.max().item() for name, each in distances_to_native(self.curve).items()}
        return min(worst.items(), key=lambda item: item[1])

    def figures(self) -> dict[str, int | float | str | None]:
        """Return the measured numbers of the layer, by name.

        Returns:
            A dictionary. `channels`, `hinges` and `dead` are counts. `dormant`, `lines_hit` and
            `outside` are means over the channels of fractions from 0 to 1. `lipschitz` and `drift`
            are maxima over the channels, and `travel` is their root mean square. `drift` and
            `travel` are None if the start is not known. `nearest_native` is the name of an
            activation, and `native_error` its error.
        """
        name, error = self.nearest_native
        drift, travel = self.drift, self.travel
        return {
            "channels": self.curve.channels,
            "hinges": self.curve.values.shape[1],
            "dead": int(self.dead.sum()),
            "dormant": self.dormant().double().mean().item(),
            "lines_hit": (~self.statistics.lines.never_hit).double().mean().item(),
            "outside": self.share_outside.mean().item(),
            "lipschitz": self.lipschitz.max().item(),
            "drift": None if drift is None else drift.max().item(),
            "travel": None if travel is None else travel.square().mean().sqrt().item(),
            "nearest_native": name,
            "native_error": error,
        }
