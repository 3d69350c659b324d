"""The estimate how long the trainings of a comparison will still take."""

from __future__ import annotations

import statistics
from collections.abc import Hashable


class TimeEstimate:
    """Estimates the remaining time from the durations of the epochs so far.

    Each remaining epoch is expected to take the mean duration. The first epoch of a training counts
    from the start of the training, so it contains the time to load the data.

    Args:
        epochs: number of epochs of all trainings.
        jobs: number of trainings at the same time; None if it is not known.
    """

    def __init__(self, epochs: int, jobs: int | None) -> None:
        self._epochs, self._jobs = epochs, jobs
        self._last: dict[Hashable, float] = {}
        self._durations: list[float] = []

    def start_training(self, training: Hashable, now: float) -> None:
        """Note the start of a training.

        Args:
            training: a key that identifies the training.
            now: the time in seconds, from any clock that always advances.
        """
        self._last[training] = now

    def end_epoch(self, training: Hashable, now: float) -> None:
        """Note the end of an epoch of a training; `now` is a time of the same clock."""
        if training in self._last:
            self._durations.append(now - self._last[training])
        self._last[training] = now

    @property
    def is_possible(self) -> bool:
        """Whether an epoch has ended, and the number of trainings at the same time is known."""
        return bool(self._durations) and self._jobs is not None

    def seconds_left(self, finished: int) -> float:
        """Return the expected remaining time in seconds.

        Args:
            finished: number of epochs that are finished.
        """
        return (self._epochs - finished) * statistics.fmean(self._durations) / (self._jobs or 1)


def in_words(seconds: float) -> str:
    """Return a duration in words, with one or two units.

    >>> in_words(88), in_words(125), in_words(3 * 3600 + 1300), in_words(200_000)
    ('88 s', '2 min', '3 h 22 min', '2 d 8 h')
    """
    if round(seconds) < 120:
        return f"{max(1, round(seconds))} s"
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"
