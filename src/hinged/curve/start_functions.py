"""The functions that a curve can start as, with the positions of their kinks."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hinged import errors
from hinged.curve.curve import Curve

Start = str | nn.Module | Curve | Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class StartFunction:
    """An elementwise function and the positions of its kinks, where its slope jumps.

    Args:
        name: name of the function in error messages.
        call: the function itself. It maps a tensor `(M, C)`, with `M` inputs for each of `C`
            channels, to a tensor of the same shape.
        kinks: input positions of the kinks.
        same_for_all_channels: True if the function is known to be the same for all channels. False
            means that it may differ between channels.
        source: name of the public function and argument that the user passed, for error messages.
        bends: input positions where the slope jumps, but where the curve needs no hinge, because it
            has to be fitted anyway.
    """

    name: str
    call: Callable[[Tensor], Tensor]
    kinks: tuple[float, ...] = ()
    same_for_all_channels: bool = False
    source: str = "hinged.curve.resolve_start(start)"
    bends: tuple[float, ...] = ()

    @property
    def curve(self) -> Curve | None:
        """The function itself if it is a `Curve`, otherwise None."""
        return self.call if isinstance(self.call, Curve) else None


def _identity(x: Tensor) -> Tensor:
    return x


START_FUNCTIONS: dict[str, StartFunction] = {
    function.name: replace(function, same_for_all_channels=True)
    for function in (
        StartFunction("identity", _identity),
        StartFunction("abs", torch.abs, (0.0,)),
        StartFunction("relu", F.relu, (0.0,)),
        StartFunction("leaky_relu", F.leaky_relu, (0.0,)),
        StartFunction("relu6", F.relu6, (0.0, 6.0)),
        StartFunction("hardtanh", F.hardtanh, (-1.0, 1.0)),
        StartFunction("hardsigmoid", F.hardsigmoid, (-3.0, 3.0)),
        StartFunction("softshrink", F.softshrink, (-0.5, 0.5)),
        StartFunction("gelu", F.gelu),
        StartFunction("silu", F.silu),
        StartFunction("mish", F.mish),
        StartFunction("hardswish", F.hardswish, bends=(-3.0, 3.0)),
        StartFunction("elu", F.elu),
        StartFunction("selu", F.selu, (0.0,)),
        StartFunction("celu", F.celu),
        StartFunction("softplus", F.softplus),
        StartFunction("softsign", F.softsign),
        StartFunction("logsigmoid", F.logsigmoid),
        StartFunction("tanh", torch.tanh),
        StartFunction("tanhshrink", F.tanhshrink),
        StartFunction("sigmoid", torch.sigmoid),
    )
}

# Functions of torch that equal a named start function.
_TORCH_CALLABLES: list[tuple[Callable[[Tensor], Tensor], StartFunction]] = [
    (function.call, function) for function in START_FUNCTIONS.values()
] + [
    (torch.relu, START_FUNCTIONS["relu"]),
    (torch.selu, START_FUNCTIONS["selu"]),
    (torch.celu, START_FUNCTIONS["celu"]),
    (F.tanh, START_FUNCTIONS["tanh"]),
    (F.sigmoid, START_FUNCTIONS["sigmoid"]),
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


def resolve_start(
    start: Start | StartFunction,
    source: str = "hinged.curve.resolve_start(start)",
    names: Iterable[str] = START_FUNCTIONS,
) -> StartFunction:
    """Return the `StartFunction` for a name, a Python function, a module or a curve.

    Args:
        start: name of a start function such as `"relu"`, a Python function that maps a tensor
            `(M, C)` to a tensor of the same shape, an `nn.Module`, or a `Curve`. Here `M` is any
            number of inputs for each of `C` channels. A `StartFunction` is returned unchanged.
        source: name of the public function and argument that the user passed, for error messages.
        names: the names that the error message lists.

    Raises:
        UnknownNameError: if the name is not in `START_FUNCTIONS`. The message lists the most
            similar names.
        ArgumentError: if `start` has another type, or is a class.

    >>> resolve_start("relu6").kinks
    (0.0, 6.0)
    """
    if isinstance(start, StartFunction):
        return start
    if isinstance(start, str):
        if start not in START_FUNCTIONS:
            raise errors.unknown_name(source, start, names)
        return replace(START_FUNCTIONS[start], source=source)
    if isinstance(start, Curve):
        return StartFunction("the curve", start, source=source)
    if isinstance(start, nn.Module):
        return _from_module(start, source)
    if isinstance(start, type):
        name = start.__name__
        hint = f"pass an object of this class, for example init={name}()"
        raise errors.ArgumentError(errors.message(source, f"the class {name}", hint))
    if not callable(start):
        hint = "expected a name, a function that takes a tensor, an nn.Module or a Curve"
        raise errors.ArgumentError(errors.message(source, errors.shown(start), hint))
    for call, function in _TORCH_CALLABLES:
        if call is start:
            return replace(function, source=source)
    name = getattr(start, "__name__", repr(start))
    return StartFunction(name, start, _kink_at_zero(start, name), source=source)


def _from_module(module: nn.Module, source: str) -> StartFunction:
    """Return the `StartFunction` that calls a copy of the module in evaluation mode on the CPU."""
    name = type(module).__name__
    copied = copy.deepcopy(module).cpu().eval()

    def call(x: Tensor) -> Tensor:
        return copied.to(x.dtype)(x)  # type: ignore[no-any-return]

    kinks_of = _MODULE_KINKS.get(type(module))
    kinks = kinks_of(module) if kinks_of else _kink_at_zero(call, name)
    # An activation of torch differs between channels only if it has parameters, as PReLU has.
    from_torch = type(module).__module__ == nn.ReLU.__module__
    same = from_torch and next(module.parameters(), None) is None
    bends = START_FUNCTIONS["hardswish"].bends if isinstance(module, nn.Hardswish) else ()
    return StartFunction(name, call, kinks, same, source, bends)


def _kink_at_zero(call: Callable[[Tensor], Tensor], name: str) -> tuple[float, ...]:
    """Return `(0.0,)` if the slopes left and right of 0 differ, otherwise an empty tuple.

    Most user functions with a kink have the kink at 0. A kink elsewhere is not found, so the
    least-squares fit approximates it.
    """
    near = torch.tensor([[-1e-6], [0.0], [1e-6]], dtype=torch.float64)
    try:
        left, right = sample(StartFunction(name, call), near).diff(dim=0).squeeze(-1) / 1e-6
    except errors.ArgumentError:  # The function may need C channels. The fit reports other errors.
        return ()
    return (0.0,) if (left - right).abs() > 1e-4 * (1 + left.abs() + right.abs()) else ()


def sample(function: StartFunction, positions: Tensor) -> Tensor:
    """Return the outputs of the function at `positions`, after a check of the outputs.

    Args:
        function: the function.
        positions: `M` inputs for each of `C` channels, shape `(M, C)`.

    Returns:
        A tensor of the shape and dtype of `positions`.

    Raises:
        ArgumentError: if the function fails, or if its outputs are not finite or have another
            shape.
    """
    channels = positions.shape[1]
    if function.curve is not None and function.curve.channels not in (1, channels):
        got = f"a curve of {function.curve.channels} channels"
        hint = f"expected 1 or {channels} channels"
        raise errors.ArgumentError(errors.message(function.source, got, hint))
    with torch.no_grad():
        try:
            outputs = function.call(positions.clone())
        except (RuntimeError, TypeError, ValueError) as error:
            if isinstance(error, errors.HingedError):
                raise
            got = f"{function.name}, which raises {type(error).__name__}: {error}"
            hint = "the function must map a tensor (M, C) to the same shape, for C channels"
            raise errors.ArgumentError(errors.message(function.source, got, hint)) from error
    if not isinstance(outputs, Tensor) or outputs.shape != positions.shape:
        returned = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        got = f"{function.name}, which returns {returned}"
        hint = f"expected a tensor of the input's shape {tuple(positions.shape)}"
        raise errors.ArgumentError(errors.message(function.source, got, hint))
    if not outputs.isfinite().all():
        got = f"{function.name}, which returns NaN or infinite values"
        hint = "it must be finite from the first to the last hinge: choose another range"
        raise errors.ArgumentError(errors.message(function.source, got, hint))
    return outputs.to(positions.dtype)
