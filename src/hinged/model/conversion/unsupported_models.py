"""Raises an error for models that cannot be converted, such as compiled models."""

from __future__ import annotations

import torch
from torch import nn
from torch.fx import Graph

from hinged import errors
from hinged.nn import check_model
from hinged.nn.distributed_tensors import is_spread

# The classes are listed by name, because some are private and some are imported only when needed.
_WRAPPERS = (
    "DistributedDataParallel",
    "DataParallel",
    "FullyShardedDataParallel",
    "DeepSpeedEngine",
)
_COMPILED = ("OptimizedModule", "ScriptModule", "RecursiveScriptModule", "TopLevelTracedModule")
# Functions of these modules change the class of a model that they spread.
_SPREADING = ("torch.distributed.fsdp", "torch.distributed._composable.replicate")


def reject_unsupported(model: nn.Module, call: str) -> None:
    """Raise `ArgumentError` for a model that cannot be converted.

    These are objects that are no modules, and models on the meta device, in a wrapper, spread over
    processes, compiled, scripted or exported.

    Args:
        model: the model.
        call: the name of the public function for error messages.
    """
    check_model(model, call)
    reason = _reason_to_reject(model)
    if reason is not None:
        raise errors.ArgumentError(errors.message(f"{call}(model)", *reason))


def _reason_to_reject(model: nn.Module) -> tuple[str, str] | None:
    """Return what kind of model it is, and what the user can do; None if it can be converted."""
    if any(parameter.is_meta for parameter in model.parameters()):
        return "a model on the meta device", (
            "the model must run, so give it memory with model.to_empty(device='cpu') and load or "
            "initialise its weights first"
        )
    bases = {base for module in model.modules() for base in type(module).__mro__}
    names = {base.__name__ for base in bases}
    for wrapper in (name for name in _WRAPPERS if name in names):
        hint = "pass the model inside the wrapper (its .module), and create the wrapper afterwards"
        return f"a model in {wrapper}", hint
    if _is_spread(model, bases):
        return "a model whose parameters are spread over processes", (
            "convert the model first, and then call fully_shard, replicate or parallelize_module, "
            "so that the curves are spread and averaged too"
        )
    for compiled in (name for name in _COMPILED if name in names):
        hint = "pass the model before it is compiled or scripted"
        return f"a model that contains the compiled module {compiled}", hint
    if any(module._compiled_call_impl is not None for module in model.modules()):
        hint = "convert the model first, and then call its method compile"
        return "a model whose method compile was called", hint
    if any(_is_exported(module) for module in model.modules()):
        hint = "convert the model before torch.export, and export it afterwards"
        return "an exported model, whose operations do not belong to modules any more", hint
    return None


def _is_spread(model: nn.Module, bases: set[type]) -> bool:
    return any(base.__module__.startswith(_SPREADING) for base in bases) or any(
        is_spread(parameter) for parameter in model.parameters()
    )


def _is_exported(module: nn.Module) -> bool:
    """Whether a module executes a graph of the operators of `torch.export`."""
    attributes = vars(module)
    graph = attributes.get("_graph", attributes.get("graph"))
    return isinstance(graph, Graph) and any(
        isinstance(node.target, torch._ops.OpOverload) for node in graph.nodes
    )
