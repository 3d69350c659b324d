"""Finds and loads the compiled library of the CPU kernels, or says why it cannot.

CMake builds the library when hinged is installed. It lies in the folder of this file or, after an
editable install, in the package's second folder. It contains no code of Python or PyTorch, only a
plain C interface.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path
from typing import NamedTuple

# Torch must load first: our library then uses torch's own libgomp.so.1 and its threads.
import torch  # noqa: F401

from hinged import kernels

FILE_NAME = "hinged_cpu.dll" if sys.platform == "win32" else "hinged_cpu.so"

_INSTALL_AGAIN = "pip install --force-reinstall --no-deps --no-cache-dir"


class CpuLibrary(NamedTuple):
    """The loaded library, or the reason why there is none.

    Attributes:
        handle: the library, or None.
        why_not: a sentence that says why there is none and what to do, or "".
    """

    handle: ctypes.CDLL | None
    why_not: str = ""


@functools.cache
def load_cpu_library() -> CpuLibrary:
    """Return the library, which is loaded at the first call. It never raises."""
    path = find_cpu_library()
    if path is None:
        return CpuLibrary(
            None,
            "hinged was built without a C++ compiler that works; install one, then hinged again "
            f"(`{_INSTALL_AGAIN} hinged`, or in a clone `rm .venv/lab && make`).",
        )
    try:
        return CpuLibrary(_declare_functions(ctypes.CDLL(str(path))))
    except (OSError, AttributeError) as error:
        return CpuLibrary(
            None,
            f"{path} does not load ({error}); build it on this machine (`{_INSTALL_AGAIN} "
            "--no-binary hinged hinged`).",
        )


def find_cpu_library() -> Path | None:
    """Return the library's path, or None. It searches the package's own folders only."""
    paths = (Path(folder) / FILE_NAME for folder in kernels.__path__)
    return next((path for path in paths if path.is_file()), None)


def _declare_functions(handle: ctypes.CDLL) -> ctypes.CDLL:
    handle.hinged_instruction_sets.restype = ctypes.c_char_p
    handle.hinged_uses_openmp.restype = ctypes.c_int32
    for function in (handle.hinged_forward, handle.hinged_backward):
        function.argtypes = (ctypes.c_char_p,)  # A packed `Call`, passed by its address.
        function.restype = ctypes.c_int32
    return handle
