"""hinged makes a network's activations trainable: piecewise-linear curves with fixed hinges, whose
values are learned by gradient descent, started as exactly the function they replace."""

from importlib.metadata import version as _version

from hinged import curve, hub, optim
from hinged.curve import Curve
from hinged.model import (
    History,
    animate,
    calibrate,
    calibrate_after,
    convert,
    copy_curves,
    diagnose,
    load_curves,
    monitor_range,
    plot,
    revert,
    save_curves,
    share,
    simplify,
    sites,
    to_native,
    train_only,
)
from hinged.nn import PiecewiseLinear, constrain, param_groups, penalty, piecewise_linear

__version__ = _version("hinged")

__all__ = [
    "Curve",
    "History",
    "PiecewiseLinear",
    "animate",
    "calibrate",
    "calibrate_after",
    "constrain",
    "convert",
    "copy_curves",
    "curve",
    "diagnose",
    "hub",
    "load_curves",
    "monitor_range",
    "optim",
    "param_groups",
    "penalty",
    "piecewise_linear",
    "plot",
    "revert",
    "save_curves",
    "share",
    "simplify",
    "sites",
    "to_native",
    "train_only",
]
