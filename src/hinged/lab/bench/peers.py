"""Loads activations of other packages from a Python file of the user."""

from __future__ import annotations

from pathlib import Path

from hinged import errors
from hinged.lab.bench.timed_activations import FAMILIES, TimedActivation
from hinged.lab.experiment.user_code import run_file

_CALL = "peers"


def load_peers(path: Path) -> list[TimedActivation]:
    """Return the list `PEERS` of a Python file.

    Raises:
        ArgumentError: the file does not exist, raises an error, or has no such list.
    """
    if path.suffix != ".py" or not path.is_file():
        hint = "expected a Python file with a list PEERS of TimedActivation"
        raise errors.ArgumentError(
            errors.message(_CALL, f"{path}, which is no file ending in .py", hint)
        )
    try:
        peers = run_file(path).get("PEERS")
    except Exception as error:
        got = f"{path}, which fails with {type(error).__name__}: {error}"
        raise errors.ArgumentError(errors.message(_CALL, got, "correct the file")) from error
    if not isinstance(peers, list) or not all(isinstance(each, TimedActivation) for each in peers):
        hint = "expected a list PEERS of hinged.lab.bench.timed_activations.TimedActivation"
        raise errors.ArgumentError(errors.message(_CALL, f"{path} without one", hint))
    for peer in peers:
        if peer.family not in FAMILIES:
            raise errors.unknown_name(f"family of {peer.name}", peer.family, FAMILIES)
    return peers
