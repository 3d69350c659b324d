"""The commands of `hinged`, in the order of `hinged --help`."""

from __future__ import annotations

SUMMARIES = {
    "compare": "Train one network with several activations and test which activation is better.",
    "train": "Train one network and save a checkpoint after each epoch.",
    "report": "Write the page of a run again, or its results as CSV, LaTeX or plots.",
    "study": "List, show, run or copy studies: questions with comparisons that answer them.",
    "settings": "List all settings with their defaults, and the names of data sets and networks.",
    "convert-check": "List the activations of your model and say if hinged would replace them.",
    "bench": "Measure the cost of curves on this machine.",
    "info": "Show package versions, devices and the kernel that computes curves.",
}
"""One sentence about each command, by name."""

CORE_COMMANDS = ("convert-check", "info")
"""The commands that need no packages of the extra `lab`."""


def module_of(command: str) -> str:
    """Return the name of the module that declares a command.

    >>> module_of("convert-check")
    'hinged.cli.commands.convert_check'
    """
    return f"hinged.cli.commands.{command.replace('-', '_')}"
