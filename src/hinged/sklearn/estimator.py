"""`MultilayerPerceptron`: what the regressor and the classifier have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import is_regressor
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.validation import _check_sample_weight, validate_data
from torch import Tensor

from hinged import errors
from hinged.sklearn.arguments import (
    SECOND_ORDER,
    check_arguments,
    hidden_sizes,
    refuses_unknown_arguments,
)
from hinged.sklearn.column_errors import name_other_columns
from hinged.sklearn.constrained_network import check_units
from hinged.sklearn.feature_shapes import FeatureShape, feature_shapes, has_limits
from hinged.sklearn.members import ONE_BATCH, Start, Task, Trained
from hinged.sklearn.network import CURVES, Architecture
from hinged.sklearn.plots import PlottedNetworks
from hinged.sklearn.progress import reporter
from hinged.sklearn.samples import LossOfRows, Samples, make_samples
from hinged.sklearn.scaling import Scaling, no_scaling, range_of_columns, robust_scaling
from hinged.sklearn.solvers.solver import Solver
from hinged.sklearn.split import Split, held_out_count


def trains_on_batches(estimator: Any) -> bool:
    """Return True, or raise `AttributeError`, which hides the method `partial_fit`."""
    if estimator.solver != "adam":
        raise AttributeError(
            f"partial_fit needs solver='adam', and not {estimator.solver!r}, which trains on all "
            "rows together."
        )
    return True


class MultilayerPerceptron(PlottedNetworks, ABC):
    """A multilayer perceptron with trained activations: the base class of the estimators."""

    n_iter_: int
    loss_curve_: list[float]
    loss_: float
    validation_losses_: list[float] | None
    validation_scores_: list[float] | None
    best_iter_: int
    best_loss_: float
    smoothing_: float
    n_features_in_: int
    feature_names_in_: NDArray[Any]
    n_outputs_: int

    @refuses_unknown_arguments
    def __init__(
        self,
        hidden_layer_sizes: Any = (64, 64),
        *,
        activation: str = CURVES,
        hinges: int = 9,
        smoothing: float | str = 0.03,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate_init: float = 0.006,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        early_stopping: bool = True,
        validation_fraction: float = 0.1,
        n_iter_no_change: float = 10,
        n_ensemble: int | str = "auto",
        standardize: bool = True,
        input_curves: bool = False,
        monotone: Any = None,
        convex: Any = None,
        bounded: Any = None,
        device: Any = None,
    ) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.hinges = hinges
        self.smoothing = smoothing
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate_init = learning_rate_init
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.n_ensemble = n_ensemble
        self.standardize = standardize
        self.input_curves = input_curves
        self.monotone = monotone
        self.convex = convex
        self.bounded = bounded
        self.device = device

    # What differs between regression and classification ------------------------------------------

    @abstractmethod
    def _learn_targets(self, y: NDArray[Any], weights: NDArray[np.float64]) -> None:
        """Learn the scaling of the targets or the classes, and the number of outputs."""

    @abstractmethod
    def _encode_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return the targets of the networks: `(rows, outputs)`, or class numbers, `(rows,)`."""

    def _class_weights(self, y: NDArray[Any]) -> NDArray[np.float64]:
        """Return the weight of each row by its class."""
        return np.ones(len(y))

    @abstractmethod
    def _loss_of_rows(self) -> LossOfRows:
        """Return the loss."""

    @abstractmethod
    def _score_of_outputs(self, outputs: Tensor, samples: Samples) -> float:
        """Return the score of outputs on samples, for `validation_scores_`."""

    def _has_two_classes(self) -> bool:
        """Return True for a classifier with two classes, the only one whose columns can be
        constrained, and False for a regressor."""
        return False

    def _start_predictions(self, networks: int) -> None:
        """Set what predictions need besides the networks, before any rows were held out."""

    def _finish_training(self, trained: list[Trained]) -> None:
        """Learn from the trained networks what predictions need besides them."""

    # Training ------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Train the networks on a table.

        Args:
            X: the table, `(rows, features)`: numbers, dense or sparse, without missing values.
            y: what to predict, `(rows,)` or `(rows, outputs)`.
            sample_weight: weight of each row, `(rows,)`; None for equal weights. Rows with weight 0
                are left out.

        Returns:
            The estimator itself.

        Raises:
            ArgumentError: if an argument of the estimator is not valid, or not possible for these
                data.
            ValueError: if the table is not valid, as in all estimators of scikit-learn.
        """
        self._check_arguments()
        goes_on = self.warm_start and self.__sklearn_is_fitted__()
        samples = self._to_train(self._prepare(X, y, sample_weight, reset=not goes_on))
        task = self._task(more_rows=self.warm_start)
        if goes_on:
            self._check_networks(task, f"{type(self).__name__}(warm_start=True).fit")
        groups = task.groups(self._starts(task.count_networks(len(samples)), goes_on))
        trained = []
        for number, starts in enumerate(groups, 1):
            seeds = [start.seed for start in starts]
            split = Split.at_random(samples, self._held_out_share(), seeds)
            trained.append(task.train(starts, split, reporter(self.verbose, number, len(groups))))
        self.__dict__.pop("_solvers", None)
        self._store_networks(task.architecture, [one for each in trained for one in each.networks])
        self._store_history(trained[0])
        self._finish_training(trained)
        return self

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, labels: Any = None) -> None:
        """Train for one iteration, on all rows."""
        self._check_arguments()
        goes_on = self.__sklearn_is_fitted__()
        samples = self._prepare(X, y, sample_weight, labels, reset=not goes_on)
        samples = samples.to(torch.device(self.device or "cpu"), torch.float32)
        task = self._task(more_rows=True)
        if goes_on:
            self._check_networks(task, f"{type(self).__name__}.partial_fit")
        solvers: list[Solver] | None = self.__dict__.get("_solvers")
        if solvers is None or not goes_on:
            solvers = self._begin(task, samples, goes_on)
            self._solvers = solvers
        losses = [
            solver.iterate(Split.without_held_out(samples, solver.count)) for solver in solvers
        ]
        self._store_networks(task.architecture, [one for each in solvers for one in each.unpack()])
        self.loss_ = losses[0]
        before: list[float] = self.loss_curve_ if goes_on else []
        self.loss_curve_ = [*before, self.loss_]
        self.n_iter_ = len(self.loss_curve_)

    def _begin(self, task: Task, samples: Samples, goes_on: bool) -> list[Solver]:
        """Return the training methods of `partial_fit`, at its first call."""
        count = 1 if isinstance(self.n_ensemble, str) else self.n_ensemble
        solvers = []
        for starts in task.groups(self._starts(count, goes_on)):
            split = Split.without_held_out(samples, len(starts))
            solvers.append(task.solver(starts, split, task.smoothings(split)[0]))
        if not goes_on:
            self._start_predictions(sum(solver.count for solver in solvers))
        return solvers

    def _check_arguments(self) -> None:
        defaults = {p.name: p.default for p in signature(type(self)).parameters.values()}
        check_arguments(type(self).__name__, self.get_params(deep=False), defaults)

    def _prepare(
        self, X: Any, y: Any, sample_weight: Any, labels: Any = None, *, reset: bool
    ) -> Samples:
        """Return the checked and scaled rows with a weight above 0.

        With `reset`, the scaling and the classes are learned from these rows, or the classes from
        `labels`.
        """
        names = None if reset else getattr(self, "feature_names_in_", None)
        numbers = y if is_regressor(self) else None
        with name_other_columns(type(self).__name__, X, names, numbers):
            X, y = validate_data(
                self,
                X,
                y,
                accept_sparse=["csr"],
                multi_output=True,
                y_numeric=is_regressor(self),
                dtype=(np.float64, np.float32),
                ensure_min_samples=2 if reset else 1,
                reset=reset,
            )
            if is_regressor(self) and y.dtype.kind in "US":
                y = y.astype(np.float64)  # `validate_data` does so for objects only.
        y = column_or_1d(y, warn=True) if y.ndim == 2 and y.shape[1] == 1 else y
        weights = self._row_weights(X, y, sample_weight)
        if reset:
            self._learn_targets(y if labels is None else labels, weights)
        targets = self._encode_targets(y)
        if not weights.all():
            X, targets, weights = X[weights > 0], targets[weights > 0], weights[weights > 0]
        if reset:
            scaling = robust_scaling(X, weights) if self.standardize else no_scaling(X.shape[1])
            self.input_center_, self.input_scale_ = scaling
            self.input_range_ = range_of_columns(X)
        # Large tables are trained in float32 (`_to_train`), so they need no copy in float64.
        is_large = self.solver == "adam" and X.shape[0] > ONE_BATCH
        dtype = np.float32 if is_large else np.float64
        scaled = Scaling(self.input_center_, self.input_scale_).apply(X, dtype)
        if sparse.issparse(scaled) and self.solver == "lbfgs":
            scaled = scaled.toarray()
        return make_samples(scaled, targets, weights)

    def _to_train(self, samples: Samples) -> Samples:
        """Return the rows in the precision of the training, on its device.

        If all rows fit into one batch and none are held out, each is repeated by its weight, and
        the training is in float64. So a row with weight 2 is then the same as the row twice. The
        inputs of curves are measured without weights, so in larger tables it is not exactly so.
        """
        device = torch.device(self.device or "cpu")
        if self.solver == "adam":
            total = int(samples.weights.sum())
            is_small = total <= ONE_BATCH and not held_out_count(total, self._held_out_share())
            if not is_small or (samples.weights % 1).any():
                return samples.to(device, torch.float32)
            samples = samples.repeat()
        return samples.to(device, torch.float64)

    def _row_weights(self, X: Any, y: NDArray[Any], sample_weight: Any) -> NDArray[np.float64]:
        """Return the checked weight of each row."""
        weights: NDArray[np.float64] = self._class_weights(y) * _check_sample_weight(
            sample_weight, X, dtype=np.float64, ensure_non_negative=True
        )
        call = f"{type(self).__name__}.fit(sample_weight=...)"
        if not weights.any():
            hint = "give some rows a weight above 0"
            raise errors.ArgumentError(errors.message(call, "no weight above 0", hint))
        if self.solver in SECOND_ORDER and np.unique(weights).size > 1:
            hint = f"solver={self.solver!r} weights all rows alike: choose 'adam' or 'lbfgs'"
            raise errors.ArgumentError(errors.message(call, "different weights", hint))
        return weights

    def _task(self, *, more_rows: bool) -> Task:
        call, arguments = type(self).__name__, self.get_params(deep=False)
        sizes = hidden_sizes(call, self.hidden_layer_sizes)
        shapes: tuple[FeatureShape, ...] = ()
        if self.input_curves:
            names = getattr(self, "feature_names_in_", None)
            shapes = feature_shapes(call, arguments, names, self.n_features_in_)
            check_units(call, shapes, sizes)
        logit = has_limits(shapes) and self._has_two_classes()
        architecture = Architecture(
            (self.n_features_in_, *sizes, 1 if logit else self.n_outputs_),
            self.activation,
            int(self.hinges),
            self.solver in SECOND_ORDER,
            shapes,
            logit,
        )
        loss, score = self._loss_of_rows(), self._score_of_outputs
        return Task(arguments, architecture, loss, score, more_rows)

    def _starts(self, count: int, goes_on: bool) -> list[Start]:
        """Return the random seed and the first parameters of each network.

        With `goes_on`, these are the networks that there are, and `n_ensemble="auto"` is their
        number.
        """
        if goes_on and self.n_ensemble == "auto":
            count = len(self.parameters_)
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=count)
        if not goes_on:
            return [Start(int(seed), None) for seed in seeds]
        return [Start(int(seed), each) for seed, each in zip(seeds, self.parameters_, strict=True)]

    def _check_networks(self, task: Task, call: str) -> None:
        """Raise an error unless the networks that there are fit the arguments."""
        count = len(self.parameters_)
        same_count = isinstance(self.n_ensemble, str) or self.n_ensemble == count
        if not same_count or task.architecture != self._architecture():
            got = "other layers, constraints or numbers of networks than in the training before"
            hint = "leave these arguments as they were, or call fit with warm_start=False"
            raise errors.ArgumentError(errors.message(call, got, hint))

    def _held_out_share(self) -> float:
        return self.validation_fraction if self.early_stopping else 0.0

    def _store_history(self, trained: Trained) -> None:
        """Store the losses."""
        history = trained.history
        self.n_iter_ = len(history.losses)
        self.loss_curve_, self.loss_ = history.losses, history.losses[-1]
        self.smoothing_ = trained.smoothing
        held_out = history.validation_losses
        self.validation_losses_ = held_out or None
        self.validation_scores_ = history.validation_scores or None
        self.best_loss_ = min(held_out or history.losses)
        self.best_iter_ = history.best

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
