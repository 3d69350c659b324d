"""A stopwatch for CPUs and CUDA GPUs."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch


class Stopwatch:
    """Times intervals.

    On a GPU it records CUDA events on the current stream and reads them only in `seconds()`, so
    that no step waits for the GPU.

    Args:
        gpu: use CUDA events; by default, if this machine has a GPU.
        clock: returns nanoseconds; the clock used without a GPU.
    """

    def __init__(
        self, gpu: bool | None = None, clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        self.gpu = torch.cuda.is_available() if gpu is None else gpu
        self._clock = clock
        self._starts: list[Any] = []
        self._stops: list[Any] = []

    def start(self) -> None:
        """Begin an interval."""
        self._starts.append(self._now())

    def stop(self) -> None:
        """End the interval."""
        self._stops.append(self._now())

    def seconds(self) -> list[float]:
        """Return the durations of all intervals since the last call."""
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
