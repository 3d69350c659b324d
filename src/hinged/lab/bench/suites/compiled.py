"""Convolution, batch normalisation and activation under `torch.compile`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from hinged.lab.bench import timing
from hinged.lab.bench.measurement import Entrant, Options, Say, measure, prepared, record
from hinged.lab.bench.record import Case, Record, Row
from hinged.lab.bench.suites.models import DEFAULT, INFERENCE, STEP, label, with_activation
from hinged.lab.networks.activations import activation_parameters

_CHANNELS = 64
_SHAPE = (32, _CHANNELS, 32, 32)


def run(
    options: Options,
    say: Say,
    *,
    activations: Sequence[str] = DEFAULT,
    hinges: int = 9,
    backend: str = "inductor",
) -> Record:
    """Measure the block compiled and as it is, with every activation, in the same rounds.

    Args:
        options: how to measure.
        say: called with a line at the end.
        activations: names in `hinged.lab.networks.activations.ACTIVATIONS`; the first, compiled, is the
            baseline.
        hinges: hinges of every curve.
        backend: of `torch.compile`.
    """

    def measured() -> Iterator[Case]:
        yield _block_case(options, activations, hinges, backend)

    more = {"hinges": hinges, "backend": backend}
    return record("compiled", options, more, measured, say)


def _block_case(options: Options, activations: Sequence[str], hinges: int, backend: str) -> Case:
    x = torch.randn(2 if options.quick else _SHAPE[0], *_SHAPE[1:]).to(options.device)
    entrants = [
        prepared(
            Row(
                name=f"{label(name, hinges)}, {'compiled' if compiled else 'eager'}",
                family="curve" if name == "hinged" else "native",
            ),
            partial(_entrant, name, hinges, backend if compiled else None, x),
        )
        for compiled in (True, False)
        for name in activations
    ]
    case = Case(
        name="conv + BN + activation",
        about=f"3 x 3 convolution of {_CHANNELS} channels, batch normalisation, activation; "
        f"{tuple(x.shape)} float32",
        baseline=entrants[0].row.name,
        quantities=[STEP, INFERENCE],
        elements=x.numel(),
    )
    return measure(case, entrants, options)


def _entrant(activation: str, hinges: int, backend: str | None, x: Tensor, row: Row) -> Entrant:
    conv = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False)
    plain = nn.Sequential(conv, nn.BatchNorm2d(_CHANNELS), nn.ReLU()).to(x.device)
    block = with_activation(plain, x, activation, hinges)
    row.parameters = sum(parameter.numel() for parameter in activation_parameters(block))
    # One copy for each mode: switching the mode of a compiled module compiles it anew.
    training, inferring = copy.deepcopy(block).train(), copy.deepcopy(block).eval()
    calls: dict[str, timing.Call] = {
        STEP: _training(training, _compiled(training, backend), x),
        INFERENCE: partial(_infer, _compiled(inferring, backend), x),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Those of torch's own compiler, while it compiles.
        for call in calls.values():
            call()
    return Entrant(row, calls=calls)


def _compiled(block: nn.Module, backend: str | None) -> Callable[[Tensor], Tensor]:
    """Return the block, compiled where there is a backend."""
    if backend is None:
        return block
    compiled: Callable[[Tensor], Tensor] = torch.compile(block, backend=backend, dynamic=False)
    return compiled


def _training(block: nn.Module, function: Callable[[Tensor], Tensor], x: Tensor) -> timing.Call:
    leaf = x.detach().requires_grad_()
    inputs = [leaf, *block.parameters()]
    g = torch.randn_like(x)

    def step() -> None:
        torch.autograd.grad(function(leaf), inputs, g)

    return step


def _infer(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    with torch.no_grad():
        function(x)
