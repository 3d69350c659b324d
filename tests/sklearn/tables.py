"""Small tables for the tests of the estimators."""

import numpy as np


def regression_table(rows=120, features=3, outputs=1, seed=0):
    random = np.random.RandomState(seed)
    X = random.randn(rows, features)
    y = np.abs(X[:, :1]) + X[:, 1:2] + 0.1 * random.randn(rows, outputs)
    return X, y[:, 0] if outputs == 1 else y


def class_table(rows=150, seed=0, labels=("high", "low", "middle")):
    """Return a table whose classes depend on the distance from the centre."""
    random = np.random.RandomState(seed)
    X = random.randn(rows, 2)
    distance = np.hypot(*X.T)
    numbers = np.digitize(distance, [0.9, 1.6])
    return X, np.array(labels)[numbers]
