"""Curves as a file of kilobytes."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from hinged import errors
from hinged.atomic_files import atomic_write
from hinged.model.adaptation.model_parts import modules_by_name, norm_layers
from hinged.nn import PiecewiseLinear, curve_layers
from hinged.nn.saved_state import describe_mismatch

FORMAT = "hinged curves"
VERSION = "1"
SAVE, LOAD = "hinged.save_curves", "hinged.load_curves"
Tensors = dict[str, Tensor]


def save_curves(
    model: nn.Module, path: str | os.PathLike[str], *, also: str | Sequence[str] = ()
) -> None:
    """Write the curves of a model and its normalisation layers to a safetensors file.

    These are hinges, values and tails of every `PiecewiseLinear`, and running statistics, weights
    and biases of every normalisation layer, since those adapt when curves are trained: what
    `hinged.train_only` trains, less the head. They are kept as in `state_dict`, to the last bit.
    The metadata holds a version, a checksum of the contents and a fingerprint of the weights that
    are not in the file, to which the curves belong.

    The file appears whole or not at all: it is written beside its place and renamed.

    Args:
        model: a model with curves.
        path: where to write; a file there is replaced.
        also: names of modules to include, such as a head that was trained.

    Raises:
        ArgumentError: a model without curves.
        UnknownNameError: a module that the model does not have.

    >>> import hinged, tempfile
    >>> def network():
    ...     torch.manual_seed(0)
    ...     return nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8), nn.Linear(8, 1))
    >>> trained, fresh = network(), network()
    >>> _ = nn.init.normal_(trained[1].values)
    >>> path = Path(tempfile.mkdtemp()) / "curves.safetensors"
    >>> save_curves(trained, path)
    >>> load_curves(fresh, path)
    >>> x = torch.randn(5, 2)
    >>> torch.equal(trained(x), fresh(x))
    True
    """
    curve_layers(model, f"{SAVE}(model)")
    modules = _modules(model, also, f"{SAVE}(also=...)")
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in _state(modules).items()
    }
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "also": json.dumps([also] if isinstance(also, str) else list(also)),
        "weights": _fingerprint(model, modules),
    }
    metadata["checksum"] = _checksum(metadata, tensors)
    atomic_write(Path(path), safetensors.torch.save(tensors, metadata))


def load_curves(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Put the curves of a file into a model of the same layers of curves.

    Everything is checked before anything is copied: after an error the model is as it was.

    Args:
        model: the model that was saved, made anew: the same names, shapes and dtypes.
        path: a file that `hinged.save_curves` wrote.

    Raises:
        CurveFileError: the file is truncated, changed, of another program or of a version this
            one cannot read, or its curves belong to a model of other names, shapes or dtypes.
        ArgumentError: a model without curves.
        OSError: the file cannot be opened.

    Warns:
        OtherWeightsWarning: the curves fit, but the model's other weights are not those they were
            saved with, so that outputs will differ.
    """
    curve_layers(model, f"{LOAD}(model)")
    metadata, tensors = _read(path)
    also = _known(model, json.loads(metadata["also"]))
    modules = _modules(model, also, f"{LOAD}(model)")
    _check_fit(modules, tensors)
    _warn_if_other(model, modules, metadata["weights"])
    for name, module in modules.items():
        module.load_state_dict(_own(name, module, tensors))


def _modules(model: nn.Module, also: str | Sequence[str], call: str) -> dict[str, nn.Module]:
    return {**curve_layers(model, call), **norm_layers(model), **modules_by_name(model, also, call)}


def _known(model: nn.Module, also: Sequence[str]) -> list[str]:
    """Return the names the model has; what a file holds for others is refused as tensors."""
    names = dict(model.named_modules(remove_duplicate=False))
    return [name for name in also if name in names]


def _state(modules: Mapping[str, nn.Module]) -> Tensors:
    """Return the state of these modules under the names it has in the model's `state_dict`."""
    return {
        _prefix(name) + key: tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }


def _own(name: str, module: nn.Module, tensors: Tensors) -> Tensors:
    """Return what belongs to one module, by the names it has there."""
    return {key: tensors[_prefix(name) + key] for key in module.state_dict()}


def _prefix(name: str) -> str:
    return f"{name}." if name else ""


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, str], Tensors]:
    """Return metadata and tensors of a file that is whole and ours."""
    metadata, tensors = read(path, f"{LOAD}(path)")
    if metadata.get("format") != FORMAT:
        hint = "expected a file that hinged.save_curves wrote"
        raise _refused(f"{os.fspath(path)!r} of another program", hint)
    if metadata.get("version") != VERSION:
        hint = f"this release reads version {VERSION}: update hinged"
        raise _refused(f"a file of version {metadata.get('version')!r}", hint)
    if metadata.get("checksum") != _checksum(metadata, tensors):
        hint = "it was changed after it was saved: save the curves again"
        raise _refused(f"{os.fspath(path)!r}, whose contents do not match its checksum", hint)
    return metadata, tensors


def _check_fit(modules: Mapping[str, nn.Module], tensors: Tensors) -> None:
    state = _state(modules)
    different = sorted(state.keys() ^ tensors.keys())
    if different:
        side = "the model" if different[0] in state else "the file"
        got = f"{len(different)} tensors in one and not in the other ({different[0]!r} in {side})"
        raise _refused(got, "the file belongs to a model with other layers")
    for name, module in modules.items():
        _check_layer(name, module, _own(name, module, tensors))


def _check_layer(name: str, module: nn.Module, own: Tensors) -> None:
    if isinstance(module, PiecewiseLinear):
        shape = (module.channels, module.hinges.shape[-1])
        refused = describe_mismatch(
            f"{LOAD}({name})", own, shape, module.hinges.dtype, module.tails
        )
        if refused is not None:
            raise errors.CurveFileError(refused)
    for key, held in module.state_dict().items():
        saved = own[key]
        # A row of hinges for all channels and one for each are forms of the same layer.
        reshaped = isinstance(module, PiecewiseLinear) and key == "hinges"
        if saved.dtype != held.dtype or (saved.shape != held.shape and not reshaped):
            got = f"{saved.dtype} of shape {tuple(saved.shape)} for {_prefix(name) + key!r}"
            raise _refused(got, f"the model has {held.dtype} of shape {tuple(held.shape)}")


def _warn_if_other(model: nn.Module, modules: Mapping[str, nn.Module], weights: str) -> None:
    if _fingerprint(model, modules) != weights:
        got = "weights that are not those the curves were saved with"
        hint = (
            "outputs will differ from the saved model's: load its weights first, or include what "
            "was trained by hinged.save_curves(also=...)"
        )
        message = errors.message(f"{LOAD}(model)", got, hint)
        warnings.warn(message, errors.OtherWeightsWarning, stacklevel=3)


def _fingerprint(model: nn.Module, modules: Mapping[str, nn.Module]) -> str:
    """Return a hash of names, shapes, dtypes and bits of the parameters outside these modules."""
    saved = {id(parameter) for module in modules.values() for parameter in module.parameters()}
    rest = {name: p.detach() for name, p in model.named_parameters() if id(p) not in saved}
    return _hash(rest)


def _checksum(metadata: Mapping[str, str], tensors: Tensors) -> str:
    entries = sorted((key, value) for key, value in metadata.items() if key != "checksum")
    return _hash(tensors, repr(entries))


def _hash(tensors: Tensors, text: str = "") -> str:
    state = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name].cpu().contiguous()
        state.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        state.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()


def read(path: str | os.PathLike[str], call: str) -> tuple[dict[str, str], Tensors]:
    """Return metadata and tensors of a safetensors file, or raise `CurveFileError`."""
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = file.metadata() or {}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as unreadable:
        got = f"{os.fspath(path)!r} ({unreadable})"
        hint = "it is truncated or no safetensors file: save it again"
        raise errors.CurveFileError(errors.message(call, got, hint)) from None


def _refused(got: str, hint: str) -> errors.CurveFileError:
    return errors.CurveFileError(errors.message(f"{LOAD}(path)", got, hint))
