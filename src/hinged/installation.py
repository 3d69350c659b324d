"""Package versions, git commit, devices and kernel of this installation, for `hinged info`."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from hinged import kernels

NOT_INSTALLED = "not installed"
_PACKAGES = ("lightning", "numpy", "scikit-learn", "scipy")


def describe_installation() -> dict[str, str]:
    """Return a description of the installed packages, the source code and the machine.

    Returns:
        Short texts by name, for example `"torch"`, `"commit"` or `"processor"`. The text of an
        optional package that is missing is `"not installed"`. The entry `"kernel"` describes the
        compiled code that evaluates the curves.
    """
    return {
        "hinged": version("hinged"),
        "commit": source_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: _version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "kernel": kernels.describe_kernel(),
    }


@functools.cache
def source_commit() -> str:
    """Return the git commit of the source code of `hinged`.

    Returns:
        The first 12 digits of the commit. `"+changes"` is appended if the source files differ from
        the commit. The result is `"unknown"` if the source code is not in a git repository.
    """
    source = Path(__file__).parent
    try:
        head = _git(source, "rev-parse", "--short=12", "HEAD")
        _git(source, "ls-files", "--error-unmatch", "__init__.py")
        changes = _git(source, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+changes" if changes else head


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return NOT_INSTALLED


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
