"""Rejects models that cannot be converted."""

from __future__ import annotations

from torch import nn

from hinged import errors

# Class names, because some of the classes are private and some are imported only if needed.
_WRAPPERS = ("DistributedDataParallel", "DataParallel", "FullyShardedDataParallel")
_COMPILED = ("OptimizedModule", "ScriptModule", "RecursiveScriptModule", "TopLevelTracedModule")


def reject_unsupported(model: nn.Module, call: str) -> None:
    """Raise `ArgumentError` if a model is on the meta device, wrapped, compiled or scripted.

    Args:
        model: the model.
        call: the public function that the user called, for messages.
    """
    call = f"{call}(model)"
    if any(parameter.is_meta for parameter in model.parameters()):
        got = "a model on the meta device"
        hint = "to run, it needs memory and weights: call model.to_empty(device='cpu') first"
        raise errors.ArgumentError(errors.message(call, got, hint))
    classes = {base.__name__ for module in model.modules() for base in type(module).__mro__}
    for wrapper in classes.intersection(_WRAPPERS):
        hint = "convert the model inside (its .module) and wrap it afterwards"
        raise errors.ArgumentError(errors.message(call, f"a model in {wrapper}", hint))
    for compiled in classes.intersection(_COMPILED):
        hint = "convert the model before it is compiled or scripted"
        raise errors.ArgumentError(errors.message(call, f"a {compiled}", hint))
