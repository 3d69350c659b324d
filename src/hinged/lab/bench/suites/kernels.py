"""The activations alone: ours beside torch's own and, where a file of them is given, peers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from hinged import errors
from hinged.lab.bench import memory, timing
from hinged.lab.bench.checks import check
from hinged.lab.bench.contestants import (
    CURVE,
    FREE,
    NATIVE,
    OWN,
    SHARED,
    Contestant,
    natives,
    ours,
    target,
)
from hinged.lab.bench.kernel import AUTO, using
from hinged.lab.bench.measurement import (
    BACKWARD,
    BOTH,
    FORWARD,
    Entrant,
    Options,
    Say,
    installed,
    measure,
    prepared,
    record,
)
from hinged.lab.bench.record import Case, Record, Row

HINGES = (3, 5, 9, 17, 33)
_QUICK_BATCH = 2
# Enough to occupy every thread; the reference in float64 needs about 200 bytes an element.
_CHECKED_ELEMENTS = 2**19


@dataclass(frozen=True)
class Workload:
    """Inputs of one size, layout and dtype.

    Attributes:
        name: the name of the case.
        shape: of the input, `(N, C, ...)`.
        dtype: of input and layers.
        channels_last: the memory format of 4-d inputs.
        hinges: `K` of those contestants that have none of their own.
        peers: whether the contestants are ours and the peers, not torch's own and ours.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    hinges: int = 9
    peers: bool = False

    def about(self, batch: int) -> str:
        """Return the size in words, for a batch of so many samples."""
        layout = ", channels_last" if self.channels_last else ""
        kind = str(self.dtype).removeprefix("torch.")
        hinges = f", K={self.hinges}" if self.peers else ""
        return f"{(batch, *self.shape[1:])} {kind}{layout}{hinges}"

    def tensors(self, options: Options, elements: int | None = None) -> tuple[Tensor, Tensor]:
        """Return input and gradient of the output, standard normal, with at most so many
        elements and at least one sample."""
        batch = min(self.shape[0], _QUICK_BATCH) if options.quick else self.shape[0]
        if elements is not None:
            batch = max(1, min(batch, elements // math.prod(self.shape[1:])))
        generator = torch.Generator().manual_seed(0)
        shape = (batch, *self.shape[1:])
        x, g = (torch.randn(shape, generator=generator) for _ in range(2))
        return self._placed(x, options.device), self._placed(g, options.device)

    def _placed(self, tensor: Tensor, device: str) -> Tensor:
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        return tensor.to(device, self.dtype).contiguous(memory_format=layout)


WORKLOADS = (
    Workload("maps", (64, 64, 32, 32)),
    Workload("maps, channels_last", (64, 64, 32, 32), channels_last=True),
    Workload("maps, bfloat16", (64, 64, 32, 32), torch.bfloat16),
    Workload("maps, bfloat16, channels_last", (64, 64, 32, 32), torch.bfloat16, True),
    Workload("features", (8192, 512)),
    Workload("small features", (32, 64)),
)
OUR_KERNELS = Workload("maps, our kernels", (64, 64, 32, 32))
# Some peers hold K numbers or sort K + 1 numbers for every input: the maps are smaller. K = 13 is
# what all of them can do that have one curve per channel.
PEER_WORKLOADS = (
    Workload("peers, K=13", (32, 64, 16, 16), hinges=13, peers=True),
    Workload("peers, K=9", (32, 64, 16, 16), hinges=9, peers=True),
    Workload("peers, features, K=13", (2048, 128), hinges=13, peers=True),
)


def run(
    options: Options,
    say: Say,
    *,
    peers: Sequence[Contestant] = (),
    kernels: Sequence[str] = (AUTO,),
    cases: Sequence[str] = (),
) -> Record:
    """Measure all cases, or those named.

    Args:
        options: how to measure.
        say: called with a line after each case.
        peers: contestants from a file, for the cases of peers.
        kernels: which of our kernels; the first is used everywhere, and all are compared in a
            case of their own, so that slow ones do not take the others' rounds.
        cases: names of cases; all where empty.

    Raises:
        UnknownNameError: there is no such case.
    """
    compared = (OUR_KERNELS,) if len(kernels) > 1 else ()
    known = [*WORKLOADS, *compared, *(PEER_WORKLOADS if peers else ())]
    chosen = chosen_cases(known, cases)
    settings = {"kernels": list(kernels), "cases": [workload.name for workload in chosen]}

    def measured() -> Iterator[Case]:
        for workload in chosen:
            yield measure_workload(workload, line_up(workload, peers, kernels), options)

    return record("kernels", options, settings, measured, say)


def chosen_cases(known: Sequence[Workload], names: Sequence[str]) -> list[Workload]:
    """Return the workloads of these names in the order known, all where there are none."""
    by_name = {workload.name: workload for workload in known}
    for name in names:
        if name not in by_name:
            raise errors.unknown_name("--case", name, by_name)
    return [workload for workload in known if not names or workload.name in names]


def line_up(
    workload: Workload, peers: Sequence[Contestant], kernels: Sequence[str]
) -> list[Contestant]:
    """Return who takes part in a case."""
    first = kernels[0]
    if workload.peers:
        trained = [c for c in natives() if c.name in ("relu", "prelu")]
        return [*trained, ours(workload.hinges, kernel=first), *peers]
    if workload is OUR_KERNELS:
        return [natives()[0], *(ours(9, kernel=kernel) for kernel in kernels)]
    placed = [ours(9, FREE, first), ours(9, OWN, first)]
    return [
        *natives(),
        *(ours(hinges, kernel=first) for hinges in HINGES),
        *(placed if workload.name == "maps" else ()),
    ]


def measure_workload(
    workload: Workload, contestants: Sequence[Contestant], options: Options, **place: int
) -> Case:
    """Check and time contestants on one workload; the first is the baseline.

    Args:
        workload: the inputs.
        contestants: who takes part.
        options: how to measure.
        place: where the case stands on an axis.
    """
    x, g = workload.tensors(options)
    quantities = [FORWARD, BOTH]
    if options.device.startswith("cuda"):
        quantities.insert(1, BACKWARD)
    entrants = [
        prepared(
            Row(name=c.name, family=c.family, package=installed(c.package)),
            partial(_entrant, c, workload, options, x=x, g=g, quantities=quantities),
        )
        for c in contestants
    ]
    case = Case(
        name=workload.name,
        about=workload.about(x.shape[0]),
        baseline=contestants[0].name,
        quantities=quantities,
        place=place,
        elements=x.numel(),
        element_bytes=x.element_size(),
        bandwidth=bandwidth(x, options),
    )
    return measure(case, entrants, options)


def bandwidth(x: Tensor, options: Options) -> float:
    """Return how many bytes a second a copy of `x` reads and writes."""
    target_ = torch.empty_like(x)
    seconds = timing.interleave(
        {"copy": partial(target_.copy_, x)},
        options.hurried().rounds,
        watch=timing.stopwatch(options.device),
        shortest=options.shortest,
        limit=1.0,
    )
    return float(f"{2 * x.numel() * x.element_size() / timing.spread(seconds['copy']).median:.4g}")


def _entrant(
    contestant: Contestant,
    workload: Workload,
    options: Options,
    row: Row,
    *,
    x: Tensor,
    g: Tensor,
    quantities: list[str],
) -> Entrant:
    """Build, check, and return what is to be timed."""
    channels = 1 if contestant.family == SHARED else workload.shape[1]
    hinges = contestant.hinges or workload.hinges
    curve = target(channels, hinges, contestant.placement, workload.dtype)
    module = contestant.make(curve).to(options.device)
    if contestant.family in (NATIVE, CURVE):
        module = module.to(workload.dtype)
    row.parameters = sum(p.numel() for p in module.parameters() if p.requires_grad)
    entrant = Entrant(row, kernel=contestant.kernel)
    with using(contestant.kernel):
        small = workload.tensors(options, _CHECKED_ELEMENTS)
        found = check(contestant, module, curve, *small)
    row.errors = {name: float(f"{error:.2g}") for name, error in found.items()}
    module.zero_grad(set_to_none=True)
    everything = {quantity: _call(module, x, g, quantity) for quantity in quantities}
    entrant.calls = everything
    entrant.kept = partial(memory.kept, module, x)
    entrant.peak = partial(memory.peak, everything[BOTH], options.device)
    return entrant


def _call(module: nn.Module, x: Tensor, g: Tensor, quantity: str) -> timing.Call:
    if quantity == FORWARD:
        return partial(_forward, module, x)
    leaf = x.detach().requires_grad_()
    inputs = [leaf, *(p for p in module.parameters() if p.requires_grad)]
    if quantity == BOTH:
        return partial(_forward_and_backward, module, inputs, g)
    output = module(leaf)  # Its graph is kept and gone through again and again.
    return lambda: torch.autograd.grad(output, inputs, g, retain_graph=True, allow_unused=True)


def _forward(module: nn.Module, x: Tensor) -> None:
    with torch.no_grad():
        module(x)


def _forward_and_backward(module: nn.Module, inputs: list[Tensor], g: Tensor) -> None:
    """Gradients are returned and dropped, not accumulated: a sum would be a cost of its own."""
    torch.autograd.grad(module(inputs[0]), inputs, g, allow_unused=True)
