"""hinged replaces the activations of a network by trainable piecewise-linear curves. The curves
have fixed hinges. They start as the activations that they replace: exactly, if these are piecewise
linear, and as the closest fit, if they are smooth."""

import typing as _typing
from importlib import import_module as _import_module

from hinged._torch_import import import_torch as _import_torch

if _typing.TYPE_CHECKING:
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
    from hinged.nn import PiecewiseLinear, constrain, param_groups, penalty
    from hinged.nn.piecewise_function import piecewise_linear

    __version__: str

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

# `import hinged` does not import torch, because the command line must start quickly. A name is
# imported from its module when it is first used (PEP 562).
_MODULES = ("curve", "hub", "kernels", "model", "nn", "optim")
_NAMES = {
    "curve": ("Curve",),
    "nn": ("PiecewiseLinear", "constrain", "param_groups", "penalty", "piecewise_linear"),
}  # All other names are in `hinged.model`.

if not _typing.TYPE_CHECKING:  # Otherwise mypy would accept every name.

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used."""
        if name == "__version__":
            return _import_module("importlib.metadata").version("hinged")
        if name == "errors":
            return _import_module("hinged.errors")
        if name not in (*_MODULES, *__all__):
            raise AttributeError(f"module 'hinged' has no attribute {name!r}")
        _import_torch()
        if name in _MODULES:
            return _import_module(f"hinged.{name}")
        home = next((module for module, names in _NAMES.items() if name in names), "model")
        value = globals()[name] = getattr(_import_module(f"hinged.{home}"), name)
        return value


def __dir__() -> list[str]:
    """Return the public names, including those that were not imported yet."""
    return sorted({*globals(), *__all__, *_MODULES, "__version__", "errors"})
