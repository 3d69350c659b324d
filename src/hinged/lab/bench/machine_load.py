"""Measures how many CPU cores other processes keep busy during a benchmark."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")
# The columns of busy time: user, nice, system, irq, softirq and steal. The columns idle and iowait
# are left out.
_BUSY_COLUMNS = (0, 1, 2, 5, 6, 7)


class OtherProcessesMeter:
    """Measures how many CPU cores other processes keep busy. It works only on Linux.

    The measurement starts when the object is created.

    Args:
        stat: the path of the file with the CPU counters of the system.
    """

    def __init__(self, stat: Path = _STAT) -> None:
        self._stat = stat
        self._start = self._read_counters()

    def busy_cores(self) -> float | None:
        """Return the average number of cores that other processes kept busy.

        The average covers the time since this object was created. One busy core slows down a
        program with a thread on every core by more than one core, because its threads wait for each
        other.

        Returns:
            A number of cores, not necessarily whole. None if the system has no CPU counters.
        """
        now = self._read_counters()
        if self._start is None or now is None:
            return None
        seconds, busy, own = (end - start for start, end in zip(self._start, now, strict=True))
        return round(max(0.0, busy - own) / seconds, 2) if seconds > 0 else 0.0

    def _read_counters(self) -> tuple[float, float, float] | None:
        """Return wall time, busy time of all cores and CPU time of this process, in seconds.

        The result is None if the system has no CPU counters.
        """
        if not self._stat.exists():
            return None
        columns = self._stat.read_text().split("\n", 1)[0].split()[1:]
        ticks = sum(int(columns[index]) for index in _BUSY_COLUMNS)
        own = sum(os.times()[:4])  # Includes ended child processes.
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), own


def load_average() -> float | None:
    """Return the load average of the last minute, or None if the system does not report it."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):  # Windows reports no load average.
        return None
