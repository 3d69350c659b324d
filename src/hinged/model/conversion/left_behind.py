"""Finds what the model does not use any more of replaced activations: parameters and hooks.

A module that is called several times stays in the model when its calls are replaced. Its parameters
then get no gradients, which DistributedDataParallel takes for an error, so they are frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn
from torch.overrides import TorchFunctionMode

from hinged.model.conversion.activation_functions import name_of
from hinged.model.conversion.contained_tensors import tensors_in
from hinged.model.conversion.decisions import Decision
from hinged.model.conversion.frozen_products import call_quickly
from hinged.model.conversion.install import originals_of
from hinged.model.conversion.operations import METADATA, plain_name
from hinged.model.conversion.targets import ModuleSlot

_STATE_HOOKS = (
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)


class ParameterReads(TorchFunctionMode):
    """Notes during a `with` block of which parameters the functions of torch read the numbers.

    >>> import torch
    >>> weight = nn.Parameter(torch.ones(2))
    >>> with ParameterReads() as reads:
    ...     size, _ = weight.shape, torch.relu(weight)
    >>> weight in reads.parameters
    True
    """

    def __init__(self) -> None:
        super().__init__()
        self.parameters: set[nn.Parameter] = set()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        result = call_quickly(func, args, given)
        is_attribute = getattr(func, "__name__", "") == "__get__"
        if plain_name(name_of(func)) not in METADATA and (not is_attribute or tensors_in(result)):
            found = tensors_in((args, given))
            self.parameters.update(each for each in found if isinstance(each, nn.Parameter))
        return result


def parameters_of_replaced(decisions: Iterable[Decision]) -> list[nn.Parameter]:
    """Return the parameters of activation modules of which all calls are replaced by curves."""
    calls = [(each.candidate.call.module, each.layer) for each in decisions]
    still_used = {
        parameter
        for module, layer in calls
        if layer is None and module is not None
        for parameter in module.parameters()
    }
    replaced = [module for module, layer in calls if layer is not None and module is not None]
    parameters = dict.fromkeys(each for module in replaced for each in module.parameters())
    return [each for each in parameters if each not in still_used]


def describe_state_hooks(decisions: Iterable[Decision]) -> list[str]:
    """Return sentences for the user, at most one, about hooks that are not called any more.

    Curve layers have the forward and backward hooks of the modules that they replace. They do not
    have the hooks for saving and loading, which expect the state of the old module.
    """
    names = [
        each.site.name
        for each in decisions
        if each.layer is not None and isinstance(each.candidate.target, ModuleSlot)
        if any(getattr(each.candidate.call.module, hooks) for hooks in _STATE_HOOKS)
    ]
    if not names:
        return []
    return [f"Hooks of {', '.join(names)} on its state_dict are not called until revert."]


def freeze(model: nn.Module, unused: Iterable[nn.Parameter]) -> list[str]:
    """Freeze parameters that the model does not use any more, until `revert`.

    Args:
        model: the converted model.
        unused: the parameters. Those that the model does not contain are left out.

    Returns:
        A list of sentences for the user, at most one.
    """
    found, names = set(unused), []
    for prefix, module in model.named_modules():
        for name, parameter in module._parameters.items():
            if parameter in found and parameter.requires_grad:
                parameter.requires_grad_(False)
                originals_of(module).frozen.append(name)
                names.append(f"{prefix}.{name}".strip("."))
    if not names:
        return []
    verb = "has no effect any more and is" if len(names) == 1 else "have no effect any more and are"
    return [f"{', '.join(names)} {verb} frozen, because curves replace the activations."]
