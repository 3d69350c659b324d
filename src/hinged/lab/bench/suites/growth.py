"""How the cost grows with hinges, channels, batch and threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hinged.lab.bench.contestants import Contestant, natives, ours
from hinged.lab.bench.measurement import Options, Say, record, using_threads
from hinged.lab.bench.record import Case, Record
from hinged.lab.bench.suites.kernels import Workload, measure_workload

HINGES = (3, 5, 9, 13, 17, 25, 33, 65, 129, 257)
_CHANNELS = (1, 4, 16, 64, 256, 1024)
_BATCHES = (1, 4, 16, 64, 256)
_ELEMENTS = 2**20


def run(options: Options, say: Say) -> Record:
    """Measure along all axes, threads on a CPU alone; each case is a point, ReLU in its rounds.

    Args:
        options: how to measure; `limit` is shared by the cases of an axis.
        say: called with a line after each case.
    """

    def measured() -> Iterator[Case]:
        yield _hinges(options)
        yield from _channels(options)
        yield from _batches(options)
        if not options.device.startswith("cuda"):
            yield from _threads(options)

    return record("growth", options, {}, measured, say)


def _hinges(options: Options) -> Case:
    """All hinge counts in the same rounds; each row's own `K` is its place on the axis."""
    counts = HINGES[:3] if options.quick else HINGES
    workload = Workload("hinges", (_ELEMENTS // 2**16, 64, 32, 32))
    return measure_workload(workload, [_relu(), *(ours(count) for count in counts)], options)


def _channels(options: Options) -> Iterator[Case]:
    counts = _CHANNELS[::3] if options.quick else _CHANNELS
    for channels in counts:
        shape = (16, channels, _ELEMENTS // 16 // channels)
        workload = Workload(f"channels {channels}", shape)
        yield measure_workload(workload, _pair(), _share(options, counts), channels=channels)


def _batches(options: Options) -> Iterator[Case]:
    batches = _BATCHES[:2] if options.quick else _BATCHES
    for batch in batches:
        workload = Workload(f"batch {batch}", (batch, 64, 16, 16))
        yield measure_workload(workload, _pair(), _share(options, batches), batch=batch)


def _threads(options: Options) -> Iterator[Case]:
    counts = thread_counts(os.cpu_count() or 1)
    for threads in counts:
        workload = Workload(f"threads {threads}", (_ELEMENTS // 2**16, 64, 32, 32))
        own = replace(_share(options, counts), threads=threads)
        with using_threads(threads):
            yield measure_workload(workload, _pair(), own, threads=threads)


def thread_counts(cores: int) -> list[int]:
    """Return the powers of two up to the number of cores, and that number.

    >>> thread_counts(6)
    [1, 2, 4, 6]
    """
    powers = [2**power for power in range(cores.bit_length()) if 2**power <= cores]
    return powers if cores in powers else [*powers, cores]


def _relu() -> Contestant:
    return natives()[0]


def _pair() -> list[Contestant]:
    return [_relu(), ours(9)]


def _share(options: Options, cases: Sequence[int]) -> Options:
    return replace(options, limit=options.limit / len(cases))
