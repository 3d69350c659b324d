"""Interleaved timing: every round times every contestant once, in an order that moves on.

What disturbs a machine for a while (a neighbour, a clock rate) then disturbs all contestants of a
round alike, and the ratio within a round is steadier than the ratio of two averages.
"""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch

Call = Callable[[], object]
_MOST_REPETITIONS = 100_000
# Seconds; the caches and the heap that a neighbour left behind matter to shorter calls alone.
_SETTLED = 0.1


class Stopwatch:
    """Times calls by the wall clock.

    Args:
        now: gives nanoseconds.
    """

    def __init__(self, now: Callable[[], int] = time.perf_counter_ns) -> None:
        self._now = now

    def measure(self, call: Call, repetitions: int) -> float:
        """Return the seconds that one of `repetitions` calls in a row takes."""
        started = self._now()
        for _ in range(repetitions):
            call()
        return (self._now() - started) / repetitions / 1e9


class CudaStopwatch(Stopwatch):
    """Times calls by events on the present CUDA stream, so that queued work is counted and the
    time to queue it is not, unless it is longer."""

    def measure(self, call: Call, repetitions: int) -> float:
        """Return the seconds that one of `repetitions` calls in a row takes."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        for _ in range(repetitions):
            call()
        end.record()
        torch.cuda.synchronize()
        milliseconds: float = begin.elapsed_time(end)
        return milliseconds / repetitions / 1e3


class Spread(NamedTuple):
    """Median and quartiles."""

    median: float
    low: float
    high: float


def stopwatch(device: str) -> Stopwatch:
    """Return the stopwatch for a device, "cpu" or "cuda"."""
    return CudaStopwatch() if device.startswith("cuda") else Stopwatch()


def orders(names: Sequence[str], rounds: int) -> Iterator[list[str]]:
    """Yield the order of each round: every order is followed by its reverse, and the next begins
    one further, so that nobody always runs first or always behind the same neighbour.

    >>> [" ".join(order) for order in orders("abc", 4)]
    ['a b c', 'c b a', 'b c a', 'a c b']
    """
    for number in range(rounds):
        start = number // 2 % len(names) if names else 0
        order = [*names[start:], *names[:start]]
        yield order[::-1] if number % 2 else order


def interleave(
    calls: Mapping[str, Call],
    rounds: int,
    *,
    watch: Stopwatch,
    shortest: float = 2e-3,
    limit: float = math.inf,
    least: int = 5,
    around: Callable[[str], AbstractContextManager[object]] = lambda name: contextlib.nullcontext(),
) -> dict[str, list[float]]:
    """Time every call once in every round.

    A short call is made once before it is timed, so that it finds caches and heap as it left them
    itself and not as its neighbour did.

    Args:
        calls: what to time, by name.
        rounds: how many rounds.
        watch: the stopwatch.
        shortest: seconds; a call that takes less is repeated within one measurement until it takes
            as long.
        limit: seconds after which no further round begins, once there are `least`.
        least: rounds that are done whatever they take.
        around: the context a contestant is timed in; entered outside of what is timed.

    Returns:
        Seconds a call, one number for each round, by name.
    """
    typical: dict[str, float] = {}
    for name, call in calls.items():
        with around(name):
            typical[name] = _typical(call, watch)
    repetitions = {name: _repetitions(one, shortest) for name, one in typical.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    spent = 0.0
    with _without_collecting():
        for number, order in enumerate(orders(list(calls), rounds)):
            if number >= least and spent >= limit:
                break
            for name in order:
                with around(name):
                    if typical[name] < _SETTLED:
                        calls[name]()
                        spent += typical[name]
                    seconds[name].append(watch.measure(calls[name], repetitions[name]))
                spent += seconds[name][-1] * repetitions[name]
    return seconds


def spread(numbers: Sequence[float]) -> Spread:
    """Return median and quartiles.

    >>> spread([1.0, 2.0, 3.0, 4.0, 5.0])
    Spread(median=3.0, low=2.0, high=4.0)
    """
    if len(numbers) < 2:
        return Spread(*[numbers[0] if numbers else math.nan] * 3)
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Spread(median, low, high)


def ratios(seconds: Sequence[float], baseline: Sequence[float]) -> Spread:
    """Return the spread of the ratio within each round.

    >>> ratios([2.0, 4.0, 6.0], [1.0, 2.0, 2.0])
    Spread(median=2.0, low=2.0, high=2.5)
    """
    return spread([own / other for own, other in zip(seconds, baseline, strict=False)])


def _typical(call: Call, watch: Stopwatch) -> float:
    """Return the seconds of the second call; the first may allocate, compile and fault pages in."""
    call()
    return watch.measure(call, 1)


def _repetitions(typical: float, shortest: float) -> int:
    """Return how many calls last `shortest` seconds."""
    if typical <= 0:
        return _MOST_REPETITIONS
    return min(_MOST_REPETITIONS, max(1, math.ceil(shortest / typical)))


@contextlib.contextmanager
def _without_collecting() -> Iterator[None]:
    """Hold back Python's garbage collector, as `timeit` does."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
