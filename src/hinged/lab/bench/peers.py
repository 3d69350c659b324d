"""Contestants from a file outside of the package, as a user may have some of their own."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from hinged import errors
from hinged.lab.bench.contestants import FAMILIES, Contestant

_CALL = "--peers"


def load_peers(path: Path) -> list[Contestant]:
    """Return the list `PEERS` of a Python file.

    Raises:
        ArgumentError: there is no such file, it cannot be run, or it has no such list.
    """
    if not path.is_file():
        hint = "expected a Python file with a list PEERS of contestants"
        raise errors.ArgumentError(errors.message(_CALL, f"{path}, which is no file", hint))
    peers = _run(path)
    if not isinstance(peers, list) or not all(isinstance(peer, Contestant) for peer in peers):
        hint = "expected a list PEERS of hinged.lab.bench.contestants.Contestant"
        raise errors.ArgumentError(errors.message(_CALL, f"{path} without one", hint))
    for peer in peers:
        if peer.family not in FAMILIES:
            raise errors.unknown_name(f"family of {peer.name}", peer.family, FAMILIES)
    return peers


def _run(path: Path) -> object:
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
        raise errors.ArgumentError(errors.message(_CALL, got, "mend the file")) from error
    return vars(module).get("PEERS")
