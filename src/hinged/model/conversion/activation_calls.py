"""Which calls are activations, and the module that each is the same as."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import resolve_name

Arguments = dict[str, Any]


def _plain(module: type[nn.Module]) -> Callable[[Arguments], nn.Module]:
    return lambda given: module()


def _with(module: type[nn.Module], *names: str) -> Callable[[Arguments], nn.Module]:
    return lambda given: module(**{name: given[name] for name in names if name in given})


def _prelu(given: Arguments) -> nn.Module:
    weight: Tensor = given["weight"].detach()
    module = nn.PReLU(weight.numel(), device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        module.weight.copy_(weight.flatten())
    return module


def _threshold(given: Arguments) -> nn.Module:
    return nn.Threshold(given["threshold"], given["value"])


# By the function's name: the names of its arguments behind the input, and the module.
_FUNCTIONS: dict[str, tuple[tuple[str, ...], Callable[[Arguments], nn.Module]]] = {
    "relu": (("inplace",), _plain(nn.ReLU)),
    "relu6": (("inplace",), _plain(nn.ReLU6)),
    "leaky_relu": (("negative_slope", "inplace"), _with(nn.LeakyReLU, "negative_slope")),
    "prelu": (("weight",), _prelu),
    "elu": (("alpha", "inplace"), _with(nn.ELU, "alpha")),
    "selu": (("inplace",), _plain(nn.SELU)),
    "celu": (("alpha", "inplace"), _with(nn.CELU, "alpha")),
    "gelu": (("approximate",), _with(nn.GELU, "approximate")),
    "silu": (("inplace",), _plain(nn.SiLU)),
    "mish": (("inplace",), _plain(nn.Mish)),
    "hardswish": (("inplace",), _plain(nn.Hardswish)),
    "hardtanh": (("min_val", "max_val", "inplace"), _with(nn.Hardtanh, "min_val", "max_val")),
    "hardsigmoid": (("inplace",), _plain(nn.Hardsigmoid)),
    "softplus": (("beta", "threshold"), _with(nn.Softplus, "beta", "threshold")),
    "softsign": ((), _plain(nn.Softsign)),
    "softshrink": (("lambd",), _with(nn.Softshrink, "lambd")),
    "tanhshrink": ((), _plain(nn.Tanhshrink)),
    "logsigmoid": ((), _plain(nn.LogSigmoid)),
    "tanh": ((), _plain(nn.Tanh)),
    "sigmoid": ((), _plain(nn.Sigmoid)),
    # Curves are continuous and trained; these are neither, and are listed with that reason.
    "rrelu": (("lower", "upper", "training", "inplace"), _with(nn.RReLU, "lower", "upper")),
    "hardshrink": (("lambd",), _with(nn.Hardshrink, "lambd")),
    "threshold": (("threshold", "value", "inplace"), _threshold),
}
BOUNDED = (nn.Sigmoid, nn.Hardsigmoid, nn.Tanh)
"""What gates are made of, and the outputs that stand for probabilities."""
UNFIT = {
    nn.RReLU: "it is random in training",
    nn.Hardshrink: "it jumps, and a curve is continuous",
    nn.Threshold: "it jumps, and a curve is continuous",
}
"""Activations that no curve can start as, and why."""


@functools.cache
def name_of(function: Callable[..., Any]) -> str:
    """Return the last name of a torch function or method.

    >>> name_of(torch.relu), name_of(torch.Tensor.relu_), name_of(torch.Tensor.T.__get__)
    ('relu', 'relu_', 'T')
    """
    full = resolve_name(function) or getattr(function, "__name__", "")
    return str(full).removesuffix(".__get__").rpartition(".")[2]


def is_activation(function: Callable[..., Any]) -> bool:
    """Whether a torch function is an activation, in place or not."""
    return _base(name_of(function)) in _FUNCTIONS


def writes_in_place(function: Callable[..., Any], args: tuple[Any, ...], given: Arguments) -> bool:
    """Whether a call of an activation writes into its input."""
    name = name_of(function)
    return name not in _FUNCTIONS or bool(_arguments(name, args, given).get("inplace", False))


def module_of(function: Callable[..., Any], args: tuple[Any, ...], given: Arguments) -> nn.Module:
    """Return the module that a call of an activation is the same as, out of place.

    >>> module_of(nn.functional.leaky_relu, (torch.zeros(3), 0.2), {"inplace": True})
    LeakyReLU(negative_slope=0.2)
    """
    name = _base(name_of(function))
    return _FUNCTIONS[name][1](_arguments(name, args, given))


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two activations are the same function, as far as their settings tell."""
    return (
        type(one) is type(other)
        and _settings(one) == _settings(other)
        and all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    )


def _settings(module: nn.Module) -> Arguments:
    own = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    return {key: value for key, value in own.items() if key not in ("inplace", "training")}


def _base(name: str) -> str:
    """Return the name without the underscore of the form that writes in place."""
    return name.removesuffix("_") if name.removesuffix("_") in _FUNCTIONS else name


def _arguments(name: str, args: tuple[Any, ...], given: Arguments) -> Arguments:
    names = _FUNCTIONS[_base(name)][0]
    return dict(zip(names, args[1:], strict=False)) | given
