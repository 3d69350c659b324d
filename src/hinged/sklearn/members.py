"""The training of the networks of an estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import nn

from hinged.nn.parameter_groups import SMOOTHING
from hinged.optim import MLP
from hinged.sklearn.arguments import SECOND_ORDER
from hinged.sklearn.input_curves import InputCurves
from hinged.sklearn.network import Architecture, Parameters, ignore_inputs
from hinged.sklearn.packed_network import PackedNetwork
from hinged.sklearn.samples import LossOfRows
from hinged.sklearn.solvers.adam import Adam
from hinged.sklearn.solvers.lbfgs import LBFGS
from hinged.sklearn.solvers.second_order import SecondOrder
from hinged.sklearn.solvers.solver import Solver
from hinged.sklearn.split import Split
from hinged.sklearn.training import History, Patience, Report, Score, train

SMOOTHINGS = (0.003, 0.03, 0.3)
"""The values among which `smoothing="auto"` chooses."""

ONE_BATCH = 64
"""Largest number of rows that `batch_size="auto"` does not split into batches."""

_BATCHES = 20
"""Number of batches of an iteration that `batch_size="auto"` aims at."""

_AUTO_BATCH_SIZES = (32, 256)
"""Smallest and largest batch size that `batch_size="auto"` chooses."""

AUTO_NETWORKS = 8
"""Number of networks that `n_ensemble="auto"` chooses for small tables."""

_MOST_ROWS_OF_ENSEMBLE = 10_000
"""Largest number of rows for which `n_ensemble="auto"` chooses more than one network."""


class Start(NamedTuple):
    """How the training of a network begins.

    Attributes:
        seed: decides the first weights, the validation rows and the order of the rows.
        parameters: the parameters to go on from. None means random weights.
    """

    seed: int
    parameters: Parameters | None


@dataclass
class Trained:
    """Networks that were trained together.

    Attributes:
        networks: the networks.
        history: their losses.
        smoothing: the smoothing of the steps of their curves.
        split: the rows that they were trained on.
    """

    networks: list[nn.Module]
    history: History
    smoothing: float
    split: Split


@dataclass(frozen=True)
class Task:
    """What the networks of an estimator are trained for.

    Attributes:
        arguments: the arguments of the estimator.
        architecture: the layers of the networks.
        loss_of_rows: the loss.
        score: the score on validation rows.
        more_rows: whether the networks may later be trained on other rows.
    """

    arguments: Mapping[str, Any]
    architecture: Architecture
    loss_of_rows: LossOfRows
    score: Score
    more_rows: bool

    @property
    def packs(self) -> bool:
        """Whether several networks can be trained together."""
        return bool(self.arguments["solver"] == "adam")

    def count_networks(self, rows: int) -> int:
        """Return the number of networks to train on a table."""
        given = self.arguments["n_ensemble"]
        if given != "auto":
            return int(given)
        return AUTO_NETWORKS if self.packs and rows <= _MOST_ROWS_OF_ENSEMBLE else 1

    def groups(self, starts: Sequence[Start]) -> list[Sequence[Start]]:
        """Return the networks that are trained together."""
        return [starts] if self.packs else [[start] for start in starts]

    def solver(self, starts: Sequence[Start], split: Split, smoothing: float) -> Solver:
        """Return the training method for new networks. All are trained together.

        Its network is a `PackedNetwork` of them, or the network if there is only one.
        """
        networks = self._start_networks(starts, split)
        network = networks[0] if len(networks) == 1 else PackedNetwork(networks)
        arguments = self.arguments
        name = arguments["solver"]
        if name in SECOND_ORDER:
            assert isinstance(network, MLP)
            return SecondOrder(network, name, split.training_of(0))
        if name == "lbfgs":
            training = split.training_of(0)
            return LBFGS(network, self.loss_of_rows, training, alpha=arguments["alpha"])
        rows = len(split.training)
        seeds = [start.seed for start in starts]
        order = [torch.Generator().manual_seed(seed) for seed in seeds]
        return Adam(
            network,
            self.loss_of_rows,
            rows,
            lr=arguments["learning_rate_init"],
            alpha=arguments["alpha"],
            smoothing=smoothing,
            batch_size=batch_size(arguments["batch_size"], rows),
            order=order if arguments["shuffle"] else None,
        )

    def train(self, starts: Sequence[Start], split: Split, report: Report | None) -> Trained:
        """Train networks together. With `smoothing="auto"`, train them with each smoothing, and
        return the best.

        Args:
            starts: how the training of each network begins.
            split: the rows that they are trained on.
            report: is called with a line of text after each iteration.
        """
        trained = []
        smoothings = self.smoothings(split)
        for smoothing in smoothings:
            solver = self.solver(starts, split, smoothing)
            history = train(
                solver,
                split,
                self.loss_of_rows,
                self._patience(),
                score=self.score,
                report=_label(report, f"smoothing {smoothing}, ") if smoothings[1:] else report,
            )
            trained.append(Trained(solver.unpack(), history, smoothing, split))
        return min(trained, key=lambda each: min(each.history.validation_losses, default=0.0))

    def smoothings(self, split: Split) -> tuple[float, ...]:
        """Return the smoothings to try: one without validation rows or without curves."""
        given = self.arguments["smoothing"]
        if given != "auto":
            return (given,)
        several = len(split.held_out) and self.architecture.has_curves
        return SMOOTHINGS if several else (SMOOTHING,)

    def _start_networks(self, starts: Sequence[Start], split: Split) -> list[nn.Module]:
        """Return the networks to train on the rows of a split. All starts are random, or none."""
        stored = [start.parameters for start in starts if start.parameters is not None]
        like = split.samples.weights
        if stored:
            return [each.to(like).train() for each in self.architecture.restore_all(stored)]
        networks = self.architecture.build_all([start.seed for start in starts])
        for number, network in enumerate(networks):
            for layer in network.modules():
                if isinstance(layer, InputCurves):
                    layer.place_hinges(split.training_of(number))
            network.to(like).train()
            if not self.more_rows:
                # Nothing can be learned about a column that is constant in these rows.
                ignore_inputs(network, split.zero_inputs_of(number))
        return networks

    def _patience(self) -> Patience:
        names = ("max_iter", "tol", "n_iter_no_change")
        return Patience(*(self.arguments[name] for name in names))


def _label(report: Report | None, label: str) -> Report | None:
    """Return a function that reports each line of text with a label before it."""
    return report and (lambda line: report(label + line))


def batch_size(given: int | str, rows: int) -> int:
    """Return the number of rows of a batch.

    Args:
        given: the argument `batch_size` of an estimator: a number, or `"auto"`.
        rows: the number of training rows.

    >>> [batch_size("auto", rows) for rows in (50, 100, 2000, 1_000_000)]
    [50, 32, 100, 256]
    """
    if given == "auto" and rows <= ONE_BATCH:
        return rows
    if given == "auto":
        given = min(max(rows // _BATCHES, _AUTO_BATCH_SIZES[0]), _AUTO_BATCH_SIZES[1])
    return min(int(given), rows)
