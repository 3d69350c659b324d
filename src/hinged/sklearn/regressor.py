"""`MLPRegressor`: regression by a multilayer perceptron with trained activations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.metaestimators import available_if
from torch import Tensor

from hinged.sklearn.estimator import MultilayerPerceptron, trains_on_batches
from hinged.sklearn.losses import squared_error
from hinged.sklearn.ordered_layers import mean_in_order
from hinged.sklearn.samples import LossOfRows, Samples
from hinged.sklearn.scaling import Scaling, standard_scaling


class MLPRegressor(RegressorMixin, MultilayerPerceptron):  # type: ignore[misc]
    """Regression by a multilayer perceptron with trained activations.

    The arguments that scikit-learn's `MLPRegressor` has too mean the same. Inputs and targets are
    scaled inside. Each network holds out a tenth of the rows, and keeps the iteration with the
    least error on them. Training is in float32 with the solver "adam", and in float64 otherwise;
    predictions are computed in float64 on the CPU.

    Args:
        hidden_layer_sizes: number of units of each hidden layer, one number or several.
        activation: `"hinged"` for trained curves, one for each unit, which start as ReLU. Or a
            fixed activation: `"relu"`, `"leaky_relu"`, `"elu"`, `"selu"`, `"gelu"`, `"silu"`,
            `"mish"`, `"hardswish"`, `"softplus"`, `"tanh"`, `"logistic"` or `"identity"`.
        hinges: number of hinges of each curve, the positions where its slope may change.
        smoothing: how stiff curves are where they have few inputs (`hinged.param_groups`). With
            `"auto"`, the networks are trained with each of 0.003, 0.03 and 0.3, and those with the
            least error on the validation rows are kept. Only for the solver "adam".
        solver: the training method. `"adam"` trains on batches, with curves in their metric.
            `"lbfgs"` trains on all rows together, with curves as other parameters. `"owo-molf"` and
            `"lm"` (Levenberg-Marquardt) are second-order methods of `hinged.optim`, which need no
            learning rate, for one hidden layer. They add direct connections from inputs to outputs.
        alpha: strength of the L2 penalty on weights, divided by the number of rows in a batch. The
            methods of `hinged.optim` have none.
        batch_size: number of rows in a batch. `"auto"` is a 20th of the training rows, but at least
            32 and at most 256; up to 64 rows are one batch. Only for "adam".
        learning_rate_init: learning rate of the weights at the start. Curves have four times this
            rate, but at most 0.05. Only for "adam".
        max_iter: largest number of iterations. With "adam", an iteration uses each row once.
        shuffle: whether rows are in another order in each iteration. Only for "adam".
        random_state: seed, or source of seeds, for the held-out rows, the first weights and the
            order of the rows. None makes every training different.
        tol: an iteration improves the loss if it falls by more than this. The loss is in units of
            the scaled targets.
        verbose: whether a line is printed after each iteration.
        warm_start: whether `fit` goes on from the networks of the last call.
        early_stopping: whether rows are held out to find the best iteration. Otherwise, the loss on
            the training rows decides when the training ends, and the last iteration is kept.
        validation_fraction: share of the rows that are held out. If they would be fewer than 5,
            none are.
        n_iter_no_change: number of iterations without improvement after which the training ends.
            With "adam", it first goes back to the best iteration, and the learning rate falls to 0
            in as many further iterations.
        n_ensemble: number of networks. Each has its own first weights, held-out rows and order of
            the rows, and predictions are means over the networks. With "adam", all are trained
            together, and eight take about twice the time of one on small tables. Each keeps its
            best iteration, but the mean of their losses decides when they stop. `"auto"` means 8
            networks in `fit` with "adam" for up to 10,000 rows, and else one. If a training goes
            on, it means the number of present networks.
        standardize: whether the columns of the table are scaled by median and quartiles.
        input_curves: whether each column of the table has a curve of its own, before the first
            layer. Its hinges are where the numbers of the column are. Not for the second-order
            solvers.
        monotone: for columns by name, or by number from 0, how predictions depend on them while
            other columns stay the same: 1 if they never fall, -1 if they never rise. It holds for
            each prediction and all inputs, without a tolerance. The columns may interact with all
            others. `monotone`, `convex` and `bounded` need `input_curves=True`, and the first two
            also the activation "hinged" and the solver "adam".
        convex: the same, with 1 for predictions that are convex in a column and -1 for concave
            ones. It holds except for rounding.
        bounded: the columns, by name or number, outside whose range in the table of `fit`
            predictions stay exactly as they are at its ends.
        device: where the solver "adam" or "lbfgs" trains, as in torch: `"cuda"`, for example. None
            means the CPU.

    Attributes:
        n_iter_: number of iterations.
        loss_curve_: mean training loss of each iteration: half the squared error of the scaled
            targets. Losses are means over networks that are trained together. Of networks that are
            trained one after the other, those of the first are stored, and what follows, too.
        loss_: the last entry of `loss_curve_`.
        validation_losses_: the loss on the held-out rows after each iteration; None without them.
        validation_scores_: the score R2 on the held-out rows after each iteration. Each row is
            predicted by the network that it is held out from.
        best_iter_: number of the best iteration, counted from 1.
        best_loss_: the least validation loss, or the least training loss without held-out rows.
        smoothing_: the smoothing, which `smoothing="auto"` has chosen.
        n_features_in_: number of columns of the table.
        feature_names_in_: names of the columns, if all are texts.
        n_outputs_: number of numbers that are predicted for a row.
        n_layers_: number of layers, with inputs and outputs.

    Raises:
        ArgumentError: by `fit`, if an argument is not valid, if the solver does not use it, if the
            table has no such column, or if constraints contradict each other.

    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = MLPRegressor((20,), max_iter=20, random_state=0).fit(X[:300], y[:300])
    >>> model.score(X[300:], y[300:]) > 0.4
    True
    """

    def _learn_targets(self, y: NDArray[Any], weights: NDArray[np.float64]) -> None:
        scaling = standard_scaling(y.reshape(len(y), -1).astype(np.float64), weights)
        self.target_mean_, self.target_scale_ = scaling
        self.n_outputs_ = len(self.target_mean_)
        self.out_activation_ = "identity"
        self._one_dimensional = y.ndim == 1

    def _encode_targets(self, y: NDArray[Any]) -> NDArray[Any]:
        scaling = Scaling(self.target_mean_, self.target_scale_)
        scaled: NDArray[Any] = scaling.apply(y.reshape(len(y), -1))
        return scaled

    def _loss_of_rows(self) -> LossOfRows:
        return squared_error

    def _score_of_outputs(self, outputs: Tensor, samples: Samples) -> float:
        arrays = [each.cpu().numpy() for each in (samples.targets, outputs, samples.weights)]
        return float(r2_score(arrays[0], arrays[1], sample_weight=arrays[2]))

    @available_if(trains_on_batches)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Train for one iteration over the given rows.

        The first call decides how inputs and targets are scaled, and the range of bounded columns.
        There are no validation rows.

        Args:
            X: the table, `(rows, features)`.
            y: the numbers to predict, `(rows,)` or `(rows, outputs)`.
            sample_weight: weight of each row, `(rows,)`; None for equal weights.

        Returns:
            The estimator itself.
        """
        self._partial_fit(X, y, sample_weight)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the predicted numbers, `(rows,)` or `(rows, outputs)` as in the training.

        With an ensemble, it is the mean of the predictions of all networks. Scaled numbers beyond
        the range of float32 count as its ends.

        Args:
            X: the table, `(rows, features)`, with the columns of the training.
        """
        outputs = mean_in_order(self._outputs(X)).numpy()
        predicted = Scaling(self.target_mean_, self.target_scale_).undo(outputs)
        return predicted[:, 0] if self._one_dimensional else predicted

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
