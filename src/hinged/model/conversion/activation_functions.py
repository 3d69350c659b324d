"""Lists the activation functions of torch, each with a module that computes the same function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import resolve_name

Arguments = dict[str, Any]


def _module(module: type[nn.Module], *names: str) -> Callable[[Arguments], nn.Module]:
    """Return a function that builds an instance of the class `module` from keyword arguments.

    The returned function passes only the arguments listed in `names` to the class. It ignores all
    others.
    """
    return lambda given: module(**{name: given[name] for name in names if name in given})


def _prelu(given: Arguments) -> nn.Module:
    weight: Tensor = given["weight"].detach()
    module = nn.PReLU(weight.numel(), device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        module.weight.copy_(weight.flatten())
    return module


def _threshold(given: Arguments) -> nn.Module:
    return nn.Threshold(given["threshold"], given["value"])


# For each function: the names of its arguments after the input, and how to build the module.
_FUNCTIONS: dict[str, tuple[tuple[str, ...], Callable[[Arguments], nn.Module]]] = {
    "relu": (("inplace",), _module(nn.ReLU)),
    "relu6": (("inplace",), _module(nn.ReLU6)),
    "leaky_relu": (("negative_slope", "inplace"), _module(nn.LeakyReLU, "negative_slope")),
    "prelu": (("weight",), _prelu),
    "elu": (("alpha", "inplace"), _module(nn.ELU, "alpha")),
    "selu": (("inplace",), _module(nn.SELU)),
    "celu": (("alpha", "inplace"), _module(nn.CELU, "alpha")),
    "gelu": (("approximate",), _module(nn.GELU, "approximate")),
    "silu": (("inplace",), _module(nn.SiLU)),
    "mish": (("inplace",), _module(nn.Mish)),
    "hardswish": (("inplace",), _module(nn.Hardswish)),
    "hardtanh": (("min_val", "max_val", "inplace"), _module(nn.Hardtanh, "min_val", "max_val")),
    "hardsigmoid": (("inplace",), _module(nn.Hardsigmoid)),
    "softplus": (("beta", "threshold"), _module(nn.Softplus, "beta", "threshold")),
    "softsign": ((), _module(nn.Softsign)),
    "softshrink": (("lambd",), _module(nn.Softshrink, "lambd")),
    "tanhshrink": ((), _module(nn.Tanhshrink)),
    "logsigmoid": ((), _module(nn.LogSigmoid)),
    "tanh": ((), _module(nn.Tanh)),
    "sigmoid": ((), _module(nn.Sigmoid)),
    # The following functions are listed as sites, but never converted: see `UNSUITABLE`.
    "rrelu": (("lower", "upper", "training", "inplace"), _module(nn.RReLU, "lower", "upper")),
    "hardshrink": (("lambd",), _module(nn.Hardshrink, "lambd")),
    "threshold": (("threshold", "value", "inplace"), _threshold),
}
UNSUITABLE = {
    nn.RReLU: "it is random in training, and a curve is not",
    nn.Hardshrink: "it has a jump, and a curve cannot jump",
    nn.Threshold: "it has a jump, and a curve cannot jump",
}
"""Module classes of activations that a curve cannot reproduce, with the reason."""


@functools.cache
def name_of(function: Callable[..., Any]) -> str:
    """Return the name of a torch function or method, without its module path or class.

    >>> name_of(torch.relu), name_of(torch.Tensor.relu_), name_of(torch.Tensor.T.__get__)
    ('relu', 'relu_', 'T')
    """
    full = resolve_name(function) or getattr(function, "__name__", "")
    return str(full).removesuffix(".__get__").rpartition(".")[2]


def is_activation(function: Callable[..., Any]) -> bool:
    """Return whether a torch function is an activation, including in-place functions."""
    return is_name_of_activation(name_of(function))


def is_name_of_activation(name: str) -> bool:
    """Return whether an activation of torch has this name, including in-place functions.

    >>> is_name_of_activation("relu_"), is_name_of_activation("softmax")
    (True, False)
    """
    return _without_underscore(name) in _FUNCTIONS


def is_written_by_user(function: Callable[..., Any]) -> bool:
    """Return whether a function is a Python function outside of torch."""
    return isinstance(function, FunctionType) and resolve_name(function) is None


def argument_names(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the arguments of an activation function, without its input.

    >>> argument_names(torch.nn.functional.leaky_relu)
    ('negative_slope', 'inplace')
    """
    name = _without_underscore(name_of(function))
    if isinstance(function, FunctionType) and is_written_by_user(function):
        code = function.__code__
        return code.co_varnames[1 : code.co_argcount]
    return _FUNCTIONS[name][0] if name in _FUNCTIONS else ()


def arguments_by_name(
    function: Callable[..., Any] | None, others: Sequence[Any], given: Arguments
) -> Arguments:
    """Return the arguments of a call of an activation function after its input, by name.

    A positional argument whose name is not known has its position after the input as its name.

    Args:
        function: the activation function that is called. None for a module, whose arguments have no
            known names.
        others: the positional arguments after the input.
        given: the keyword arguments.

    >>> arguments_by_name(torch.celu, [2.0], {}), arguments_by_name(torch.clamp, [0, 6], {})
    ({'alpha': 2.0}, {'0': 0, '1': 6})
    """
    names = () if function is None else argument_names(function)
    unnamed = map(str, range(len(names), len(others)))
    return dict(zip((*names, *unnamed), others, strict=False)) | given


def writes_in_place(function: Callable[..., Any], args: tuple[Any, ...], given: Arguments) -> bool:
    """Return whether a call of an activation function writes into its input.

    Args:
        function: the activation function.
        args: the positional arguments of the call.
        given: the keyword arguments of the call.
    """
    name = name_of(function)
    if _without_underscore(name) not in _FUNCTIONS:
        return name.endswith("_") or given.get("inplace") is True
    return name not in _FUNCTIONS or bool(_arguments(name, args, given).get("inplace", False))


def module_of(function: Callable[..., Any], args: tuple[Any, ...], given: Arguments) -> nn.Module:
    """Return a module that computes the same function as a call, but not in place.

    Args:
        function: the activation function that is called.
        args: the positional arguments of the call.
        given: the keyword arguments of the call.

    >>> module_of(nn.functional.leaky_relu, (torch.zeros(3), 0.2), {"inplace": True})
    LeakyReLU(negative_slope=0.2)
    """
    name = name_of(function)
    _, build = _FUNCTIONS[_without_underscore(name)]
    return build(_arguments(name, args, given))


def same_activation(one: nn.Module, other: nn.Module) -> bool:
    """Return whether two modules have the same type, the same settings and equal parameters."""
    return (
        type(one) is type(other)
        and settings_of(one) == settings_of(other)
        and all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))
    )


def settings_of(module: nn.Module) -> Arguments:
    """Return the settings of an activation module, without `inplace`.

    >>> settings_of(nn.LeakyReLU(0.2, inplace=True))
    {'negative_slope': 0.2}
    """
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and name not in ("inplace", "training")
    }


def _without_underscore(name: str) -> str:
    """Return the name without the underscore at its end: `relu` for the in-place function `relu_`.

    Names without this underscore are returned unchanged.
    """
    return name.removesuffix("_") if name.removesuffix("_") in _FUNCTIONS else name


def _arguments(name: str, args: tuple[Any, ...], given: Arguments) -> Arguments:
    names, _ = _FUNCTIONS[_without_underscore(name)]
    return dict(zip(names, args[1:], strict=False)) | given
