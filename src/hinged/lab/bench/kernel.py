"""The one place where the benchmarks choose a kernel."""

from __future__ import annotations

import importlib
import importlib.util
from contextlib import AbstractContextManager, nullcontext
from types import ModuleType

from hinged import errors

AUTO = "auto"
"""The kernel that users get."""


def using(name: str) -> AbstractContextManager[object]:
    """Return the context in which curves are evaluated by the kernel `name`.

    Raises:
        UnknownNameError: there is no such kernel in this version.
    """
    if name == AUTO:
        return nullcontext()
    kernels = _kernels()
    if kernels is not None:
        context: AbstractContextManager[object] = kernels.use(name)
        return context
    if name == "reference":  # What a version without kernels always does.
        return nullcontext()
    raise errors.unknown_name("--kernels", name, (AUTO, "reference"))


def _kernels() -> ModuleType | None:
    """Return `hinged.kernels`, or None in a version without it."""
    found = importlib.util.find_spec("hinged.kernels")
    if found is None or found.origin is None:
        return None
    return importlib.import_module("hinged.kernels")
