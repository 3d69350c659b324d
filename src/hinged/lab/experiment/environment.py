"""What a result was measured with: versions, commit, machine, and the kernel that ran."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Literal, get_args

import torch

import hinged
from hinged import kernels
from hinged.lab.experiment.ranks import ranks

_PACKAGES = ("lightning", "numpy", "scikit-learn", "scipy")


def describe() -> dict[str, str]:
    """Return versions, commit and machine as short texts, and of a training that several processes
    share their number."""
    processes = ranks().world
    return {
        "hinged": hinged.__version__,
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": _device(),
        "kernel": kernels.describe_kernel(),
        **({"processes": str(processes)} if processes > 1 else {}),
    }


Precision = Literal["float32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def fast_precision() -> Precision:
    """Return the precision in which this machine trains fast: bf16 on a GPU, and on a processor
    with AVX-512.

    On one without, torch's convolutions in bfloat16 are plain loops, about ten times as slow as
    those in float32. A GPU is not asked what it can do, since that takes memory on it.
    """
    fast = torch.cuda.is_available() or torch.backends.cpu.get_cpu_capability() == "AVX512"
    return "bf16" if fast else "float32"


@functools.cache
def commit() -> str:
    """Return the commit of the source tree, "+changes" if it was changed, or "unknown" where the
    library runs from an installed copy."""
    source = Path(hinged.__file__).parent
    try:
        head = _git(source, "rev-parse", "--short=12", "HEAD")
        _git(source, "ls-files", "--error-unmatch", "__init__.py")
        changes = _git(source, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}+changes" if changes else head


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


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
