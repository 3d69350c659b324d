"""Loads activations of other packages from a Python file that a user wrote."""

from __future__ import annotations

from pathlib import Path

from hinged import errors
from hinged.lab.bench.timed_activations import FAMILIES, TimedActivation
from hinged.user_code import run_file

_CALL = "peers"


def load_peers(path: Path) -> list[TimedActivation]:
    """Run a Python file and return the list `PEERS` that the file defines.

    Raises:
        ArgumentError: if the file does not exist, raises an error, or defines no list `PEERS` of
            `TimedActivation`.
        UnknownNameError: if the family of an activation is not in `FAMILIES`.
    """
    if path.suffix != ".py" or not path.is_file():
        got = f"{path}, which is not an existing file with the ending .py"
        hint = "give the path of a Python file that defines a list PEERS of TimedActivation"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    try:
        peers = run_file(path).get("PEERS")
    except Exception as error:
        got = f"{path}, which raises {type(error).__name__}: {error}"
        hint = "correct this error in the file"
        raise errors.ArgumentError(errors.message(_CALL, got, hint)) from error
    if not isinstance(peers, list) or not all(isinstance(each, TimedActivation) for each in peers):
        got = f"{path}, which defines no list PEERS of activations"
        hint = "define PEERS as a list of hinged.lab.bench.timed_activations.TimedActivation"
        raise errors.ArgumentError(errors.message(_CALL, got, hint))
    for peer in peers:
        if peer.family not in FAMILIES:
            call = f"TimedActivation({peer.name!r}, family=...)"
            raise errors.unknown_name(call, peer.family, FAMILIES)
    return peers
