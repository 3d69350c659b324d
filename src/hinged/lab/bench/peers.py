"""Loads activations of other packages from a Python file of the user."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from hinged import errors
from hinged.lab.bench.timed_activations import FAMILIES, TimedActivation

_CALL = "peers"


def load_peers(path: Path) -> list[TimedActivation]:
    """Return the list `PEERS` of a Python file.

    Raises:
        ArgumentError: the file does not exist, raises an error, or has no such list.
    """
    if not path.is_file():
        hint = "expected a Python file with a list PEERS of TimedActivation"
        raise errors.ArgumentError(errors.message(_CALL, f"{path}, which is no file", hint))
    peers = _run_script(path)
    if not isinstance(peers, list) or not all(isinstance(each, TimedActivation) for each in peers):
        hint = "expected a list PEERS of hinged.lab.bench.timed_activations.TimedActivation"
        raise errors.ArgumentError(errors.message(_CALL, f"{path} without one", hint))
    for peer in peers:
        if peer.family not in FAMILIES:
            raise errors.unknown_name(f"family of {peer.name}", peer.family, FAMILIES)
    return peers


def _run_script(path: Path) -> object:
    spec = importlib.util.spec_from_file_location("hinged_bench_peers", path)
    if spec is None or spec.loader is None:
        hint = "give a file whose name ends in .py"
        raise errors.ArgumentError(errors.message(_CALL, str(path), hint))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Classes defined in the file look their module up.
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        got = f"{path}, which fails with {type(error).__name__}: {error}"
        raise errors.ArgumentError(errors.message(_CALL, got, "correct the file")) from error
    return vars(module).get("PEERS")
