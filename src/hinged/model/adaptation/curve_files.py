"""`save_curves` and `load_curves`: write and read the curves of a model as a small file."""

from __future__ import annotations

import copy
import ctypes
import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence

import safetensors.torch
import torch
from torch import Tensor, nn

from hinged import errors
from hinged.atomic_files import atomic_write
from hinged.model.adaptation.file_paths import path_to_write
from hinged.model.adaptation.memory import parts_in_memory
from hinged.model.adaptation.model_parts import (
    is_replaced,
    modules_by_name,
    norm_layers,
    plain_name,
)
from hinged.model.adaptation.tensor_files import TensorFileFormat
from hinged.nn import PiecewiseLinear, curve_layers
from hinged.nn.saved_state import curve_in, describe_mismatch, has_shape_of

SAVE, LOAD = "hinged.save_curves", "hinged.load_curves"
CURVE_FILES = TensorFileFormat("hinged curves", "1", SAVE, "the curves", errors.CurveFileError)
Tensors = dict[str, Tensor]


def save_curves(
    model: nn.Module, path: str | os.PathLike[str], *, also: str | Sequence[str] = ()
) -> None:
    """Write the curves and normalisation layers of a model to a small safetensors file.

    Curves are the trainable piecewise-linear functions of `PiecewiseLinear` layers. The file
    contains the hinges, values and tails of every `PiecewiseLinear`, and the weights, biases and
    running statistics of every normalisation layer. If you have called `hinged.train_only` before
    the training, nothing else has changed except the head (the last layers). Use `also` to include
    the head.

    The curves are useful only together with the other weights of the model. The file contains a
    hash of these weights, so that `hinged.load_curves` can warn about a model with different
    weights. A checksum detects later changes of the file. The file is written under a temporary
    name and then renamed, so it is never incomplete.

    Args:
        model: any module with `PiecewiseLinear` layers.
        path: the file to write. An existing file is replaced.
        also: the names of other modules to include, such as a trained head: one name or a list of
            names, as `model.named_modules()` returns them.

    Raises:
        ArgumentError: if the model has no curves, or if the folder of the file does not exist.
        UnknownNameError: if `also` contains a name that no module of the model has.
        MissingExtraError: if numpy is not installed.

    >>> import hinged, tempfile, torch
    >>> from torch import nn
    >>> def network():
    ...     torch.manual_seed(0)
    ...     return nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8), nn.Linear(8, 1))
    >>> trained, fresh = network(), network()
    >>> _ = nn.init.normal_(trained[1].values)
    >>> path = tempfile.mkdtemp() + "/curves.safetensors"
    >>> hinged.save_curves(trained, path)
    >>> hinged.load_curves(fresh, path)
    >>> x = torch.randn(5, 2)
    >>> torch.equal(trained(x), fresh(x))
    True
    """
    write_curve_file(model, path, also, SAVE)


def write_curve_file(
    model: nn.Module, path: str | os.PathLike[str], also: str | Sequence[str], call: str
) -> None:
    """Write a curve file, as `save_curves` does.

    `call` is the name of the public function, for error messages.
    """
    curve_layers(model, call)
    file = path_to_write(path, f"{call}(path)")
    modules = _modules_to_save(model, also, call)
    tensors = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in _state(modules).items()
    }
    metadata = {
        "format": CURVE_FILES.name,
        "version": CURVE_FILES.version,
        "also": json.dumps([plain_name(each) for each in _as_list(also)]),
        "weights": _fingerprint(model, modules),
    }
    metadata["checksum"] = _checksum(metadata, tensors)
    atomic_write(file, _serialize(tensors, metadata, call))


def _as_list(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _serialize(tensors: Tensors, metadata: dict[str, str], call: str) -> bytes:
    """Return the content of a safetensors file."""
    try:
        return safetensors.torch.save(tensors, metadata)
    except ModuleNotFoundError as missing:
        if missing.name != "numpy":
            raise
        hint = "safetensors needs it to write a file: run `pip install numpy`"
        raise errors.MissingExtraError(
            errors.message(call, "no installed package numpy", hint)
        ) from None


def load_curves(model: nn.Module, path: str | os.PathLike[str], *, resize: bool = False) -> None:
    """Load curves and normalisation layers from a file into a model with the same layers.

    Curves are the trainable piecewise-linear functions of `PiecewiseLinear` layers. The whole file
    is checked before anything is copied. If an error is raised, the model is unchanged.

    Names that wrappers add do not count: those of `torch.compile` and of peft. A file that was
    saved with LoRA fits the model without LoRA, and the other way round.

    Args:
        model: a model of the same architecture as the saved model. The names, shapes and dtypes of
            its layers must be the same.
        path: a file that `hinged.save_curves` has written.
        resize: whether curve layers take the numbers of hinges and curves and the kind of tails
            from the file. With True, a file of a simplified model fits a newly converted model.
            Layers with another shape get new parameters, so create a new optimizer.

    Raises:
        CurveFileError: if the file is truncated or was changed; if it was written by another
            program, or in a format version that this release of hinged cannot read; or if names,
            shapes or dtypes in the file differ from those in the model.
        ArgumentError: if the model has no curves, or if `path` is a folder.
        OSError: if the file does not exist or cannot be opened.

    Warns:
        OtherWeightsWarning: if the curves fit, but the other weights of the model differ from those
            of the saved model. The outputs will then differ from those of the saved model.

    >>> import hinged, tempfile
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8))
    >>> path = tempfile.mkdtemp() + "/curves.safetensors"
    >>> hinged.save_curves(model, path)
    >>> _ = nn.init.zeros_(model[1].values)
    >>> hinged.load_curves(model, path)
    >>> model[1].values.max().item()
    3.0
    """
    load_curve_file(model, path, LOAD, resize=resize)


def load_curve_file(
    model: nn.Module, path: str | os.PathLike[str], call: str, *, resize: bool = False
) -> None:
    """Load a curve file into a model, as `load_curves` does.

    `call` is the name of the public function, for error messages.
    """
    curve_layers(model, call)
    errors.check_flags(call, resize=resize)
    also_saved, weights, tensors = _read_curve_file(path, f"{call}(path)")
    plain = {plain_name(name): name for name, _ in model.named_modules(remove_duplicate=False)}
    # If the model lacks a module of the file, `_check_fit` raises the error.
    also = [plain[name] for name in also_saved if name in plain]
    modules = _modules_to_save(model, also, call)
    sized = dict(modules)
    if resize:
        sized.update(_resized_copies(modules, tensors, call))
    _check_fit(sized, tensors, call)
    _warn_if_other_weights(model, modules, weights, call)
    for name, module in modules.items():
        if isinstance(module, PiecewiseLinear) and sized[name] is not module:
            module.set_curve(sized[name].curve())  # type: ignore[operator]
        else:
            module.load_state_dict(_tensors_of(name, module, tensors))


def _resized_copies(
    modules: Mapping[str, nn.Module], tensors: Tensors, call: str
) -> dict[str, nn.Module]:
    """Return a copy with the curves of the file for each curve layer that has another shape."""
    copies: dict[str, nn.Module] = {}
    for name, layer in modules.items():
        own = {
            key.removeprefix(_prefix(name)): tensor
            for key, tensor in tensors.items()
            if key.startswith(_prefix(name))
        }
        if isinstance(layer, PiecewiseLinear) and not has_shape_of(layer, own):
            copies[name] = copied = copy.deepcopy(layer)
            with CURVE_FILES.explain_read_errors(
                f"{call}({name})", f"a saved layer of {len(own)} tensors"
            ):
                copied.set_curve(curve_in(own, f"{call}({name})"))
    return copies


def _modules_to_save(
    model: nn.Module, also: str | Sequence[str], call: str
) -> dict[str, nn.Module]:
    """Return the modules whose tensors are in the file, by their names without wrappers."""
    also_modules = modules_by_name(model, also, f"{call}(also=...)")
    modules = {**curve_layers(model, call), **norm_layers(model), **also_modules}
    return {plain_name(name): each for name, each in modules.items() if not is_replaced(name)}


def _state(modules: Mapping[str, nn.Module]) -> Tensors:
    """Return the tensors of the given modules, with their names in the model's `state_dict`."""
    return {
        _prefix(name) + key: tensor
        for name, module in modules.items()
        for key, tensor in module.state_dict().items()
    }


def _tensors_of(name: str, module: nn.Module, tensors: Tensors) -> Tensors:
    """Return the tensors of the module `name`, with their names in the module's `state_dict`.

    `tensors` maps the names in the `state_dict` of the whole model to tensors.
    """
    return {key: tensors[_prefix(name) + key] for key in module.state_dict()}


def _prefix(name: str) -> str:
    return f"{name}." if name else ""


def _read_curve_file(
    path: str | os.PathLike[str], call: str
) -> tuple[list[str], str, dict[str, Tensor]]:
    """Read a file that `save_curves` has written, and check it.

    Returns:
        The names of the modules in `also`, the hash of the other weights, and the tensors.
    """
    metadata, tensors = CURVE_FILES.read(path, call)
    CURVE_FILES.check_header(path, call, metadata, lambda: _checksum(metadata, tensors))
    with CURVE_FILES.explain_read_errors(call, f"{os.fspath(path)!r}, whose metadata are damaged"):
        also = json.loads(metadata["also"])
        if not isinstance(also, list) or not all(isinstance(name, str) for name in also):
            raise TypeError("also is not a list of names")
        return also, metadata["weights"], tensors


def _check_fit(modules: Mapping[str, nn.Module], tensors: Tensors, call: str) -> None:
    state = _state(modules)
    different = sorted(state.keys() ^ tensors.keys())
    if different:
        owner = "the model" if different[0] in state else "the file"
        got = (
            f"a file that does not match the model: {len(different)} names of tensors differ "
            f"(for example, only {owner} has {different[0]!r})"
        )
        hint = (
            "the file belongs to a model with other layers: load it into a model like the saved one"
        )
        raise CURVE_FILES.fault(f"{call}(path)", got, hint)
    for name, module in modules.items():
        _check_module(name, module, _tensors_of(name, module, tensors), call)


def _check_module(name: str, module: nn.Module, tensors: Tensors, call: str) -> None:
    if isinstance(module, PiecewiseLinear):
        shape = (module.channels, module.hinges.shape[-1])
        layer_call = f"{call}({name})"
        dtype, tails = module.hinges.dtype, module.tails
        mismatch = describe_mismatch(layer_call, tensors, shape, dtype, tails)
        if mismatch is not None:
            more = " With resize=True, the layer takes its size from the file."
            raise errors.CurveFileError(mismatch + more)
    for key, present in module.state_dict().items():
        saved = tensors[key]
        # A layer can have hinges of shape (K,) or (C, K); loading changes the shape if needed.
        reshaped = isinstance(module, PiecewiseLinear) and key == "hinges"
        if saved.dtype != present.dtype or (saved.shape != present.shape and not reshaped):
            tensor = f"{saved.dtype} of shape {tuple(saved.shape)}"
            got = f"a file in which the tensor {_prefix(name) + key!r} is {tensor}"
            hint = f"the model needs {present.dtype} of shape {tuple(present.shape)}"
            raise CURVE_FILES.fault(f"{call}(path)", got, hint)


def _warn_if_other_weights(
    model: nn.Module, modules: Mapping[str, nn.Module], weights: str, call: str
) -> None:
    if _fingerprint(model, modules) != weights:
        got = "a model whose weights outside the curves differ from those of the saved model"
        hint = (
            "the outputs will differ too: load the weights of the saved model first, or save all "
            "modules that were trained, with hinged.save_curves(model, path, also=...)"
        )
        message = errors.message(f"{call}(model)", got, hint)
        warnings.warn(message, errors.OtherWeightsWarning, stacklevel=4)


def _fingerprint(model: nn.Module, modules: Mapping[str, nn.Module]) -> str:
    """Return a hash of the model's parameters (names, dtypes, shapes, values) outside `modules`."""
    saved = {id(parameter) for module in modules.values() for parameter in module.parameters()}
    rest = {
        plain_name(name): parameter.detach()
        for name, parameter in model.named_parameters()
        if id(parameter) not in saved and not is_replaced(name)
    }
    return _hash(rest)


def _checksum(metadata: Mapping[str, str], tensors: Tensors) -> str:
    entries = sorted((key, value) for key, value in metadata.items() if key != "checksum")
    return _hash(tensors, repr(entries))


def _hash(tensors: Tensors, text: str = "") -> str:
    state = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        for part_name, part in parts_in_memory(name, tensors[name]):
            tensor = part.cpu().contiguous()
            state.update(f"{part_name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
            # `Tensor.numpy` would need numpy, which may be missing.
            state.update((ctypes.c_ubyte * tensor.nbytes).from_address(tensor.data_ptr()))
    return state.hexdigest()
