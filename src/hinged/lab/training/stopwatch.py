"""A stopwatch for work on a CPU or a CUDA GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch


class Stopwatch:
    """A stopwatch that measures the durations of several intervals.

    On a GPU, `start` and `stop` record CUDA events on the current stream. The events are read only
    in `seconds()`. The measured steps therefore never wait for the GPU.

    Args:
        gpu: whether to use CUDA events. None uses them if this machine has a GPU.
        clock: a function that returns a time in nanoseconds. It is used if `gpu` is false.
    """

    def __init__(
        self, gpu: bool | None = None, clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self.gpu = torch.cuda.is_available() if gpu is None else gpu
        self._clock = clock
        self._starts: list[Any] = []
        self._stops: list[Any] = []

    def start(self) -> None:
        """Start an interval."""
        self._starts.append(self._now())

    def stop(self) -> None:
        """Stop the interval."""
        self._stops.append(self._now())

    def seconds(self) -> list[float]:
        """Return the duration in seconds of each interval since the previous call of `seconds`.

        With CUDA events, this waits until the GPU is idle.
        """
        if self.gpu:
            torch.cuda.synchronize()
        pairs = list(zip(self._starts, self._stops, strict=True))
        self._starts.clear()
        self._stops.clear()
        return [a.elapsed_time(b) / 1e3 if self.gpu else (b - a) / 1e9 for a, b in pairs]

    def _now(self) -> Any:
        if not self.gpu:
            return self._clock()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
