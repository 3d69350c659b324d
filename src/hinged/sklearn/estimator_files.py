"""Files of trained estimators: safetensors with JSON, without pickle.

A file holds arrays and a text in JSON, so reading it runs no code. The text contains the arguments
of the estimator and what it learned, apart from arrays. A checksum detects later changes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from hinged import errors
from hinged.atomic_files import atomic_write
from hinged.model.adaptation.file_paths import path_to_write
from hinged.model.adaptation.tensor_files import TensorFileFormat
from hinged.sklearn.network import Parameters

Arrays = dict[str, NDArray[Any]]

_NETWORK = "network"
_NUMBERS = "biuf"
"""Kinds of dtypes of numpy that safetensors stores."""
_MOST_BYTES = 10**8
"""Largest size of an array of texts. A short file could ask for any size."""


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
    files = _files_of(estimator)
    metadata = {
        "format": files.name,
        "version": files.version,
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
    files = _files_of(estimator)
    metadata, arrays = files.read(path, call, framework="numpy")
    files.check_header(path, call, metadata, lambda: _checksum(metadata, arrays))
    other = metadata.get("estimator")
    if other != estimator:
        got = f"{os.fspath(path)!r}, which contains an {other}"
        raise files.fault(call, got, f"call {other}.load")
    with contents_explained(path, call, estimator):
        state = json.loads(metadata["state"])
        arguments = {name: _from_json(value) for name, value in state["arguments"].items()}
        learned = {name: _from_json(value) for name, value in state["learned"].items()}
        networks = _take_networks(arrays, state["networks"])
        return arguments, learned | arrays, networks


def contents_explained(
    path: str | os.PathLike[str], call: str, estimator: str
) -> AbstractContextManager[None]:
    """Convert every error in the `with` block into an `EstimatorFileError` about a file.

    Args:
        path: the file, whose header is right.
        call: the call of the user, for the error message.
        estimator: name of the class.
    """
    return _files_of(estimator).explain_read_errors(call, f"{os.fspath(path)!r}")


def _take_networks(arrays: Arrays, count: int) -> list[Parameters]:
    """Remove the parameters of the networks from `arrays`, and return them."""
    networks: dict[int, Parameters] = {}
    for name in [name for name in arrays if name.startswith(f"{_NETWORK}.")]:
        _, number, parameter = name.split(".", 2)
        networks.setdefault(int(number), {})[parameter] = arrays.pop(name)
    if len(networks) != count:
        raise ValueError(f"{len(networks)} networks instead of {count}")
    return [networks[number] for number in range(count)]


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
        return _array_from_json(_from_json(value["array"]), value["dtype"])
    if "tuple" in value:
        return tuple(_from_json(value["tuple"]))
    return dict(_from_json(value["pairs"]))


def _array_from_json(items: list[Any], dtype: str) -> NDArray[Any]:
    """Return an array of texts, which may be padded to a length, or of objects."""
    kind = np.dtype(dtype)
    if kind.kind not in "UO" or kind.itemsize * len(items) > _MOST_BYTES:
        raise ValueError(f"an array of {len(items)} items of the type {dtype}")
    return np.array(items, dtype=kind)


def _checksum(metadata: Mapping[str, str], arrays: Arrays) -> str:
    entries = sorted((key, value) for key, value in metadata.items() if key != "checksum")
    state = hashlib.sha256(repr(entries).encode())
    for name, array in sorted(arrays.items()):
        state.update(f"{name} {array.dtype.str} {array.shape} ".encode())
        state.update(array.tobytes())
    return state.hexdigest()


def _files_of(estimator: str) -> TensorFileFormat:
    """Return the format of the files of a class of estimators."""
    writer, error = f"{estimator}.save", errors.EstimatorFileError
    return TensorFileFormat("hinged estimator", "1", writer, "the estimator", error)
