"""hinged replaces the activations of a network by trainable piecewise-linear curves. The curves
have fixed hinges and start as exactly the function that they replace."""

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
