"""Times several functions in interleaved rounds.

Each round times every function once. The order changes from round to round. A disturbance of the
machine, for example another process, then affects all functions of a round alike. The ratio of two
times of one round therefore varies less than the ratio of two averages.
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
# Seconds. A shorter call depends on the state of caches and heap that the previous call left.
_SHORT_CALL = 0.1


class Quartiles(NamedTuple):
    """The median, lower quartile and upper quartile of several numbers."""

    median: float
    low: float
    high: float


def round_orders(names: Sequence[str], rounds: int) -> Iterator[list[str]]:
    """Yield the order of the names in each round.

    Rounds come in pairs. The second round of a pair has the reverse order of the first. The next
    pair starts one name later. So no name is always first or always follows the same other name.

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
    """Time several functions in interleaved rounds.

    Each round times every function once. A short function also runs once before each measurement,
    without being timed. The state of caches and heap then does not depend on other functions.

    Args:
        calls: the functions to time, by name. They take no arguments.
        rounds: the number of rounds.
        stopwatch: measures time on the device of the functions.
        shortest: the shortest duration of one measurement in seconds. A shorter function is
            repeated.
        limit: the time limit in seconds. After this time no further round starts.
        min_rounds: the number of rounds that run even if the time limit is exceeded.
        context: a function that takes the name of a timed function and returns a context manager.
            The timed function runs inside this context. Entering the context is not timed.

    Returns:
        The seconds per call by name, one number for each round.
    """
    typical: dict[str, float] = {}
    for name, call in calls.items():
        with context(name):
            call()  # It may allocate memory and compile code.
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
    """Return the median and the quartiles of several numbers.

    >>> quartiles([1.0, 2.0, 3.0, 4.0, 5.0])
    Quartiles(median=3.0, low=2.0, high=4.0)
    """
    if len(numbers) < 2:
        return Quartiles(*[numbers[0] if numbers else math.nan] * 3)
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Quartiles(median, low, high)


def ratio_quartiles(seconds: Sequence[float], baseline: Sequence[float]) -> Quartiles:
    """Return the median and the quartiles of the ratios `seconds[r] / baseline[r]` of all rounds r.

    >>> ratio_quartiles([2.0, 4.0, 6.0], [1.0, 2.0, 2.0])
    Quartiles(median=2.0, low=2.0, high=2.5)
    """
    return quartiles([own / other for own, other in zip(seconds, baseline, strict=False)])


def _seconds_per_call(call: Call, repetitions: int, stopwatch: Stopwatch) -> float:
    """Return the mean seconds of a call over `repetitions` calls in a row.

    On a GPU, all earlier work is finished first.
    """
    if stopwatch.gpu:
        torch.cuda.synchronize()
    stopwatch.start()
    for _ in range(repetitions):
        call()
    stopwatch.stop()
    (seconds,) = stopwatch.seconds()
    return seconds / repetitions


def _repetitions(typical: float, shortest: float) -> int:
    """Return how many calls of `typical` seconds each take at least `shortest` seconds."""
    if typical <= 0:
        return _MAX_REPETITIONS
    return min(_MAX_REPETITIONS, max(1, math.ceil(shortest / typical)))


@contextlib.contextmanager
def _garbage_collection_off() -> Iterator[None]:
    """Turn off Python's garbage collector inside a `with` block, as `timeit` does."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
