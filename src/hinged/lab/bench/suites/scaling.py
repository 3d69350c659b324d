"""The benchmark `hinged bench growth`: cost against hinges, channels, batch size and threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hinged.lab.bench.measurement import (
    BenchmarkOptions,
    ShowProgress,
    limit_threads,
    run_benchmark,
)
from hinged.lab.bench.record import BenchmarkRecord, Case
from hinged.lab.bench.suites.single_activations import Workload, measure_workload
from hinged.lab.bench.timed_activations import hinged_activation, torch_activations

HINGES = (3, 5, 9, 13, 17, 25, 33, 65, 129, 257)
_CHANNELS = (1, 4, 16, 64, 256, 1024)
_BATCHES = (1, 4, 16, 64, 256)
_ELEMENTS = 2**20
_QUICK_ELEMENTS = 2**12


def benchmark_scaling(options: BenchmarkOptions, show_progress: ShowProgress) -> BenchmarkRecord:
    """Measure how the cost of curves depends on hinges, channels, batch size and threads.

    Each of these four numbers is varied while the others are fixed. One case of the record
    measures the time for all numbers of hinges. Every other case measures the time of ReLU and of
    a curve with 9 hinges, for one number of channels, samples or threads. The number of threads is
    varied only on a CPU.

    Args:
        options: rounds, device and other settings of the measurement. The time limit applies to
            all cases that vary the same number, for example the number of channels. It is divided
            equally among these cases.
        show_progress: a function that is called with one line of text after each case.

    Returns:
        A record with all cases.
    """

    def measure() -> Iterator[Case]:
        yield _measure_hinges(options)
        yield from _measure_channels(options)
        yield from _measure_batches(options)
        if not options.on_gpu:
            yield from _measure_threads(options)

    return run_benchmark("growth", options, {}, measure, show_progress)


def _measure_hinges(options: BenchmarkOptions) -> Case:
    """Measure ReLU and a curve for each number of hinges `K`. Row names contain `K`."""
    counts = HINGES[:3] if options.quick else HINGES
    activations = [torch_activations()[0], *(hinged_activation(count) for count in counts)]
    return measure_workload(_feature_maps("hinges", options), activations, options)


def _measure_channels(options: BenchmarkOptions) -> Iterator[Case]:
    counts = _CHANNELS[::3] if options.quick else _CHANNELS
    elements = _QUICK_ELEMENTS if options.quick else _ELEMENTS
    for channels in counts:
        shape = (16, channels, elements // 16 // channels)
        yield _measure_point(
            Workload(f"channels {channels}", shape), options, counts, channels=channels
        )


def _measure_batches(options: BenchmarkOptions) -> Iterator[Case]:
    batches = _BATCHES[:2] if options.quick else _BATCHES
    for batch in batches:
        workload = Workload(f"batch {batch}", (batch, 64, 16, 16))
        yield _measure_point(workload, options, batches, batch=batch)


def _measure_threads(options: BenchmarkOptions) -> Iterator[Case]:
    counts = thread_counts(os.cpu_count() or 1)
    for threads in counts:
        with limit_threads(threads):
            workload = _feature_maps(f"threads {threads}", options)
            yield _measure_point(workload, options, counts, threads=threads)


def thread_counts(cores: int) -> list[int]:
    """Return the numbers of threads to measure: powers of two up to `cores`, and `cores`.

    >>> thread_counts(6)
    [1, 2, 4, 6]
    """
    powers = [2**power for power in range(cores.bit_length()) if 2**power <= cores]
    return powers if cores in powers else [*powers, cores]


def _feature_maps(name: str, options: BenchmarkOptions) -> Workload:
    side = 8 if options.quick else 32
    return Workload(name, (_ELEMENTS // 2**16, 64, side, side))


def _measure_point(
    workload: Workload, options: BenchmarkOptions, counts: Sequence[int], **place: int
) -> Case:
    """Measure ReLU and a curve with 9 hinges for one number of channels, samples or threads.

    Args:
        workload: the inputs.
        options: settings of the measurement. Its time limit is divided by the length of `counts`.
        counts: all numbers of channels, samples or threads that the benchmark measures.
        **place: the number to store in the record, for example `channels=64` for 64 channels.
    """
    activations = [torch_activations()[0], hinged_activation(9)]
    share = replace(options, limit=options.limit / len(counts))
    return measure_workload(workload, activations, share, **place)
