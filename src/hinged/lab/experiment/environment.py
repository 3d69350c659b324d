"""The environment of a training, for its record."""

from __future__ import annotations

from hinged.installation import describe_installation
from hinged.lab.experiment.torchrun import torchrun_process


def describe_environment() -> dict[str, str]:
    """Return the description of the installation and the number of processes.

    Returns:
        The texts of `hinged.installation.describe_installation`. The entry `"processes"` exists
        only if several processes train one network together.
    """
    processes = torchrun_process().world_size
    return describe_installation() | ({"processes": str(processes)} if processes > 1 else {})
