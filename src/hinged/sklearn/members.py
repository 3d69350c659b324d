"""The training of one network of an estimator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from torch import nn

from hinged.nn.parameter_groups import SMOOTHING
from hinged.optim import MLP
from hinged.sklearn.arguments import SECOND_ORDER
from hinged.sklearn.input_curves import InputCurves
from hinged.sklearn.network import Architecture, Parameters, ignore_inputs
from hinged.sklearn.samples import LossOfRows, Samples
from hinged.sklearn.solvers.adam import Adam
from hinged.sklearn.solvers.lbfgs import LBFGS
from hinged.sklearn.solvers.second_order import SecondOrder
from hinged.sklearn.solvers.solver import Solver
from hinged.sklearn.training import History, Patience, Report, Score, train

SMOOTHINGS = (0.003, 0.03, 0.3)
"""The values among which `smoothing="auto"` chooses."""

_FEWEST_HELD_OUT = 5
"""Smallest number of validation rows. With fewer, all rows are training rows."""

ONE_BATCH = 64
"""Largest number of rows that `batch_size="auto"` does not split into batches."""

_BATCHES = 20
"""Number of batches of an iteration that `batch_size="auto"` aims at."""

_AUTO_BATCH_SIZES = (32, 256)
"""Smallest and largest batch size that `batch_size="auto"` chooses."""


@dataclass
class Trained:
    """A trained network.

    Attributes:
        network: the network.
        history: its losses.
        smoothing: the smoothing of the steps of its curves.
        training: the training rows.
        held_out: the validation rows; None if there are none.
    """

    network: nn.Module
    history: History
    smoothing: float
    training: Samples
    held_out: Samples | None


@dataclass(frozen=True)
class Task:
    """What the networks of an estimator are trained for.

    Attributes:
        arguments: the arguments of the estimator.
        architecture: the layers of the networks.
        loss_of_rows: the loss.
        score: the score on validation rows.
    """

    arguments: Mapping[str, Any]
    architecture: Architecture
    loss_of_rows: LossOfRows
    score: Score

    def start(self, seed: int, parameters: Parameters | None, samples: Samples) -> nn.Module:
        """Return a network to train on samples: with random weights, or with these parameters."""
        if parameters is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = self.architecture.build()
            for layer in network.modules():
                if isinstance(layer, InputCurves):
                    layer.place_hinges(samples)
        else:
            network = self.architecture.restore(parameters)
        return network.to(samples.weights).train()

    def solver(self, network: nn.Module, training: Samples, seed: int, smoothing: float) -> Solver:
        """Return the training method for a network."""
        arguments = self.arguments
        name = arguments["solver"]
        if name in SECOND_ORDER:
            assert isinstance(network, MLP)
            return SecondOrder(network, name, training)
        if name == "lbfgs":
            return LBFGS(network, self.loss_of_rows, alpha=arguments["alpha"])
        order = torch.Generator().manual_seed(seed) if arguments["shuffle"] else None
        return Adam(
            network,
            self.loss_of_rows,
            len(training),
            lr=arguments["learning_rate_init"],
            alpha=arguments["alpha"],
            smoothing=smoothing,
            batch_size=batch_size(arguments["batch_size"], len(training)),
            order=order,
        )

    def train(
        self,
        training: Samples,
        held_out: Samples | None,
        seed: int,
        parameters: Parameters | None,
        report: Report | None,
    ) -> Trained:
        """Train a network. With `smoothing="auto"`, train one for each smoothing, and return the
        best.

        Args:
            training: the training rows.
            held_out: the validation rows, or None.
            seed: decides the start and the order of the rows.
            parameters: the parameters to start from. None means random weights.
            report: is called with a line of text after each iteration.
        """
        trained = []
        smoothings = self.smoothings(held_out)
        for smoothing in smoothings:
            network = self.start(seed, parameters, training)
            if parameters is None and not self.arguments["warm_start"]:
                # Nothing can be learned about a column that is constant in these rows.
                ignore_inputs(network, training.zero_inputs())
            solver = self.solver(network, training, seed, smoothing)
            history = train(
                solver,
                training,
                self.loss_of_rows,
                self._patience(),
                validation=held_out,
                score=self.score,
                report=_label(report, f"smoothing {smoothing}, ") if smoothings[1:] else report,
            )
            trained.append(Trained(network, history, smoothing, training, held_out))
        return min(trained, key=lambda each: min(each.history.validation_losses, default=0.0))

    def _patience(self) -> Patience:
        names = ("max_iter", "tol", "n_iter_no_change")
        return Patience(*(self.arguments[name] for name in names))

    def smoothings(self, held_out: Samples | None) -> tuple[float, ...]:
        """Return the smoothings to try. Without validation rows, there is one."""
        given = self.arguments["smoothing"]
        if given != "auto":
            return (given,)
        return (SMOOTHING,) if held_out is None else SMOOTHINGS


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


def held_out_count(rows: int, share: float) -> int:
    """Return the number of validation rows: 0 if they would be fewer than 5.

    >>> held_out_count(100, 0.1), held_out_count(40, 0.1)
    (10, 0)
    """
    count = int(share * rows)
    return count if count >= _FEWEST_HELD_OUT else 0


def split_rows(
    rows: int, share: float, seed: int, classes: NDArray[np.intp] | None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the numbers of the training rows and of the validation rows, chosen at random.

    Args:
        rows: number of rows.
        share: share of the validation rows. If they are fewer than 5, there are none.
        seed: decides the choice.
        classes: number of the class of each row, to have all classes in both parts in the same
            shares if each class has two rows. None for regression.
    """
    numbers = np.arange(rows)
    if not held_out_count(rows, share):
        return numbers, numbers[:0]
    if classes is not None:
        counts = np.bincount(classes)
        if counts[counts > 0].min() < 2 or int(share * rows) < len(counts):
            classes = None
    training, held_out = train_test_split(
        numbers, test_size=share, random_state=seed, stratify=classes
    )
    return training, held_out
