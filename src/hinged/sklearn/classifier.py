"""`MLPClassifier`: classification by a multilayer perceptron with trained activations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from torch import Tensor, nn

from hinged import errors
from hinged.sklearn.arguments import SECOND_ORDER, refuses_unknown_arguments
from hinged.sklearn.estimator import MultilayerPerceptron, trains_on_batches
from hinged.sklearn.losses import binary_cross_entropy, cross_entropy, squared_error
from hinged.sklearn.members import Trained
from hinged.sklearn.network import CURVES, Parameters
from hinged.sklearn.ordered_layers import mean_in_order, sigmoid_in_order
from hinged.sklearn.samples import LossOfRows, Samples
from hinged.sklearn.split import Split
from hinged.sklearn.temperature import fit_temperature


class MLPClassifier(ClassifierMixin, MultilayerPerceptron):  # type: ignore[misc]
    """Classification by a multilayer perceptron with trained activations.

    The labels may be numbers or texts. `y` may also have a column of 0 and 1 for each of several
    labels. The loss is the cross-entropy, and the squared error with the solvers "owo-molf" and
    "lm". The predicted probabilities are calibrated: a temperature divides the outputs of each
    network, for which the held-out rows are most probable.

    Args:
        hidden_layer_sizes: number of units of each hidden layer. All arguments but `monotone` and
            `class_weight` are those of [`MLPRegressor`][hinged.sklearn.MLPRegressor].
        monotone: for columns by name, or by number from 0, how the probability of the second class
            depends on them while other columns stay the same: 1 if it never falls, -1 if it never
            rises. It needs two classes.
        class_weight: weight of each class, a dict, or `"balanced"` for weights by which all classes
            count alike. None for equal weights of all rows.

    Attributes:
        classes_: the labels in ascending order.
        temperatures_: the temperature of each network.
        validation_scores_: the accuracy on the held-out rows after each iteration. All other
            attributes are those of `MLPRegressor`.

    Raises:
        ArgumentError: by `fit`, if an argument is not valid, or if the solver does not use it.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((20,), max_iter=20, random_state=0).fit(X[::2], y[::2])
    >>> model.score(X[1::2], y[1::2]) > 0.9
    True
    """

    classes_: NDArray[Any]
    temperatures_: NDArray[np.float64]

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
        bounded: Any = None,
        class_weight: Any = None,
        device: Any = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation=activation,
            hinges=hinges,
            smoothing=smoothing,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate_init=learning_rate_init,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            n_ensemble=n_ensemble,
            standardize=standardize,
            input_curves=input_curves,
            monotone=monotone,
            bounded=bounded,
            device=device,
        )
        self.class_weight = class_weight

    @available_if(trains_on_batches)  # type: ignore[untyped-decorator]
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """Train for one iteration over the given rows.

        The first call decides how inputs are scaled, and the range of bounded columns. There are no
        validation rows, so the predicted probabilities are not calibrated.

        Args:
            X: the table, `(rows, features)`.
            y: the classes, `(rows,)`, or 0 and 1 for several labels, `(rows, labels)`.
            sample_weight: weight of each row, `(rows,)`; None for equal weights.
            classes: all classes, which the first call needs.

        Returns:
            The estimator itself.
        """
        call = "MLPClassifier.partial_fit"
        if classes is None and not self.__sklearn_is_fitted__():
            hint = (
                "the first call needs all classes, because later rows may have more: give classes"
            )
            raise errors.ArgumentError(errors.message(call, "no classes", hint))
        if self.class_weight == "balanced":
            hint = "the number of rows of each class is not known yet: give a dict of weights"
            raise errors.ArgumentError(errors.message(call, "class_weight='balanced'", hint))
        labels = None if classes is None or np.ndim(y) == 2 else np.asarray(classes)
        self._partial_fit(X, y, sample_weight, labels)
        return self

    def _learn_targets(self, y: NDArray[Any], weights: NDArray[np.float64]) -> None:
        check_classification_targets(y)
        kind = type_of_target(y)
        if kind == "multiclass-multioutput":
            got = "targets with several columns that are not only 0 and 1"
            hint = (
                "train one classifier for each column, or give a column of 0 and 1 for each label"
            )
            raise errors.ArgumentError(errors.message("MLPClassifier.fit(y)", got, hint))
        self._multilabel = kind == "multilabel-indicator"
        if self._multilabel and self.solver in SECOND_ORDER:
            got = "several labels for each row"
            hint = f"solver={self.solver!r} needs one class for each row: choose 'adam' or 'lbfgs'"
            raise errors.ArgumentError(errors.message("MLPClassifier.fit(y)", got, hint))
        if self._multilabel:
            self.classes_ = np.arange(y.shape[1])
        else:
            self.classes_ = unique_labels(y)
        self.n_outputs_ = len(self.classes_)
        self.out_activation_ = "logistic" if self._multilabel else "softmax"

    def _encode_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        if self._multilabel:
            return y.astype(np.float64)
        unknown = np.setdiff1d(y, self.classes_)
        if len(unknown):
            got = f"the classes {errors.shown(unknown.tolist())}, which the first call did not have"
            hint = f"the classes are {errors.shown(self.classes_.tolist())}: start anew for others"
            raise errors.ArgumentError(errors.message("MLPClassifier.fit(y)", got, hint))
        numbers = np.searchsorted(self.classes_, y)
        return np.eye(self.n_outputs_)[numbers] if self.solver in SECOND_ORDER else numbers

    def _has_two_classes(self) -> bool:
        if self._multilabel or len(self.classes_) != 2:
            count = len(self.classes_)
            got = "several labels" if self._multilabel else f"{count} class{'es' * (count != 1)}"
            hint = "monotone probabilities need two classes: train a classifier for each class"
            raise errors.ArgumentError(
                errors.message("MLPClassifier(monotone=...).fit(y)", got, hint)
            )
        return True

    def _class_weights(self, y: NDArray[Any]) -> NDArray[np.float64]:
        if self.class_weight is None:
            return np.ones(len(y))
        weights: NDArray[np.float64] = compute_sample_weight(self.class_weight, y)
        return weights

    def _loss_of_rows(self) -> LossOfRows:
        if self.solver in SECOND_ORDER:
            return squared_error
        return binary_cross_entropy if self._multilabel else cross_entropy

    def _score_of_outputs(self, outputs: Tensor, samples: Samples) -> float:
        if self._multilabel:
            right = ((outputs > 0) == (samples.targets > 0)).all(dim=1)
        else:
            right = outputs.argmax(dim=1) == _class_numbers(samples.targets)
        return float(samples.mean(right.to(samples.weights)))

    def _start_predictions(self, networks: int) -> None:
        self.temperatures_ = np.ones(networks)

    def _finish_training(self, trained: list[Trained]) -> None:
        temperatures = [
            self._temperature(network, each.split, number)
            for each in trained
            for number, network in enumerate(each.networks)
        ]
        self.temperatures_ = np.array(temperatures)

    def _temperature(self, network: nn.Module, split: Split, number: int) -> float:
        """Return the temperature of a network on its validation rows, or 1 without them."""
        rows = split.held_out_of(number)
        if rows is None and self.solver in SECOND_ORDER:
            rows = split.training_of(number)  # The outputs are no logarithms of probabilities.
        if rows is None:
            return 1.0
        loss = binary_cross_entropy if self._multilabel else cross_entropy
        targets = rows.targets if self._multilabel else _class_numbers(rows.targets)
        return fit_temperature(rows.outputs(network), Samples(None, targets, rows.weights), loss)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the most probable class of each row, `(rows,)`, or 0 and 1, `(rows, labels)`.

        Args:
            X: the table, `(rows, features)`, with the columns of the training.
        """
        probabilities = self.predict_proba(X)
        if self._multilabel:
            return (probabilities > 0.5).astype(np.int64)
        predicted: NDArray[Any] = self.classes_[probabilities.argmax(axis=1)]
        return predicted

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probability of each class, `(rows, classes)`, in the order of `classes_`.

        With several labels for each row, it is the probability of each label. With an ensemble, it
        is the mean over all networks.

        Args:
            X: the table, `(rows, features)`, with the columns of the training.
        """
        pairs = zip(self._outputs(X), self.temperatures_, strict=True)
        each = [self._probabilities(output / temperature) for output, temperature in pairs]
        probabilities: NDArray[np.float64] = mean_in_order(each).numpy()
        return probabilities

    def _probabilities(self, outputs: Tensor) -> Tensor:
        if self._multilabel:
            return outputs.sigmoid()
        if self._architecture().logit:
            return sigmoid_in_order(torch.stack([-outputs[:, 1], outputs[:, 1]], dim=1))
        return outputs.softmax(dim=1)

    def predict_log_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the logarithm of `predict_proba`.

        Args:
            X: the table, `(rows, features)`, with the columns of the training.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def _set_learned(self, learned: dict[str, Any], networks: list[Parameters]) -> None:
        super()._set_learned(learned, networks)
        architecture = self._architecture()
        outputs = 2 if architecture.logit else architecture.sizes[-1]
        if not self._multilabel and len(self.classes_) != outputs:
            raise ValueError(f"{len(self.classes_)} classes for the outputs of the networks")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _class_numbers(targets: Tensor) -> Tensor:
    """Return the number of the class of each row, from the numbers or from a column for each."""
    return targets.argmax(dim=1) if targets.is_floating_point() else targets
