"""Interleaved timing: each round times every call once, and the order changes between rounds.

A disturbance of the machine (another process, a change of the clock rate) then affects all calls of
a round alike. The ratio within a round is therefore steadier than the ratio of two averages.
"""

from __future__ import annotations

import contextlib
import gc
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

import torch

from hinged.lab.training.stopwatch import Stopwatch

Call = Callable[[], object]
_MAX_REPETITIONS = 100_000
# Seconds. Only calls shorter than this depend on the caches and the heap that the call before left.
_SHORT_CALL = 0.1


class Quartiles(NamedTuple):
    """Median, lower quartile and upper quartile."""

    median: float
    low: float
    high: float


def round_orders(names: Sequence[str], rounds: int) -> Iterator[list[str]]:
    """Yield the order of the calls in each round.

    Every order is followed by its reverse, and the next pair starts one name later. So no call is
    always first, and no call always follows the same other call.

    >>> [" ".join(order) for order in round_orders("abc", 4)]
    ['a b c', 'c b a', 'b c a', 'a c b']
    """
    for number in range(rounds):
        start = number // 2 % len(names) if names else 0
        order = [*names[start:], *names[:start]]
        yield order[::-1] if number % 2 else order


def time_interleaved(
    calls: Mapping[str, Call],
    rounds: int,
    *,
    stopwatch: Stopwatch,
    shortest: float = 2e-3,
    limit: float = math.inf,
    min_rounds: int = 5,
    context: Callable[[str], AbstractContextManager[object]] = (
        lambda name: contextlib.nullcontext()
    ),
) -> dict[str, list[float]]:
    """Time every call once in every round.

    A short call runs once untimed before each measurement. The caches and the heap are then in the
    state that this call left, not in the state of the call before it.

    Args:
        calls: what to time, by name.
        rounds: the number of rounds.
        stopwatch: the stopwatch for the calls' device.
        shortest: seconds. A shorter call is repeated within one measurement until the measurement
            takes this long.
        limit: seconds after which no further round starts, once there are `min_rounds`.
        min_rounds: the number of rounds that run regardless of `limit`.
        context: returns the context in which a call of this name runs. Entering it is not timed.

    Returns:
        Seconds per call, one number for each round, by name.
    """
    typical: dict[str, float] = {}
    for name, call in calls.items():
        with context(name):
            call()  # The first call may allocate, compile and fault pages in.
            typical[name] = _seconds_per_call(call, 1, stopwatch)
    repetitions = {name: _repetitions(one, shortest) for name, one in typical.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    spent = 0.0
    with _garbage_collection_off():
        for number, order in enumerate(round_orders(list(calls), rounds)):
            if number >= min_rounds and spent >= limit:
                break
            for name in order:
                with context(name):
                    if typical[name] < _SHORT_CALL:
                        calls[name]()
                        spent += typical[name]
                    one = _seconds_per_call(calls[name], repetitions[name], stopwatch)
                seconds[name].append(one)
                spent += one * repetitions[name]
    return seconds


def quartiles(numbers: Sequence[float]) -> Quartiles:
    """Return median and quartiles.

    >>> quartiles([1.0, 2.0, 3.0, 4.0, 5.0])
    Quartiles(median=3.0, low=2.0, high=4.0)
    """
    if len(numbers) < 2:
        return Quartiles(*[numbers[0] if numbers else math.nan] * 3)
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Quartiles(median, low, high)


def ratio_quartiles(seconds: Sequence[float], baseline: Sequence[float]) -> Quartiles:
    """Return median and quartiles of the ratios within each round.

    >>> ratio_quartiles([2.0, 4.0, 6.0], [1.0, 2.0, 2.0])
    Quartiles(median=2.0, low=2.0, high=2.5)
    """
    return quartiles([own / other for own, other in zip(seconds, baseline, strict=False)])


def _seconds_per_call(call: Call, repetitions: int, stopwatch: Stopwatch) -> float:
    """Time `repetitions` calls in a row, with no other work queued on the GPU."""
    if stopwatch.gpu:
        torch.cuda.synchronize()
    stopwatch.start()
    for _ in range(repetitions):
        call()
    stopwatch.stop()
    (seconds,) = stopwatch.seconds()
    return seconds / repetitions


def _repetitions(typical: float, shortest: float) -> int:
    """Return the number of calls that take `shortest` seconds together."""
    if typical <= 0:
        return _MAX_REPETITIONS
    return min(_MAX_REPETITIONS, max(1, math.ceil(shortest / typical)))


@contextlib.contextmanager
def _garbage_collection_off() -> Iterator[None]:
    """Turn Python's garbage collector off, as `timeit` does."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
