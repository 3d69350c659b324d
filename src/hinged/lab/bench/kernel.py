"""The one place where the benchmarks choose a kernel."""

from __future__ import annotations

from contextlib import AbstractContextManager

from hinged import kernels

AUTO = "auto"
"""The kernel that users get."""


def using(name: str) -> AbstractContextManager[None]:
    """Return the context in which curves are evaluated by the kernel `name`.

    Raises:
        UnknownNameError: there is no such kernel on this machine.
    """
    return kernels.use(name)
