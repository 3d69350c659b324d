"""The environment of a result: versions, commit, machine and kernel."""

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
from hinged.lab.experiment.torchrun import torchrun_process

_PACKAGES = ("lightning", "numpy", "scikit-learn", "scipy")


def describe_environment() -> dict[str, str]:
    """Return versions, commit and machine as short texts, and the number of processes if several
    share the training."""
    processes = torchrun_process().world_size
    return {
        "hinged": hinged.__version__,
        "commit": source_commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **{name: version(name) for name in _PACKAGES},
        "system": platform.platform(),
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        "kernel": kernels.describe_kernel(),
        **({"processes": str(processes)} if processes > 1 else {}),
    }


Precision = Literal["float32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)


def fast_precision() -> Precision:
    """Return the precision in which this machine trains faster: bf16 on a GPU and on a processor
    with AVX-512, otherwise float32.

    Without AVX-512, torch's convolutions in bfloat16 take about ten times as long as in float32.
    A GPU's own capability is not queried, because the query takes memory on the GPU.
    """
    fast = torch.cuda.is_available() or torch.backends.cpu.get_cpu_capability() == "AVX512"
    return "bf16" if fast else "float32"


@functools.cache
def source_commit() -> str:
    """Return the commit of the source tree, followed by "+changes" if files were changed, or
    "unknown" if the library runs from an installed copy."""
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
