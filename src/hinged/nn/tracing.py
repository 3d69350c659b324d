"""Curve layers under `torch.fx` and TorchScript."""

from __future__ import annotations

from typing import Any, NoReturn

from torch import nn
from torch.fx import Proxy

from hinged import errors


def call_in_graph(layer: nn.Module, x: Proxy) -> Any:
    """Add a call of a curve layer to the graph that `torch.fx` records, and return its result.

    The call becomes one node of the graph. The operations inside the layer are not recorded,
    because they depend on the dtype and the device of the input.

    Args:
        layer: the curve layer.
        x: the input of the layer in the graph.
    """
    tracer: Any = x.tracer
    name = tracer.path_of_module(layer)
    if not name:
        got = "a single curve layer"
        hint = "trace a model that contains the layer, for example torch.nn.Sequential(layer)"
        raise errors.ArgumentError(errors.message("torch.fx.symbolic_trace(layer)", got, hint))
    return tracer.create_proxy("call_module", name, (x,), {})


def refuse_script() -> NoReturn:
    """Raise `ArgumentError`, because TorchScript cannot compile curve layers."""
    got = "a model with curves, whose code TorchScript cannot compile"
    hint = "use torch.jit.trace(model, x), torch.export.export or torch.onnx.export"
    raise errors.ArgumentError(errors.message("torch.jit.script(model)", got, hint))
