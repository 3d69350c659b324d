"""`CalibratedLattices`: the contender of tensorflow-lattice in `benchmarks/monotone.py`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # tensorflow-lattice needs Keras 2.

import numpy as np
import tensorflow as tf
import tensorflow_lattice as tfl
import tf_keras as keras
from sklearn.metrics import accuracy_score, r2_score

Array = np.ndarray[Any, Any]

LARGEST_LATTICE = 8
"""Largest number of columns that one lattice joins, with `2 ** columns` parameters."""
LATTICES, RANK = 30, 4
"""Number of lattices for more columns, and of random columns that each joins."""
LEARNING_RATE, EPOCHS, PATIENCE, BATCH, KEYPOINTS = 0.01, 200, 20, 32, 10


class CalibratedLattices:
    """Piecewise-linear curves of columns, joined by one lattice, or by several for many columns.

    A tenth of the rows are held out, and the best epoch is kept.

    Args:
        is_classification: whether to predict one of two classes.
        monotone: the sign of each constrained column, by its number.
        seed: decides the start and the held-out rows.
    """

    def __init__(self, is_classification: bool, monotone: Mapping[int, int], seed: int) -> None:
        self.is_classification, self.monotone, self.seed = is_classification, monotone, seed

    def fit(self, x: Array, y: Array) -> CalibratedLattices:
        """Train on rows, `(rows, columns)`, and targets, `(rows,)`."""
        tf.config.threading.set_intra_op_parallelism_threads(1)
        keras.utils.set_random_seed(self.seed)
        self.mean, self.std = (0.0, 1.0) if self.is_classification else (y.mean(), y.std())
        self.model = self._build(x)
        loss = (
            keras.losses.BinaryCrossentropy(from_logits=True)
            if self.is_classification
            else keras.losses.MeanSquaredError()
        )
        self.model.compile(loss=loss, optimizer=keras.optimizers.Adam(LEARNING_RATE))
        order = np.random.default_rng(self.seed).permutation(len(x))
        held_out, training = order[: len(x) // 10], order[len(x) // 10 :]
        targets = (y - self.mean) / self.std
        self.model.fit(
            _columns(x[training]),
            targets[training],
            validation_data=(_columns(x[held_out]), targets[held_out]),
            epochs=EPOCHS,
            batch_size=BATCH,
            verbose=0,
            callbacks=[keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)],
        )
        return self

    def _build(self, x: Array) -> Any:
        features = [
            tfl.configs.FeatureConfig(
                name=f"x{column}",
                monotonicity=self.monotone.get(column, 0),
                pwl_calibration_num_keypoints=KEYPOINTS,
                pwl_calibration_input_keypoints=_keypoints(x[:, column]),
            )
            for column in range(x.shape[1])
        ]
        common = {"feature_configs": features, "output_initialization": [-2.0, 2.0]}
        if x.shape[1] <= LARGEST_LATTICE:
            return tfl.premade.CalibratedLattice(tfl.configs.CalibratedLatticeConfig(**common))
        config = tfl.configs.CalibratedLatticeEnsembleConfig(
            **common, num_lattices=LATTICES, lattice_rank=RANK, random_seed=self.seed
        )
        tfl.premade_lib.set_random_lattice_ensemble(config)
        return tfl.premade.CalibratedLatticeEnsemble(config)

    def _outputs(self, x: Array) -> Array:
        return np.asarray(self.model.predict(_columns(x), batch_size=4096, verbose=0))[:, 0]

    def predict(self, x: Array) -> Array:
        """Return the predicted numbers, or classes, `(rows,)`."""
        outputs = self._outputs(x)
        return outputs > 0 if self.is_classification else outputs * self.std + self.mean

    def predict_proba(self, x: Array) -> Array:
        """Return the probabilities of both classes, `(rows, 2)`."""
        second = 1 / (1 + np.exp(-self._outputs(x).astype(np.float64)))
        return np.stack([1 - second, second], axis=1)

    def score(self, x: Array, y: Array) -> float:
        """Return R2, or the share of right classes."""
        measure = accuracy_score if self.is_classification else r2_score
        return float(measure(y, self.predict(x)))


def _columns(x: Array) -> list[Array]:
    return list(x.astype(np.float32).T[:, :, None])


def _keypoints(column: Array) -> Array:
    """Return ascending positions: quantiles of the different numbers in a column."""
    return np.quantile(np.unique(column), np.linspace(0, 1, KEYPOINTS))
