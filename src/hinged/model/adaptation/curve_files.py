"""`save_curves` and `load_curves`: curves in a small safetensors file."""

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

    The file has hinges, values and tails of every `PiecewiseLinear`. It also has running
    statistics, weights and biases of every normalisation layer, because these adapt when curves are
    trained. This is what `hinged.train_only` trains, without the head. The tensors are bitwise
    those of `state_dict`. The metadata has a version, a checksum of the contents, and a fingerprint
    of the other weights of the model, to which the curves belong.

    The file is written under another name and then renamed, so it is never incomplete.

    Args:
        model: a model with curves.
        path: where to write; an existing file is replaced.
        also: names of modules to include, such as a trained head.

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
    write_curve_file(model, path, also, SAVE)


def write_curve_file(
    model: nn.Module, path: str | os.PathLike[str], also: str | Sequence[str], call: str
) -> None:
    """Do what `save_curves` does; error messages name `call`."""
    curve_layers(model, f"{call}(model)")
    modules = _modules_to_save(model, also, f"{call}(also=...)")
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
    """Load the curves of a file into a model that has the same layers of curves.

    Everything is checked before anything is copied. After an error the model is unchanged.

    Args:
        model: a new instance of the saved model, with the same names, shapes and dtypes.
        path: a file from `hinged.save_curves`.

    Raises:
        CurveFileError: the file is truncated or changed, comes from another program or has a
            version that this release cannot read, or its curves belong to a model with other names,
            shapes or dtypes.
        ArgumentError: a model without curves.
        OSError: the file cannot be opened.

    Warns:
        OtherWeightsWarning: the curves fit, but the other weights of the model differ from those
            the curves were saved with, so outputs will differ.
    """
    load_curve_file(model, path, LOAD)


def load_curve_file(model: nn.Module, path: str | os.PathLike[str], call: str) -> None:
    """Do what `load_curves` does; error messages name `call`."""
    curve_layers(model, f"{call}(model)")
    metadata, tensors = _read_curve_file(path, f"{call}(path)")
    names = dict(model.named_modules(remove_duplicate=False))
    # Modules that the model does not have appear as surplus tensors in `_check_fit`.
    also = [name for name in json.loads(metadata["also"]) if name in names]
    modules = _modules_to_save(model, also, f"{call}(model)")
    _check_fit(modules, tensors, call)
    _warn_if_other_weights(model, modules, metadata["weights"], call)
    for name, module in modules.items():
        module.load_state_dict(_tensors_of(name, module, tensors))


def _modules_to_save(
    model: nn.Module, also: str | Sequence[str], call: str
) -> dict[str, nn.Module]:
    also_modules = modules_by_name(model, also, call)
    return {**curve_layers(model, call), **norm_layers(model), **also_modules}


def _state(modules: Mapping[str, nn.Module]) -> Tensors:
    """Return the state of these modules, with the names of the model's `state_dict`."""
    return {
        _prefix(name) + key: tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }


def _tensors_of(name: str, module: nn.Module, tensors: Tensors) -> Tensors:
    """Return the tensors of one module, with the names of its own `state_dict`."""
    return {key: tensors[_prefix(name) + key] for key in module.state_dict()}


def _prefix(name: str) -> str:
    return f"{name}." if name else ""


def _read_curve_file(path: str | os.PathLike[str], call: str) -> tuple[dict[str, str], Tensors]:
    """Return metadata and tensors of a complete file from `save_curves`."""
    metadata, tensors = read_safetensors(path, call)
    if metadata.get("format") != FORMAT:
        hint = "expected a file from hinged.save_curves"
        raise _error(call, f"{os.fspath(path)!r}, a file from another program", hint)
    if metadata.get("version") != VERSION:
        hint = f"this release reads version {VERSION}: update hinged"
        raise _error(call, f"a file of version {metadata.get('version')!r}", hint)
    if metadata.get("checksum") != _checksum(metadata, tensors):
        hint = "it was changed after it was saved: save the curves again"
        raise _error(call, f"{os.fspath(path)!r} with contents that differ from its checksum", hint)
    return metadata, tensors


def _check_fit(modules: Mapping[str, nn.Module], tensors: Tensors, call: str) -> None:
    state = _state(modules)
    different = sorted(state.keys() ^ tensors.keys())
    if different:
        owner = "the model" if different[0] in state else "the file"
        got = f"{len(different)} tensors in one and not in the other ({different[0]!r} in {owner})"
        raise _error(f"{call}(path)", got, "the file belongs to a model with other layers")
    for name, module in modules.items():
        _check_module(name, module, _tensors_of(name, module, tensors), call)


def _check_module(name: str, module: nn.Module, tensors: Tensors, call: str) -> None:
    if isinstance(module, PiecewiseLinear):
        shape = (module.channels, module.hinges.shape[-1])
        layer_call = f"{call}({name})"
        dtype, tails = module.hinges.dtype, module.tails
        mismatch = describe_mismatch(layer_call, tensors, shape, dtype, tails)
        if mismatch is not None:
            raise errors.CurveFileError(mismatch)
    for key, present in module.state_dict().items():
        saved = tensors[key]
        # The same layer can have one row of hinges for all channels, or one row for each.
        reshaped = isinstance(module, PiecewiseLinear) and key == "hinges"
        if saved.dtype != present.dtype or (saved.shape != present.shape and not reshaped):
            got = f"{saved.dtype} of shape {tuple(saved.shape)} for {_prefix(name) + key!r}"
            hint = f"the model has {present.dtype} of shape {tuple(present.shape)}"
            raise _error(f"{call}(path)", got, hint)


def _warn_if_other_weights(
    model: nn.Module, modules: Mapping[str, nn.Module], weights: str, call: str
) -> None:
    if _fingerprint(model, modules) != weights:
        got = "other weights than those the curves were saved with"
        hint = (
            "outputs will differ from the saved model: load its weights first, or save the other "
            "trained modules too, with hinged.save_curves(also=...)"
        )
        message = errors.message(f"{call}(model)", got, hint)
        warnings.warn(message, errors.OtherWeightsWarning, stacklevel=4)


def _fingerprint(model: nn.Module, modules: Mapping[str, nn.Module]) -> str:
    """Return a hash of names, shapes, dtypes and values of all parameters outside `modules`."""
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


def read_safetensors(path: str | os.PathLike[str], call: str) -> tuple[dict[str, str], Tensors]:
    """Return metadata and tensors of a safetensors file, or raise `CurveFileError`."""
    try:
        with safe_open(os.fspath(path), framework="pt") as file:
            metadata = file.metadata() or {}
            return metadata, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        got = f"{os.fspath(path)!r} ({error})"
        hint = "it is truncated, or not a safetensors file: save it again"
        raise errors.CurveFileError(errors.message(call, got, hint)) from None


def _error(call: str, got: str, hint: str) -> errors.CurveFileError:
    return errors.CurveFileError(errors.message(call, got, hint))
