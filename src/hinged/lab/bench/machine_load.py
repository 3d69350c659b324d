"""How busy other processes keep the machine during a measurement."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")
# Columns of busy time: user, nice, system, irq, softirq, steal. Left out: idle and iowait.
_BUSY_COLUMNS = (0, 1, 2, 5, 6, 7)


class OtherProcessesMeter:
    """Measures how many cores other processes keep busy, from its creation on; Linux only.

    Args:
        stat: the file with the system's CPU counters.
    """

    def __init__(self, stat: Path = _STAT) -> None:
        self._stat = stat
        self._start = self._read_counters()

    def busy_cores(self) -> float | None:
        """Return the average number of cores that other processes kept busy since this object was
        created, or None if the system does not report it.

        A program that uses every core loses more than its share to a program that uses one core,
        because its threads wait for each other.
        """
        now = self._read_counters()
        if self._start is None or now is None:
            return None
        seconds, busy, own = (end - start for start, end in zip(self._start, now, strict=True))
        return round(max(0.0, busy - own) / seconds, 2) if seconds > 0 else 0.0

    def _read_counters(self) -> tuple[float, float, float] | None:
        """Return wall time, busy time of all cores and CPU time of this process, in seconds."""
        if not self._stat.exists():
            return None
        columns = self._stat.read_text().split("\n", 1)[0].split()[1:]
        ticks = sum(int(columns[index]) for index in _BUSY_COLUMNS)
        own = sum(os.times()[:4])  # Includes child processes that have ended.
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), own


def load_average() -> float | None:
    """Return the system's load average of the last minute, or None if it does not report one."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):  # Windows has none.
        return None
