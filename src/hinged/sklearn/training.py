"""The training of a network until it no longer improves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from hinged import errors
from hinged.sklearn.samples import LossOfRows, Samples
from hinged.sklearn.solvers.solver import Solver
from hinged.sklearn.split import Split

Score = Callable[[Tensor, Samples], float]
"""A function that returns the score of outputs for samples. More is better."""

Report = Callable[[str], None]
"""A function that is called with a line of text after each iteration."""


@dataclass(frozen=True)
class Patience:
    """When a training ends.

    Attributes:
        max_iter: largest number of iterations.
        tol: an iteration improves the loss if the loss falls by more than this.
        n_iter_no_change: number of iterations without improvement after which the training ends. If
            the solver has a learning rate, the rate then falls to 0 in as many further iterations.
    """

    max_iter: int
    tol: float
    n_iter_no_change: float

    @property
    def cooling(self) -> int:
        """The number of iterations in which the learning rate falls."""
        return int(min(self.n_iter_no_change, self.max_iter // 2))


@dataclass
class History:
    """The losses of a training, as means over its networks, and its best iteration.

    Attributes:
        losses: mean training loss of each iteration.
        validation_losses: mean validation loss after each iteration; empty without validation rows.
        validation_scores: score on the validation rows after each iteration. The rows of all
            networks count together, each as the network predicts it that they are held out from.
        best: number of the best iteration, counted from 1.
    """

    losses: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)
    best: int = 0


def train(
    solver: Solver,
    split: Split,
    loss_of_rows: LossOfRows,
    patience: Patience,
    *,
    score: Score | None = None,
    report: Report | None = None,
) -> History:
    """Train networks until their mean loss no longer falls, and return the losses.

    With validation rows, their loss decides, and each network ends with the parameters of its own
    best iteration. Without, the training loss decides, and networks end with their last parameters.

    Args:
        solver: the method, with its network.
        split: the training rows and the validation rows.
        loss_of_rows: the loss on validation rows.
        patience: when the training ends.
        score: the score on validation rows, for the history.
        report: is called with a line of text after each iteration.

    Raises:
        ArgumentError: if the loss becomes infinite or not a number.

    Warns:
        UserWarning: if the user interrupts the training after its first iteration. The networks are
            usable.
    """
    run = _Run(solver, split, loss_of_rows, score, report)
    cooling = patience.cooling if solver.has_rate else 0
    try:
        for _ in range(patience.max_iter - cooling):
            run.iterate(patience.tol)
            if run.iterations_without_improvement >= patience.n_iter_no_change:
                break
        run.restore_best()
        for left in range(cooling, 0, -1):
            solver.set_rate(left / (cooling + 1))
            run.iterate(patience.tol)
    except KeyboardInterrupt:
        if not run.history.best:
            raise
        warnings.warn("Training interrupted by user.", stacklevel=2)
    run.restore_best()
    return run.history


class _Run:
    """A training in progress, with its history and the best parameters so far."""

    def __init__(
        self,
        solver: Solver,
        split: Split,
        loss_of_rows: LossOfRows,
        score: Score | None,
        report: Report | None,
    ) -> None:
        self.solver, self.split = solver, split
        self.validation = split.all_held_out()
        self.loss_of_rows, self.score, self.report = loss_of_rows, score, report
        self.history = History()
        self.best = _BestParameters(solver, networks=split.training.shape[1])
        self.best_loss = self.reference_loss = math.inf
        self.iterations_without_improvement = 0

    def iterate(self, tol: float) -> None:
        """Train for one iteration. An iteration improves if the loss falls by more than `tol`."""
        history = self.history
        loss = self.solver.iterate(self.split)
        history.losses.append(loss)
        if self.validation is not None:
            loss = self._validate(self.validation)
        if not math.isfinite(loss):
            got = f"a loss of {loss} in iteration {len(history.losses)}"
            lower = "lower learning_rate_init, or " if self.solver.has_rate else ""
            hint = f"{lower}look for very large numbers in X and y"
            raise errors.ArgumentError(errors.message("fit", got, hint))
        if loss < self.best_loss or self.validation is None:
            self.best_loss, history.best = loss, len(history.losses)
        improved = loss < self.reference_loss - tol
        self.reference_loss = loss if improved else self.reference_loss
        self.iterations_without_improvement += 1
        if improved:
            self.iterations_without_improvement = 0
        if self.report is not None:
            self.report(self._line())

    def restore_best(self) -> None:
        """Give each network the parameters of its best iteration on its validation rows."""
        self.best.restore()

    def _validate(self, validation: Samples) -> float:
        outputs = validation.outputs(self.solver.network, self.best.networks)
        losses = self.loss_of_rows(outputs, validation.targets)
        loss_of_networks = validation.means(losses, self.best.networks)
        self.best.update(loss_of_networks)
        loss = float(loss_of_networks.mean())
        self.history.validation_losses.append(loss)
        if self.score is not None and math.isfinite(loss):
            self.history.validation_scores.append(self.score(outputs, validation))
        return loss

    def _line(self) -> str:
        history = self.history
        line = f"iteration {len(history.losses)}: loss {history.losses[-1]:.6f}"
        if history.validation_losses:
            line += f", validation loss {history.validation_losses[-1]:.6f}"
        return f"{line}, best iteration {history.best}"


class _BestParameters:
    """The parameters that each network had when its loss was least.

    Args:
        solver: the method, with its network.
        networks: the number of networks, which are along the first axis of the parameters.
    """

    def __init__(self, solver: Solver, networks: int) -> None:
        self.networks = networks
        self.losses: Tensor | None = None
        self.parameters = [each.detach() for each in solver.network.parameters()]
        self.kept: list[Tensor] = []

    def update(self, losses: Tensor) -> None:
        """Keep the parameters of the networks whose loss, `(networks,)`, is the least so far."""
        if self.losses is None:
            self.losses, self.kept = losses, [each.clone() for each in self.parameters]
            return
        better = losses < self.losses
        kept = []
        for each, old in zip(self.parameters, self.kept, strict=True):
            rows = each.view(self.networks, -1), old.view(self.networks, -1)
            kept.append(torch.where(better[:, None], *rows).view_as(each))
        self.kept = kept  # All at once: an interruption must not mix layers of two iterations.
        self.losses = torch.where(better, losses, self.losses)

    def restore(self) -> None:
        """Set the parameters to those that were kept."""
        if self.losses is not None:
            for kept, each in zip(self.kept, self.parameters, strict=True):
                each.copy_(kept)
