"""Raises an error for models that cannot be converted, such as compiled models, and for wrong
classes of activations."""

from __future__ import annotations

from typing import Any

from torch import nn

from hinged import errors
from hinged.nn import check_model

# The classes are listed by name, because some are private and some are imported only when needed.
_WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel")
_COMPILED = ("OptimizedModule", "ScriptModule", "RecursiveScriptModule", "TopLevelTracedModule")


def reject_unsupported(model: nn.Module, call: str) -> None:
    """Raise `ArgumentError` if a model is not a module, or is on the meta device, wrapped, compiled
    or scripted.

    Args:
        model: the model.
        call: the name of the public function for error messages.
    """
    check_model(model, call)
    call = f"{call}(model)"
    if any(parameter.is_meta for parameter in model.parameters()):
        got = "a model on the meta device"
        hint = (
            "the model must run, so give it memory with model.to_empty(device='cpu') and load or "
            "initialise its weights first"
        )
        raise errors.ArgumentError(errors.message(call, got, hint))
    classes = {base.__name__ for module in model.modules() for base in type(module).__mro__}
    for wrapper in (name for name in _WRAPPERS if name in classes):
        hint = "pass the model inside the wrapper (its .module), and create the wrapper afterwards"
        raise errors.ArgumentError(errors.message(call, f"a model in {wrapper}", hint))
    for compiled in (name for name in _COMPILED if name in classes):
        hint = "pass the model before it is compiled or scripted"
        raise errors.ArgumentError(
            errors.message(call, f"a model that contains the compiled module {compiled}", hint)
        )


def check_activation_classes(activations: Any, call: str) -> None:
    """Raise `ArgumentError` unless the argument `activations` is a list of module classes.

    Args:
        activations: what the user passed.
        call: the name of the public function for error messages.
    """
    listed = isinstance(activations, list | tuple)
    for each in activations if listed else [activations]:
        is_class = isinstance(each, type) and issubclass(each, nn.Module)
        if not (listed and is_class):
            name = each.__name__ if is_class else type(each).__name__
            hint = f"expected a list of classes, for example activations=[{name}]"
            if not isinstance(each, nn.Module) and not is_class:
                hint = "expected a list of your own activation classes, which are nn.Module"
            call = f"{call}(activations=...)"
            raise errors.ArgumentError(errors.message(call, errors.shown(each), hint))
