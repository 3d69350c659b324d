"""Files of weights: they are read without code, and refused if they hold no usual tensors."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from hinged import errors


def read_tensors(path: Path, setting: str) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Return the tensors in a file of weights, and the size and normalisation of the images.

    The tensors have at most 4 times the bytes of the file.

    Args:
        path: a file in the format safetensors if its name ends in `.safetensors`, and in the format
            of `torch.save` otherwise.
        setting: the setting that names the file, for error messages.

    Returns:
        The tensors by name. The size and normalisation are None if the file does not contain them.

    Raises:
        DataError: if the file contains no tensors, tensors without names, or tensors that are not
            dense. A damaged file raises errors of many other classes.
    """
    if path.suffix == ".safetensors":
        state, image_form = _read_safetensors(path)
    else:
        state, image_form = _read_state_dict(path), None
    if not state:
        got = f"{path}, which contains no state dict"
        hint = "give a file that `torch.save(model.state_dict(), path)` has written"
        raise errors.DataError(errors.message(setting, got, hint))
    _check_tensors(path, state, setting)
    return state, image_form


def _check_tensors(path: Path, state: Mapping[Any, Tensor], setting: str) -> None:
    """Raise an error if the names or tensors of a state dict are not those of a usual network."""
    for name, tensor in state.items():
        if not isinstance(name, str):
            got = f"{path}, in which the name of a tensor is {errors.shown(name)}"
            hint = "give a file of a state dict, in which each tensor has a text as its name"
            raise errors.DataError(errors.message(setting, got, hint))
        kind = "a meta tensor" if tensor.is_meta else f"a tensor of layout {tensor.layout}"
        kind = "a quantized tensor" if tensor.is_quantized else kind
        if tensor.is_meta or tensor.is_quantized or tensor.layout != torch.strided:
            got = f"{path}, in which {name} is {kind}"
            hint = "save it again with usual (dense) tensors on the CPU"
            raise errors.DataError(errors.message(setting, got, hint))
    size, most = sum(each.nbytes for each in state.values()), 4 * path.stat().st_size
    if size > most:
        raise ValueError(f"its tensors have {size:,} bytes, more than 4 times those of the file")


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    _check_not_compressed(path)
    saved = torch.load(path, map_location="cpu", weights_only=True)
    for name in ("state_dict", "model"):
        nested = saved.get(name) if isinstance(saved, dict) else None
        saved = nested if isinstance(nested, dict) else saved
    entries = saved.items() if isinstance(saved, dict) else ()
    state = {name: tensor for name, tensor in entries if isinstance(tensor, Tensor)}
    for prefix in ("module.", "model."):
        if all(isinstance(name, str) and name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _check_not_compressed(path: Path) -> None:
    """Raise an error if a file is an archive that contains more bytes than it has.

    `torch.save` never compresses.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            size = sum(each.file_size for each in archive.infolist())
        if size > path.stat().st_size:
            raise ValueError(f"it unpacks to {size:,} bytes, but torch.save never compresses")


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    with safetensors.safe_open(path, "pt") as file:
        image_form = (file.metadata() or {}).get("hinged")
    return safetensors.torch.load_file(path), None if image_form is None else json.loads(image_form)
