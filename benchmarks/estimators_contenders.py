"""The contenders of `benchmarks/estimators.py`, with their defaults and their search spaces.

All have the arguments of their own defaults, one thread, and a random seed. What scales its columns
inside (hinged, RealMLP), or does not depend on their scale (trees), gets the table as it is. The
others get what their users give them: columns scaled to mean 0 and standard deviation 1. The MLP of
scikit-learn, which would otherwise fail on some tables, also gets targets scaled like that. The
means and deviations are those of the training rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn import ensemble, linear_model, neural_network
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hinged import sklearn as hinged_sklearn

Settings = dict[str, Any]
Space = Callable[[np.random.Generator, bool], Settings]
"""A function that draws random settings. It gets whether the task is a classification."""


@dataclass(frozen=True)
class Contender:
    """An estimator to compare.

    Attributes:
        label: the name in tables and pictures.
        regressor: returns an estimator for regression with a seed and settings.
        classifier: returns an estimator for classification with a seed and settings.
        space: draws random settings.
        package: the package that it needs.
    """

    label: str
    regressor: Callable[..., Any]
    classifier: Callable[..., Any]
    space: Space
    package: str = "sklearn"

    @property
    def is_installed(self) -> bool:
        """Whether its package is installed."""
        return find_spec(self.package) is not None

    def make(self, is_classification: bool, seed: int, settings: Settings | None = None) -> Any:
        """Return an estimator that was not trained yet."""
        make = self.classifier if is_classification else self.regressor
        return make(random_state=seed, **(settings or {}))


def _log_uniform(draw: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(draw.uniform(np.log(low), np.log(high))))


def _choose(draw: np.random.Generator, *values: Any) -> Any:
    return values[draw.integers(len(values))]


# Networks ----------------------------------------------------------------------------------------


def _hinged(kind: type, activation: str) -> Callable[..., Any]:
    return lambda **settings: kind(activation=activation, **settings)


def _one_network(kind: type) -> Callable[..., Any]:
    return lambda **settings: kind(n_ensemble=1, **settings)


def _relu_space(draw: np.random.Generator, _: bool) -> Settings:
    return {
        "hidden_layer_sizes": _choose(draw, (32, 32), (64, 64), (128, 128), (64, 64, 64)),
        "learning_rate_init": _log_uniform(draw, 0.001, 0.03),
        "alpha": _log_uniform(draw, 1e-6, 1.0),
        "batch_size": _choose(draw, "auto", 32, 128),
    }


def _curve_space(draw: np.random.Generator, is_classification: bool) -> Settings:
    settings = _relu_space(draw, is_classification)
    return {**settings, "smoothing": _log_uniform(draw, 0.003, 0.3)}


def _scaled_mlp_regressor(**settings: Any) -> Any:
    model = make_pipeline(StandardScaler(), neural_network.MLPRegressor(**settings))
    return TransformedTargetRegressor(model, transformer=StandardScaler())


def _scaled_mlp_classifier(**settings: Any) -> Any:
    return make_pipeline(StandardScaler(), neural_network.MLPClassifier(**settings))


def _mlp_space(draw: np.random.Generator, _: bool) -> Settings:
    return {
        "hidden_layer_sizes": _choose(draw, (100,), (64, 64), (128, 128), (64, 64, 64)),
        "learning_rate_init": _log_uniform(draw, 0.0003, 0.01),
        "alpha": _log_uniform(draw, 1e-6, 1.0),
        "batch_size": _choose(draw, "auto", 32, 128),
        "max_iter": _choose(draw, 200, 500),
    }


def _realmlp(kind: str, curves: bool) -> Callable[..., Any]:
    def make(random_state: int, **settings: Any) -> Any:
        import realmlp  # It needs pytabkit.

        return getattr(realmlp, kind)(curves, random_state, settings)

    return make


def _realmlp_space(draw: np.random.Generator, is_classification: bool) -> Settings:
    rate = (0.01, 0.1) if is_classification else (0.05, 0.5)
    return {
        "lr": _log_uniform(draw, *rate),
        "p_drop": float(draw.uniform(0.0, 0.3)),
        "wd": _log_uniform(draw, 1e-3, 5e-2),
        "plr_sigma": _log_uniform(draw, 0.05, 1.0),
    }


# Linear models and trees -------------------------------------------------------------------------


def _ridge(**settings: Any) -> Any:
    return make_pipeline(StandardScaler(), linear_model.Ridge(**settings))


def _logistic(**settings: Any) -> Any:
    return make_pipeline(StandardScaler(), linear_model.LogisticRegression(**settings))


def _linear_space(draw: np.random.Generator, is_classification: bool) -> Settings:
    strength = _log_uniform(draw, 1e-3, 1e3)
    return {"C": strength} if is_classification else {"alpha": strength}


def _forest_space(draw: np.random.Generator, _: bool) -> Settings:
    return {
        "max_features": float(draw.uniform(0.2, 1.0)),
        "min_samples_leaf": _choose(draw, 1, 2, 5, 10),
        "n_estimators": 200,
    }


def _boosting_space(draw: np.random.Generator, _: bool) -> Settings:
    return {
        "learning_rate": _log_uniform(draw, 0.01, 0.3),
        "max_iter": _choose(draw, 100, 300),
        "max_leaf_nodes": _choose(draw, 7, 15, 31, 63),
        "min_samples_leaf": _choose(draw, 5, 10, 20, 40),
        "l2_regularization": _log_uniform(draw, 1e-3, 10.0),
    }


def _from_package(package: str, kind: str, **always: Any) -> Callable[..., Any]:
    """Return a maker that imports an optional package when it makes an estimator."""

    def make(**settings: Any) -> Any:
        return getattr(import_module(package), kind)(n_jobs=1, **always, **settings)

    return make


def _lightgbm_space(draw: np.random.Generator, _: bool) -> Settings:
    return {
        "learning_rate": _log_uniform(draw, 0.01, 0.3),
        "n_estimators": _choose(draw, 100, 300),
        "num_leaves": _choose(draw, 7, 15, 31, 63),
        "min_child_samples": _choose(draw, 5, 10, 20, 40),
        "reg_lambda": _log_uniform(draw, 1e-3, 10.0),
    }


def _xgboost_space(draw: np.random.Generator, _: bool) -> Settings:
    return {
        "learning_rate": _log_uniform(draw, 0.01, 0.3),
        "n_estimators": _choose(draw, 100, 300),
        "max_depth": _choose(draw, 3, 4, 6, 9),
        "min_child_weight": _log_uniform(draw, 0.1, 20.0),
        "reg_lambda": _log_uniform(draw, 1e-3, 10.0),
    }


_HINGED = hinged_sklearn.MLPRegressor, hinged_sklearn.MLPClassifier

CONTENDERS: dict[str, Contender] = {
    "hinged": Contender("hinged", *(_hinged(kind, "hinged") for kind in _HINGED), _curve_space),
    "relu": Contender("hinged, ReLU", *(_hinged(kind, "relu") for kind in _HINGED), _relu_space),
    "one-network": Contender("hinged, one network", *map(_one_network, _HINGED), _curve_space),
    "sklearn-mlp": Contender(
        "scikit-learn MLP", _scaled_mlp_regressor, _scaled_mlp_classifier, _mlp_space
    ),
    "linear": Contender("linear", _ridge, _logistic, _linear_space),
    "forest": Contender(
        "random forest",
        ensemble.RandomForestRegressor,
        ensemble.RandomForestClassifier,
        _forest_space,
    ),
    "hist-boosting": Contender(
        "HistGradientBoosting",
        ensemble.HistGradientBoostingRegressor,
        ensemble.HistGradientBoostingClassifier,
        _boosting_space,
    ),
    "lightgbm": Contender(
        "LightGBM",
        _from_package("lightgbm", "LGBMRegressor", verbose=-1),
        _from_package("lightgbm", "LGBMClassifier", verbose=-1),
        _lightgbm_space,
        "lightgbm",
    ),
    "xgboost": Contender(
        "XGBoost",
        _from_package("xgboost", "XGBRegressor"),
        _from_package("xgboost", "XGBClassifier"),
        _xgboost_space,
        "xgboost",
    ),
    **{
        name: Contender(
            label,
            _realmlp("RealMLPRegressor", curves),
            _realmlp("RealMLPClassifier", curves),
            _realmlp_space,
            "pytabkit",
        )
        for name, label, curves in (
            ("realmlp", "RealMLP", False),
            ("realmlp-curves", "RealMLP, curves", True),
        )
    },
}
SLOW = ("realmlp", "realmlp-curves")
"""The contenders that come last, because they take most of the time."""
