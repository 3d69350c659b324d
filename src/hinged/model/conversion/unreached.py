"""Lists the activations of a model that a survey of its activations has not reached."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from torch import nn

from hinged.model.conversion.activation_call import ActivationCall
from hinged.model.conversion.call_syntax import written_calls
from hinged.model.conversion.methods import methods_of_class
from hinged.nn import Site

_UNREACHED = "the model does not reach it with these data"
_RECURRENT = (nn.RNNBase, nn.RNNCellBase)
_NAMES = re.compile(
    r"relu|elu$|gelu|silu|swish|mish|sigmoid|tanh|softplus|softsign|shrink|threshold", re.IGNORECASE
)


def unreached_sites(
    model: nn.Module,
    calls: Collection[ActivationCall],
    executed: Collection[int],
    activations: tuple[type[nn.Module], ...],
) -> list[Site]:
    """Return a description of each activation of a model that is not among the recorded calls.

    These are activation modules that were not executed, calls of activation functions in a
    `forward` that were not executed, and the activations inside recurrent layers of torch.

    Args:
        model: the model.
        calls: the calls that were recorded.
        executed: the `id`s of the modules that were executed.
        activations: additional module classes that compute an elementwise activation.
    """
    lines = {(id(call.location.owner), call.location.span[0]) for call in calls}
    owners = {id(call.location.owner) for call in calls}
    modules = {id(call.module) for call in calls}
    sites: list[Site] = []
    for name, module in model.named_modules():
        reason = _UNREACHED
        if isinstance(module, _RECURRENT):
            reason = f"inside {type(module).__name__}, which computes its activations itself"
        elif id(module) in modules:
            continue
        elif not _is_activation(module, activations):
            sites += _calls_in_forward(name, module, lines)
            continue
        elif id(module) in executed or id(module) in owners:
            continue
        sites.append(Site(name, str(module), 1, None, calls=0, skipped=reason))
    return sites


def _is_activation(module: nn.Module, activations: tuple[type[nn.Module], ...]) -> bool:
    """Return whether a module is an activation, as its class or the name of its class shows."""
    is_leaf = next(module.children(), None) is None
    is_named_so = is_leaf and _NAMES.search(type(module).__name__) is not None
    return isinstance(module, activations) or is_named_so


def _calls_in_forward(
    name: str, module: nn.Module, lines: Collection[tuple[int, int | None]]
) -> Iterator[Site]:
    """Yield the activation functions in the `forward` of a module that were not executed."""
    module_type: Any = type(module)
    method = methods_of_class(module_type).get("forward")
    is_of_torch = module_type.__module__.partition(".")[0] == "torch"
    if method is None or is_of_torch or "forward" in vars(module):
        return
    for call in written_calls(method):
        if not any((id(module), line) in lines for line in call.lines):
            source = f"forward of {module_type.__name__}, line {call.lines[0]}"
            reason = _UNREACHED
            yield Site(name, call.text, 1, None, calls=0, source=source, skipped=reason)
