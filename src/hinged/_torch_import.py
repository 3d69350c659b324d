"""Imports torch without its warning that numpy is missing, which `hinged` does not need."""

from __future__ import annotations

import importlib
import importlib.util
import warnings


def import_torch() -> None:
    """Import torch. If numpy is not installed, torch's warning about that is not shown.

    All other warnings are shown, and the filters of the user's program stay as they are.
    """
    if importlib.util.find_spec("numpy") is not None:
        importlib.import_module("torch")
        return
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Failed to initialize NumPy", UserWarning)
        importlib.import_module("torch")
