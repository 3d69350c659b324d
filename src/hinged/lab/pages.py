"""Keeps the memory of freed tensors with the process."""

from __future__ import annotations

import ctypes
import platform

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
"""Numbers of `mallopt`'s options in glibc's `malloc.h`."""


def keep_pages() -> bool:
    """Have glibc keep the pages of freed tensors, and say whether it does.

    By default it returns those of large tensors to the kernel at once, which then must clear new
    ones at every step of a training. The process keeps the most it has ever held; starting it with
    `MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=-1` does the same. Elsewhere nothing is done.

    Source: mallopt(3), Linux Programmer's Manual.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(_MMAP_MAX, 0) and libc.mallopt(_TRIM_THRESHOLD, -1))
