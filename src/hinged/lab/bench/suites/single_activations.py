"""The benchmark `hinged bench kernels`: single activations of torch, hinged, other packages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from hinged import errors, kernels
from hinged.kernels.select_kernel import AUTO
from hinged.lab.bench import memory, timing
from hinged.lab.bench.correctness import check_correctness
from hinged.lab.bench.measurement import (
    BACKWARD,
    FORWARD,
    FORWARD_BACKWARD,
    BenchmarkOptions,
    PreparedRow,
    ShowProgress,
    measure_case,
    name_and_version,
    prepare_row,
    run_benchmark,
)
from hinged.lab.bench.record import BenchmarkRecord, Case, Row
from hinged.lab.bench.timed_activations import (
    CURVE,
    FREE,
    NATIVE,
    PER_CHANNEL,
    SHARED,
    TimedActivation,
    hinged_activation,
    target_curve,
    torch_activations,
)
from hinged.lab.training.stopwatch import Stopwatch

HINGES = (3, 5, 9, 17, 33)
_QUICK_BATCH = 2
# The check for correctness uses at most this number of input elements. It is enough to use every
# thread. The float64 reference needs about 200 bytes per element.
_CHECKED_ELEMENTS = 2**19


@dataclass(frozen=True)
class Workload:
    """The size, dtype and memory layout of the inputs of one case.

    Attributes:
        name: the name of the case.
        shape: the shape of the input, `(N, C, ...)`, with `N` samples and `C` channels.
        dtype: the dtype of the input and of the layers of torch and hinged.
        channels_last: whether 4-d inputs have the memory format `torch.channels_last`.
        hinges: the number of hinges `K` of each activation whose attribute `hinges` is None.
        peers: whether hinged is compared with activations of other packages. If False, hinged is
            compared with all activations of torch.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    hinges: int = 9
    peers: bool = False

    def describe(self, batch: int) -> str:
        """Return a text with shape, dtype and layout of an input of `batch` samples."""
        layout = ", channels_last" if self.channels_last else ""
        kind = str(self.dtype).removeprefix("torch.")
        hinges = f", K={self.hinges}" if self.peers else ""
        return f"{(batch, *self.shape[1:])} {kind}{layout}{hinges}"

    def make_tensors(
        self, options: BenchmarkOptions, max_elements: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return a random input, and a random gradient of a loss with respect to the output.

        Both have the shape `(N, C, ...)` and a standard normal distribution. `N` counts samples.

        Args:
            options: the device; `quick` reduces `N` to at most 2 samples.
            max_elements: the largest number of elements of each tensor. `N` is reduced to satisfy
                it, but not below 1. None means no limit.
        """
        batch = min(self.shape[0], _QUICK_BATCH) if options.quick else self.shape[0]
        if max_elements is not None:
            batch = max(1, min(batch, max_elements // math.prod(self.shape[1:])))
        generator = torch.Generator().manual_seed(0)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        x, g = (
            torch.randn(batch, *self.shape[1:], generator=generator)
            .to(options.device, self.dtype)
            .contiguous(memory_format=layout)
            for _ in range(2)
        )
        return x, g


WORKLOADS = (
    Workload("maps", (64, 64, 32, 32)),
    Workload("maps, channels_last", (64, 64, 32, 32), channels_last=True),
    Workload("maps, bfloat16", (64, 64, 32, 32), torch.bfloat16),
    Workload("maps, bfloat16, channels_last", (64, 64, 32, 32), torch.bfloat16, True),
    Workload("features", (8192, 512)),
    Workload("small features", (32, 64)),
)
OUR_KERNELS = Workload("maps, our kernels", (64, 64, 32, 32))
# These inputs are smaller, because some packages store K numbers or sort K + 1 numbers for every
# input element. All packages with one curve per channel support K = 13 hinges.
PEER_WORKLOADS = (
    Workload("peers, K=13", (32, 64, 16, 16), hinges=13, peers=True),
    Workload("peers, K=9", (32, 64, 16, 16), hinges=9, peers=True),
    Workload("peers, features, K=13", (2048, 128), hinges=13, peers=True),
)


def benchmark_single_activations(
    options: BenchmarkOptions,
    show_progress: ShowProgress,
    *,
    peers: Sequence[TimedActivation] = (),
    kernels: Sequence[str] = (AUTO,),
    cases: Sequence[str] = (),
) -> BenchmarkRecord:
    """Measure single activations of torch, hinged and other packages.

    Args:
        options: rounds, threads, device and other settings of the measurement.
        show_progress: a function that is called with one line of text after each case.
        peers: activations of other packages. They are measured in the cases of `PEER_WORKLOADS`. If
            `peers` is empty, these cases are left out.
        kernels: names of kernels of `hinged.kernels.use_kernel`. The first kernel runs in all
            cases. If there are several kernels, an additional case compares them. A slow kernel
            therefore does not use up the time limit of the other cases.
        cases: names of the cases to measure. An empty sequence means all cases.

    Returns:
        A record with one case for each selected name.

    Raises:
        UnknownNameError: if a name in `cases` does not exist.
    """
    comparison = (OUR_KERNELS,) if len(kernels) > 1 else ()
    chosen = select_workloads([*WORKLOADS, *comparison, *(PEER_WORKLOADS if peers else ())], cases)
    settings = {"kernels": list(kernels), "cases": [workload.name for workload in chosen]}

    def measure() -> Iterator[Case]:
        for workload in chosen:
            activations = activations_to_time(workload, peers, kernels)
            yield measure_workload(workload, activations, options)

    return run_benchmark("kernels", options, settings, measure, show_progress)


def select_workloads(known: Sequence[Workload], names: Sequence[str]) -> list[Workload]:
    """Select workloads (the inputs of one case each) by their names.

    Args:
        known: all workloads.
        names: the names of the workloads to select. An empty sequence selects all workloads.

    Returns:
        The selected workloads, in the order of `known`.

    Raises:
        UnknownNameError: if `names` contains a name that no workload has.
    """
    known_names = [workload.name for workload in known]
    for name in names:
        if name not in known_names:
            raise errors.unknown_name("cases", name, known_names)
    return [workload for workload in known if not names or workload.name in names]


def activations_to_time(
    workload: Workload, peers: Sequence[TimedActivation], kernels: Sequence[str]
) -> list[TimedActivation]:
    """Return the activations to measure with the inputs of one case. The first is ReLU.

    Args:
        workload: the inputs.
        peers: activations of other packages. They are used only if `workload.peers` is True.
        kernels: names of kernels of `hinged.kernels.use_kernel`. The first runs all curves of
            hinged. The workload `OUR_KERNELS` compares all kernels.
    """
    relu, *others = torch_activations()
    kernel = kernels[0]
    if workload.peers:
        prelu = next(each for each in others if each.name == "prelu")
        return [relu, prelu, hinged_activation(workload.hinges, kernel=kernel), *peers]
    if workload is OUR_KERNELS:
        return [relu, *(hinged_activation(9, kernel=each) for each in kernels)]
    placements = (FREE, PER_CHANNEL) if workload.name == "maps" else ()
    return [
        relu,
        *others,
        *(hinged_activation(hinges, kernel=kernel) for hinges in HINGES),
        *(hinged_activation(9, placement, kernel) for placement in placements),
    ]


def measure_workload(
    workload: Workload,
    activations: Sequence[TimedActivation],
    options: BenchmarkOptions,
    **place: int,
) -> Case:
    """Check activations for correctness, then measure their time and memory on the same inputs.

    Args:
        workload: the size, dtype and memory layout of the inputs.
        activations: the activations. All are compared with the first activation.
        options: rounds, threads, device and other settings of the measurement.
        **place: the value that distinguishes this case from others in the record, for example
            `channels=64`. It does not change the measurement. Nothing if there is no such value.

    Returns:
        A case with one row for each activation.
    """
    x, g = workload.make_tensors(options)
    quantities = [FORWARD, FORWARD_BACKWARD]
    if options.on_gpu:
        quantities.insert(1, BACKWARD)
    prepared = [
        prepare_row(
            Row(name=each.name, family=each.family, package=name_and_version(each.package)),
            partial(_prepare, each, workload, options, x=x, g=g, quantities=quantities),
        )
        for each in activations
    ]
    case = Case(
        name=workload.name,
        about=workload.describe(x.shape[0]),
        baseline=activations[0].name,
        quantities=quantities,
        place=place,
        elements=x.numel(),
        element_bytes=x.element_size(),
        bandwidth=copy_bandwidth(x, options),
    )
    return measure_case(case, prepared, options)


def copy_bandwidth(x: Tensor, options: BenchmarkOptions) -> float:
    """Measure a copy of `x` and return the number of bytes read and written per second."""
    copy = torch.empty_like(x)
    seconds = timing.time_interleaved(
        {"copy": partial(copy.copy_, x)},
        options.reduced_if_quick().rounds,
        stopwatch=Stopwatch(options.on_gpu),
        shortest=options.shortest,
        limit=1.0,
    )
    median = timing.quartiles(seconds["copy"]).median
    return float(f"{2 * x.numel() * x.element_size() / median:.4g}")


def _prepare(
    activation: TimedActivation,
    workload: Workload,
    options: BenchmarkOptions,
    row: Row,
    *,
    x: Tensor,
    g: Tensor,
    quantities: list[str],
) -> PreparedRow:
    """Build one activation, check its outputs and gradients, and return the functions to time.

    Args:
        activation: the activation.
        workload: the inputs of the case.
        options: settings of the measurement.
        row: the row of the record for this activation. Its parameters and errors are set here.
        x: the input of the timed functions.
        g: gradient of a loss with respect to the output, same shape as `x`.
        quantities: what to time, for example `FORWARD`.

    Returns:
        The row and the functions to time.
    """
    channels = 1 if activation.family == SHARED else workload.shape[1]
    hinges = activation.hinges or workload.hinges
    curve = target_curve(channels, hinges, activation.placement, workload.dtype)
    module = activation.make(curve).to(options.device)
    if activation.family in (NATIVE, CURVE):
        module = module.to(workload.dtype)
    row.parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    with kernels.use_kernel(activation.kernel):
        small_x, small_g = workload.make_tensors(options, _CHECKED_ELEMENTS)
        largest = check_correctness(activation, module, curve, small_x, small_g)
        row.errors = {name: float(f"{error:.2g}") for name, error in largest.items()}
        module.zero_grad(set_to_none=True)
        calls = {quantity: _make_call(module, x, g, quantity) for quantity in quantities}
    return PreparedRow(
        row,
        calls,
        activation.kernel,
        saved_bytes=partial(memory.saved_bytes, module, x),
        peak_bytes=partial(memory.peak_bytes, calls[FORWARD_BACKWARD], options.device),
    )


def _make_call(module: nn.Module, x: Tensor, g: Tensor, quantity: str) -> timing.Call:
    if quantity == FORWARD:
        return partial(_forward, module, x)
    leaf = x.detach().requires_grad_()
    inputs = [leaf, *(p for p in module.parameters() if p.requires_grad)]
    if quantity == FORWARD_BACKWARD:
        return partial(_forward_and_backward, module, inputs, g)
    output = module(leaf)  # Every call uses the graph of this output.
    return lambda: torch.autograd.grad(output, inputs, g, retain_graph=True, allow_unused=True)


def _forward(module: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        module(x)


def _forward_and_backward(module: nn.Module, inputs: list[Tensor], g: Tensor) -> None:
    """Compute the output and the gradients of input and parameters, without storing them."""
    torch.autograd.grad(module(inputs[0]), inputs, g, allow_unused=True)
