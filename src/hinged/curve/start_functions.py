"""The functions a curve can start as: their names, and where they have kinks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinged import errors
from hinged.curve.curve import Curve

Start = str | nn.Module | Curve | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Function:
    """An elementwise function and the positions at which its slope jumps.

    Args:
        name: how messages call it.
        call: maps a tensor `(M, C)` to a tensor of the same shape.
        kinks: positions of its kinks, in units of the input.
        alike: whether it is known to be the same for all channels.
    """

    name: str
    call: Callable[[Tensor], Tensor]
    kinks: tuple[float, ...] = ()
    alike: bool = False


def _identity(x: Tensor) -> Tensor:
    return x


NAMED: dict[str, Function] = {
    function.name: replace(function, alike=True)
    for function in (
        Function("identity", _identity),
        Function("abs", torch.abs, (0.0,)),
        Function("relu", F.relu, (0.0,)),
        Function("leaky_relu", F.leaky_relu, (0.0,)),
        Function("relu6", F.relu6, (0.0, 6.0)),
        Function("hardtanh", F.hardtanh, (-1.0, 1.0)),
        Function("hardsigmoid", F.hardsigmoid, (-3.0, 3.0)),
        Function("softshrink", F.softshrink, (-0.5, 0.5)),
        Function("gelu", F.gelu),
        Function("silu", F.silu),
        Function("mish", F.mish),
        Function("hardswish", F.hardswish),
        Function("elu", F.elu),
        Function("selu", F.selu, (0.0,)),
        Function("celu", F.celu),
        Function("softplus", F.softplus),
        Function("softsign", F.softsign),
        Function("logsigmoid", F.logsigmoid),
        Function("tanh", torch.tanh),
        Function("tanhshrink", F.tanhshrink),
        Function("sigmoid", torch.sigmoid),
    )
}

# The same function under torch's other names.
_CALLS = [(function.call, function) for function in NAMED.values()] + [
    (torch.relu, NAMED["relu"]),
    (torch.selu, NAMED["selu"]),
    (torch.celu, NAMED["celu"]),
    (F.tanh, NAMED["tanh"]),
    (F.sigmoid, NAMED["sigmoid"]),
]

_MODULE_KINKS: dict[type[nn.Module], Callable[[nn.Module], tuple[float, ...]]] = {
    nn.ReLU: lambda module: (0.0,),
    nn.LeakyReLU: lambda module: (0.0,),
    nn.PReLU: lambda module: (0.0,),
    nn.SELU: lambda module: (0.0,),
    nn.Hardsigmoid: lambda module: (-3.0, 3.0),
    nn.Hardtanh: lambda module: (float(module.min_val), float(module.max_val)),  # type: ignore[arg-type]
    nn.ReLU6: lambda module: (0.0, 6.0),
    nn.Softshrink: lambda module: (-float(module.lambd), float(module.lambd)),  # type: ignore[arg-type]
}


def resolve(start: Start) -> Function:
    """Return the function that a name, a callable, a module or a curve stands for.

    Raises:
        UnknownNameError: a name that is not in `NAMED`; the nearest names are listed.
        ArgumentError: something that is none of the four.
    """
    if isinstance(start, str):
        if start not in NAMED:
            raise errors.unknown_name("hinged.PiecewiseLinear(init=...)", start, NAMED)
        return NAMED[start]
    if isinstance(start, Curve):
        return Function("the curve", start)
    if isinstance(start, nn.Module):
        return _module_function(start)
    if not callable(start):
        hint = "expected a name, a callable on a tensor, an nn.Module or a Curve"
        raise errors.ArgumentError(
            errors.message("hinged.PiecewiseLinear(init=...)", repr(start), hint)
        )
    known = next((function for call, function in _CALLS if call is start), None)
    name = getattr(start, "__name__", repr(start))
    return known or Function(name, start, _kink_at_zero(start, name))


def _module_function(module: nn.Module) -> Function:
    name = type(module).__name__
    copied = copy.deepcopy(module).cpu().eval()

    def call(x: Tensor) -> Tensor:
        return copied.to(x.dtype)(x)  # type: ignore[no-any-return]

    known = _MODULE_KINKS.get(type(module))
    # torch's own activations differ by channel only through parameters, as PReLU's slopes.
    own = type(module).__module__ == nn.ReLU.__module__
    alike = own and next(module.parameters(), None) is None
    return Function(name, call, known(module) if known else _kink_at_zero(call, name), alike)


def _kink_at_zero(call: Callable[[Tensor], Tensor], name: str) -> tuple[float, ...]:
    """Return `(0.0,)` where the one-sided slopes at 0 differ, which is where a function of the
    user's own most often has its kink; others are met by the least-squares fit."""
    near = torch.tensor([[-1e-6], [0.0], [1e-6]], dtype=torch.float64)
    try:
        left, right = sample(Function(name, call), near).diff(dim=0).squeeze(-1) / 1e-6
    except errors.ArgumentError:  # It may want C channels; the fit says what is wrong, if so.
        return ()
    return (0.0,) if (left - right).abs() > 1e-4 * (1 + left.abs() + right.abs()) else ()


def sample(function: Function, positions: Tensor) -> Tensor:
    """Return the function at `positions` `(M, C)`, checked to be an elementwise answer.

    Raises:
        ArgumentError: the call fails or returns something else than finite values of that shape.
    """
    call = f"hinged.PiecewiseLinear(init={function.name})"
    with torch.no_grad():
        try:
            outputs = function.call(positions.clone())
        except (RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, errors.HingedError):
                raise
            hint = "it must map a tensor (M, C) to one of the same shape"
            raise errors.ArgumentError(
                errors.message(call, f"{type(error).__name__}: {error}", hint)
            ) from error
    if not isinstance(outputs, Tensor) or outputs.shape != positions.shape:
        got = f"{tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__}"
        hint = f"expected a tensor of the input's shape {tuple(positions.shape)}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    if not outputs.isfinite().all():
        hint = "it must be finite over the range: choose another range"
        raise errors.ArgumentError(errors.message(call, "NaN or infinite values", hint))
    return outputs.to(positions.dtype)
