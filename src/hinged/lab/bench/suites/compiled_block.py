"""The benchmark `hinged bench compiled`: a convolutional block with `torch.compile`."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from hinged.lab.bench import timing
from hinged.lab.bench.measurement import (
    BenchmarkOptions,
    PreparedRow,
    ShowProgress,
    measure_case,
    prepare_row,
    run_benchmark,
)
from hinged.lab.bench.record import BenchmarkRecord, Case, Row
from hinged.lab.bench.suites.whole_networks import (
    DEFAULT_ACTIVATIONS,
    INFERENCE,
    TRAINING_STEP,
    row_name,
    with_activation,
)
from hinged.lab.networks.activations import activation_parameters

_CHANNELS = 64
_SHAPE = (32, _CHANNELS, 32, 32)


def benchmark_compiled_block(
    options: BenchmarkOptions,
    show_progress: ShowProgress,
    *,
    activations: Sequence[str] = DEFAULT_ACTIVATIONS,
    hinges: int = 9,
    backend: str = "inductor",
) -> BenchmarkRecord:
    """Measure a convolutional block with different activations, with and without `torch.compile`.

    The block consists of a 3 x 3 convolution, batch normalisation and the activation. Blocks
    with and without `torch.compile` are timed in the same rounds. A round times every block once.

    Args:
        options: rounds, threads, device and other settings of the measurement.
        show_progress: a function that is called with one line of text at the end.
        activations: names in `hinged.lab.networks.activations.ACTIVATIONS`. All times are compared
            with the times of the compiled block with the first activation.
        hinges: the number of hinges of every curve.
        backend: the backend of `torch.compile`.

    Returns:
        A record with one case. The case has two rows for each activation: one block with
        `torch.compile` and one without.
    """

    def measure() -> Iterator[Case]:
        yield _measure_block(options, activations, hinges, backend)

    settings = {"hinges": hinges, "backend": backend}
    return run_benchmark("compiled", options, settings, measure, show_progress)


def _measure_block(
    options: BenchmarkOptions, activations: Sequence[str], hinges: int, backend: str
) -> Case:
    x = torch.randn(2 if options.quick else _SHAPE[0], *_SHAPE[1:]).to(options.device)
    prepared = [
        prepare_row(
            Row(
                name=f"{row_name(name, hinges)}, {'compiled' if compiled else 'eager'}",
                family="curve" if name == "hinged" else "native",
            ),
            partial(_prepare, name, hinges, backend if compiled else None, x),
        )
        for compiled in (True, False)
        for name in activations
    ]
    case = Case(
        name="conv + BN + activation",
        about=f"3 x 3 convolution of {_CHANNELS} channels, batch normalisation, activation; "
        f"{tuple(x.shape)} float32",
        baseline=prepared[0].row.name,
        quantities=[TRAINING_STEP, INFERENCE],
        elements=x.numel(),
    )
    return measure_case(case, prepared, options)


def _prepare(activation: str, hinges: int, backend: str | None, x: Tensor, row: Row) -> PreparedRow:
    conv = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False)
    relu_block = nn.Sequential(conv, nn.BatchNorm2d(_CHANNELS), nn.ReLU()).to(x.device)
    block = with_activation(relu_block, x, activation, hinges)
    row.parameters = sum(parameter.numel() for parameter in activation_parameters(block))
    # Training and evaluation use separate copies: a compiled module is compiled again when its mode
    # changes.
    train_block, eval_block = copy.deepcopy(block).train(), copy.deepcopy(block).eval()
    calls: dict[str, timing.Call] = {
        TRAINING_STEP: _training_step(train_block, _compile(train_block, backend), x),
        INFERENCE: partial(_infer, _compile(eval_block, backend), x),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The compiler of torch warns about code of torch.
        for call in calls.values():
            call()
    return PreparedRow(row, calls)


def _compile(block: nn.Module, backend: str | None) -> Callable[[Tensor], Tensor]:
    """Return the block compiled by `torch.compile`, or the block itself if `backend` is None."""
    if backend is None:
        return block
    compiled: Callable[[Tensor], Tensor] = torch.compile(block, backend=backend, dynamic=False)
    return compiled


def _training_step(
    block: nn.Module, function: Callable[[Tensor], Tensor], x: Tensor
) -> timing.Call:
    leaf = x.detach().requires_grad_()
    inputs = [leaf, *block.parameters()]
    g = torch.randn_like(x)

    def step() -> None:
        torch.autograd.grad(function(leaf), inputs, g)

    return step


def _infer(function: Callable[[Tensor], Tensor], x: Tensor) -> None:
    with torch.no_grad():
        function(x)
