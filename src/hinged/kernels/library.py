"""Finds and loads the compiled CPU kernels, or says why there are none.

It is built by CMake when hinged is installed and lies beside this file, or, if that was an editable
install, in the package's second folder. It has no Python and no PyTorch in it: a plain C interface.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path
from typing import NamedTuple

# Loaded before our library, torch's own libgomp.so.1 serves both by its name: one team of threads.
import torch  # noqa: F401

from hinged import kernels

FILE_NAME = "hinged_cpu.dll" if sys.platform == "win32" else "hinged_cpu.so"

_INSTALL_AGAIN = "pip install --force-reinstall --no-deps --no-cache-dir"


class Library(NamedTuple):
    """What `load` found: the library, or the sentence why there is none."""

    handle: ctypes.CDLL | None
    why_not: str = ""


@functools.cache
def load() -> Library:
    """Return the compiled kernels, loading them at the first call; this never raises."""
    path = find()
    if path is None:
        return Library(
            None,
            "hinged was built without a C++ compiler that works; install one, then hinged again "
            f"(`{_INSTALL_AGAIN} hinged`, or in a clone `rm .venv/lab && make`).",
        )
    try:
        return Library(_declare(ctypes.CDLL(str(path))))
    except (OSError, AttributeError) as error:
        return Library(
            None,
            f"{path} does not load ({error}); build it on this machine (`{_INSTALL_AGAIN} "
            "--no-binary hinged hinged`).",
        )


def find() -> Path | None:
    """Return where the library lies, or None. Only the package's own folders are searched."""
    paths = (Path(folder) / FILE_NAME for folder in kernels.__path__)
    return next((path for path in paths if path.is_file()), None)


def _declare(handle: ctypes.CDLL) -> ctypes.CDLL:
    handle.hinged_instruction_sets.restype = ctypes.c_char_p
    handle.hinged_uses_openmp.restype = ctypes.c_int32
    for function in (handle.hinged_forward, handle.hinged_backward):
        function.argtypes = (ctypes.c_char_p,)  # A packed `Call`: bytes go by their address.
        function.restype = ctypes.c_int32
    return handle
