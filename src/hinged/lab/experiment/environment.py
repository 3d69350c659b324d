"""The environment of a result: package versions, git commit, machine and compiled kernel."""

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
    """Return a description of the installed packages, the source code and the machine.

    Returns:
        Short texts by name, for example `"torch"`, `"commit"` or `"processor"`. The entry
        `"processes"` exists only if several processes train one network together. The entry
        `"kernel"` describes the compiled code that evaluates the curves.
    """
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
    """Return the precision that is expected to be faster for training on this machine.

    Without AVX-512, torch's bfloat16 convolutions on the CPU take about ten times as long as
    float32 convolutions. The capability of a GPU is not queried, because the query allocates GPU
    memory.

    Returns:
        `"bf16"` if a GPU is available or the processor has AVX-512, otherwise `"float32"`.
    """
    fast = torch.cuda.is_available() or torch.backends.cpu.get_cpu_capability() == "AVX512"
    return "bf16" if fast else "float32"


@functools.cache
def source_commit() -> str:
    """Return the git commit of the source code of `hinged`.

    Returns:
        The first 12 digits of the commit. `"+changes"` is appended if the source files differ from
        the commit. The result is `"unknown"` if the source code is not in a git repository.
    """
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
