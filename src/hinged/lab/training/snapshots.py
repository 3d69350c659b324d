"""The learned curves of a network, and where their inputs lie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hinged.curve import TAILS, Curve
from hinged.nn import PiecewiseLinear

_BINS = 80
_AT_ONCE = 100
"""Samples that a network is given together."""
_ADDED = ("counts", "outside", "seen")
"""What is added up over them."""


class CurveSnapshot(NamedTuple):
    """One trained activation.

    Attributes:
        name: its place in the network.
        curve: the learned curves.
        edges: bounds of the bins of the histogram of its inputs, shape `(B + 1,)`.
        counts: inputs in each bin, over all channels, shape `(B,)`.
        outside: share of the inputs left of the first or right of the last hinge.
    """

    name: str
    curve: Curve
    edges: Tensor
    counts: Tensor
    outside: float


def curves_and_inputs(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return, for every `PiecewiseLinear` of a trained network, its curve and the histogram of its
    inputs on `x`, under `SITE.hinges`, `SITE.values` and so on; empty where it has none."""
    layers = {n: m for n, m in model.named_modules() if isinstance(m, PiecewiseLinear)}
    tensors: dict[str, Tensor] = {}

    def note(name: str, layer: PiecewiseLinear, inputs: Tensor) -> None:
        for part, tensor in _parts(layer, inputs).items():
            key = f"{name}.{part}"
            tensors[key] = tensors[key] + tensor if part in _ADDED and key in tensors else tensor

    if not layers:
        return {}
    with ExitStack() as stack, torch.no_grad():
        for name, layer in layers.items():
            hook = layer.register_forward_pre_hook(
                lambda module, arguments, name=name: note(name, module, arguments[0])
            )
            stack.callback(hook.remove)
        for part in x.split(_AT_ONCE):
            model(part)
    for name in layers:
        seen = tensors.pop(f"{name}.seen", None)
        if seen is not None:
            tensors[f"{name}.outside"] = tensors[f"{name}.outside"] / seen.double()
    return tensors


def snapshots(tensors: dict[str, Tensor]) -> Iterator[CurveSnapshot]:
    """Yield the sites that `curves_and_inputs` described."""
    names = [name.removesuffix(".hinges") for name in tensors if name.endswith(".hinges")]
    for name in sorted(names, key=_natural):
        curve = Curve(
            tensors[f"{name}.hinges"],
            tensors[f"{name}.values"],
            TAILS[int(tensors[f"{name}.tails"])],
            tensors.get(f"{name}.tail_slopes"),
        )
        outside = tensors[f"{name}.outside"].item()
        yield CurveSnapshot(
            name, curve, tensors[f"{name}.edges"], tensors[f"{name}.counts"], outside
        )


def _parts(layer: PiecewiseLinear, inputs: Tensor) -> dict[str, Tensor]:
    """Return what is noted of a layer and some of its inputs."""
    low, high = layer.hinges.min(), layer.hinges.max()
    margin = (high - low) / 4
    ends = float(low - margin), float(high + margin)
    counts, edges = torch.histogram(inputs.float().flatten(), _BINS, range=ends)
    parts = {
        "hinges": layer.hinges,
        "values": layer.values.detach(),
        "tails": layer.get_extra_state(),
        "edges": edges,
        "counts": counts,
        "outside": ((inputs < low) | (inputs > high)).sum(),
        "seen": torch.tensor(inputs.numel()),
    }
    if layer.tail_slopes is not None:
        parts["tail_slopes"] = layer.tail_slopes.detach()
    return {name: tensor.contiguous().clone() for name, tensor in parts.items()}


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in name.split(".")]
