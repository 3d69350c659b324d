"""Who else is at work on the machine while something is timed."""

from __future__ import annotations

import os
import time
from pathlib import Path

_STAT = Path("/proc/stat")
# user, nice, system, then idle and iowait, then irq, softirq and what a hypervisor took away.
_BUSY = (0, 1, 2, 5, 6, 7)


class OthersMeter:
    """Measures how many cores other processes keep busy from now on; on Linux.

    Args:
        stat: the file of the system's counters.
    """

    def __init__(self, stat: Path = _STAT) -> None:
        self._stat = stat
        self._before = self._read()

    def cores(self) -> float | None:
        """Return the cores that others kept busy since this was made, on average; None where the
        system does not tell.

        A program that computes on every core loses more than its share to one that computes on
        one: threads wait for each other.
        """
        now = self._read()
        if self._before is None or now is None:
            return None
        seconds, busy, own = (
            after - before for after, before in zip(now, self._before, strict=True)
        )
        return round(max(0.0, busy - own) / seconds, 2) if seconds > 0 else 0.0

    def _read(self) -> tuple[float, float, float] | None:
        """Return wall time, busy time of all cores, and own processor time, in seconds."""
        if not self._stat.exists():
            return None
        fields = self._stat.read_text().split("\n", 1)[0].split()[1:]
        ticks = sum(int(fields[place]) for place in _BUSY)
        own = sum(os.times()[:4])  # Of this process and of children that have ended.
        return time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), own


def load() -> float | None:
    """Return how many processes wanted to run in the last minute, on average; None where the
    system does not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):  # Windows has none.
        return None
