"""Files of trained estimators: safetensors with JSON, without pickle.

A file holds arrays and a text in JSON, so reading it runs no code. The text contains the arguments
of the estimator and what it learned, apart from arrays. A checksum detects later changes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import safe_open

from hinged import errors
from hinged.atomic_files import atomic_write
from hinged.model.adaptation.file_paths import path_to_read, path_to_write
from hinged.sklearn.network import Parameters

FORMAT = "hinged estimator"
VERSION = 1
Arrays = dict[str, NDArray[Any]]

_NETWORK = "network"
_NUMBERS = "biuf"
"""Kinds of dtypes of numpy that safetensors stores."""


def write_estimator(
    path: str | os.PathLike[str],
    call: str,
    *,
    estimator: str,
    arguments: Mapping[str, Any],
    learned: Mapping[str, Any],
    networks: list[Parameters],
) -> None:
    """Write an estimator to a file.

    Args:
        path: the file to write. An existing file is replaced.
        call: the call of the user, for error messages.
        estimator: name of the class.
        arguments: the arguments of the estimator.
        learned: what the estimator learned: arrays, texts and numbers by name.
        networks: the parameters of the networks.

    Raises:
        ArgumentError: if the folder of the file does not exist, or if a value can be written
            neither as an array of numbers nor as JSON.
    """
    file = path_to_write(path, f"{call}(path)")
    arrays: Arrays = {
        f"{_NETWORK}.{number}.{name}": array
        for number, parameters in enumerate(networks)
        for name, array in parameters.items()
    }
    others = {}
    for name, value in learned.items():
        if isinstance(value, np.ndarray) and value.dtype.kind in _NUMBERS:
            arrays[name] = value
        else:
            others[name] = _to_json(name, value, call)
    state = {
        "arguments": {name: _to_json(name, value, call) for name, value in arguments.items()},
        "learned": others,
        "networks": len(networks),
    }
    metadata = {
        "format": FORMAT,
        "version": str(VERSION),
        "estimator": estimator,
        "state": json.dumps(state),
    }
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    metadata["checksum"] = _checksum(metadata, arrays)
    atomic_write(file, safetensors.numpy.save(arrays, metadata))


def read_estimator(
    path: str | os.PathLike[str], call: str, estimator: str
) -> tuple[dict[str, Any], dict[str, Any], list[Parameters]]:
    """Read a file that `write_estimator` has written, and check it.

    Args:
        path: the file.
        call: the call of the user, for error messages.
        estimator: name of the class that the file must contain.

    Returns:
        The arguments, what the estimator learned, and the parameters of the networks.

    Raises:
        EstimatorFileError: if the file is damaged, was changed, was written by another program or
            in a later version of the format, or contains another estimator.
    """
    metadata, arrays = _read_file(path, call)
    shown = repr(os.fspath(path))
    if metadata.get("format") != FORMAT:
        hint = f"expected a file that {estimator}.save has written"
        raise _error(call, f"{shown}, a file from another program", hint)
    if metadata.get("version") != str(VERSION):
        got = f"{shown}, a file of format version {metadata.get('version')!r}"
        hint = f"this release of hinged reads format version {VERSION}: update hinged"
        raise _error(call, got, hint)
    if metadata.get("checksum") != _checksum(metadata, arrays):
        hint = "the file was changed or damaged after it was saved: save the estimator again"
        raise _error(call, f"{shown} with contents that differ from its checksum", hint)
    if metadata.get("estimator") != estimator:
        other = metadata.get("estimator")
        raise _error(call, f"{shown}, which contains an {other}", f"call {other}.load")
    state = json.loads(metadata["state"])
    networks: list[Parameters] = [{} for _ in range(state["networks"])]
    learned = {name: _from_json(value) for name, value in state["learned"].items()}
    for name, array in arrays.items():
        if name.startswith(f"{_NETWORK}."):
            _, number, parameter = name.split(".", 2)
            networks[int(number)][parameter] = array
        else:
            learned[name] = array
    arguments = {name: _from_json(value) for name, value in state["arguments"].items()}
    return arguments, learned, networks


def _read_file(path: str | os.PathLike[str], call: str) -> tuple[dict[str, str], Arrays]:
    """Return the metadata and the arrays of a safetensors file."""
    file = path_to_read(path, f"{call}(path)")
    try:
        with safe_open(file, framework="numpy") as opened:
            arrays = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
            return opened.metadata() or {}, arrays
    except OSError:
        raise
    except Exception as error:  # Damaged files raise errors of many classes.
        reason = " ".join(str(error).split())[:300]
        got = f"{os.fspath(path)!r} ({type(error).__name__}: {reason})"
        hint = "the file is truncated, or not a safetensors file: save the estimator again"
        raise _error(call, got, hint) from None


def _to_json(name: str, value: Any, call: str) -> Any:
    """Return a value in a form that JSON can express. Arrays and tuples are marked as such."""
    if isinstance(value, np.ndarray):
        kind = value.dtype.str if value.dtype.kind == "U" else "object"
        return {"array": [_to_json(name, each, call) for each in value.tolist()], "dtype": kind}
    if isinstance(value, dict):
        return {"pairs": [[_to_json(name, each, call) for each in pair] for pair in value.items()]}
    if isinstance(value, tuple):
        return {"tuple": [_to_json(name, each, call) for each in value]}
    if isinstance(value, list):
        return [_to_json(name, each, call) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    got = f"{name}={errors.shown(value)}"
    hint = "a file holds only numbers, texts and None, and sequences of them: use one of these"
    raise errors.ArgumentError(errors.message(call, got, hint))


def _from_json(value: Any) -> Any:
    """Return the value that `_to_json` has converted."""
    if isinstance(value, list):
        return [_from_json(each) for each in value]
    if not isinstance(value, dict):
        return value
    if "array" in value:
        return np.array(_from_json(value["array"]), dtype=value["dtype"])
    if "tuple" in value:
        return tuple(_from_json(value["tuple"]))
    return dict(_from_json(value["pairs"]))


def _checksum(metadata: Mapping[str, str], arrays: Arrays) -> str:
    entries = sorted((key, value) for key, value in metadata.items() if key != "checksum")
    state = hashlib.sha256(repr(entries).encode())
    for name, array in sorted(arrays.items()):
        state.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def _error(call: str, got: str, hint: str) -> errors.EstimatorFileError:
    return errors.EstimatorFileError(errors.message(f"{call}(path)", got, hint))
