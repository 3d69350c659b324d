"""Finds and loads the compiled library of the CPU kernels, or returns the reason why it cannot.

CMake compiles the library when hinged is installed. The library is in the folder of this file.
After an editable install, it is in the second folder in `hinged.kernels.__path__`. It contains no
code of Python or PyTorch, only a plain C interface.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from pathlib import Path
from typing import NamedTuple

# Torch must be loaded first. The library then uses the libgomp.so.1 of torch and its threads.
import torch  # noqa: F401

from hinged import kernels

FILE_NAME = "hinged_cpu.dll" if sys.platform == "win32" else "hinged_cpu.so"

_INTERFACE = 4
"""The number that `hinged_interface` in interface.cpp returns."""

_INSTALL_AGAIN = "pip install --force-reinstall --no-deps --no-cache-dir"


class CpuLibrary(NamedTuple):
    """The loaded library, or the reason why there is none.

    Attributes:
        handle: the library; None if it could not be loaded.
        why_not: a sentence with the reason why there is no library and what to do; empty if there
            is one.
    """

    handle: ctypes.CDLL | None
    why_not: str = ""


@functools.cache
def load_cpu_library() -> CpuLibrary:
    """Return the library, or the reason why there is none. This function raises no errors.

    The first call loads the library. Later calls return the same result.
    """
    path = find_cpu_library()
    if path is None:
        return CpuLibrary(
            None,
            "hinged was built without a working C++ compiler; install one, and then install hinged "
            f"again (`{_INSTALL_AGAIN} hinged`, or in a clone `rm .venv/lab && make`).",
        )
    try:
        return CpuLibrary(_declare_functions(ctypes.CDLL(str(path))))
    except (OSError, AttributeError) as error:
        return CpuLibrary(
            None,
            f"{path} cannot be loaded ({error}); build it on this machine (`{_INSTALL_AGAIN} "
            "--no-binary hinged hinged`).",
        )


def find_cpu_library() -> Path | None:
    """Return the path of the library, or None. Only the folders of the package are searched."""
    paths = (Path(folder) / FILE_NAME for folder in kernels.__path__)
    return next((path for path in paths if path.is_file()), None)


def _declare_functions(handle: ctypes.CDLL) -> ctypes.CDLL:
    if handle.hinged_interface() != _INTERFACE:
        raise OSError("it was built from another version of hinged")
    handle.hinged_instruction_sets.restype = ctypes.c_char_p
    handle.hinged_uses_openmp.restype = ctypes.c_int32
    for function in (
        handle.hinged_forward,
        handle.hinged_backward,
        handle.hinged_metric_step,
        handle.hinged_input_moments,
        handle.hinged_update_moments,
    ):
        function.argtypes = (ctypes.c_char_p,)  # The address of a packed struct of arguments.
        function.restype = ctypes.c_int32
    return handle
