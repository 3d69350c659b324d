"""Weights to start from, and the images they were trained on.

They come from torchvision or timm by `imagenet`, or from a file: a state dict as `torch.save` or
safetensors write it, or the `weights` of a run folder. Names may begin with `module.` or `model.`,
as wrappers leave them, and lie under `state_dict` or `model`.

The images of a task are given to the network as those were that its weights were trained on: of the
same size (unless `NetworkSettings.image_size` asks for another) and with the same normalisation. A
run's file knows both; other files are taken to want ImageNet's mean and deviation, and images as
they are.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from hinged import errors
from hinged.lab.data import DataSet
from hinged.lab.data.readers.data_files import damaged, data_folder
from hinged.lab.experiment.settings import NetworkSettings
from hinged.lab.networks import vision
from hinged.lab.networks.activations import TRAINED

IMAGENET = "imagenet"
STUDY = "study"
"""As `pretrained`, in a study with a table `[pretrain]`: what that gives for the network."""

_OPTION = "--pretrained"
_PIXEL = 255.0
_MEAN = _PIXEL * torch.tensor([0.485, 0.456, 0.406])
_STD = _PIXEL * torch.tensor([0.229, 0.224, 0.225])
_DEEP_COMPRESSED = "squeezenet1_0_deepcompressed_torchvision_names.pth"
_OTHERS = {"squeezenet1_0": _DEEP_COMPRESSED}
"""Files taken for `imagenet` where the folder of data sets has them and not torchvision's."""
_UNREADABLE = (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError)


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of a network.

    Attributes:
        name: where they come from, and the beginning of the SHA-256 over them.
        state: parameters and buffers by their names in the network.
        mean, std: of each channel `(C,)` that inputs are scaled with, in the unit of pixels of
            0 to 255; None for images that are no pixels.
        side: of the images they were trained on, in pixels; None where it is not known.
    """

    name: str
    state: dict[str, Tensor]
    mean: Tensor | None
    std: Tensor | None
    side: int | None


def read(
    network: NetworkSettings, folder: Path | None = None, own: Path | None = None
) -> Weights | None:
    """Return the weights that a network starts from; None for new ones.

    Args:
        network: its `pretrained` says which. A relative path is looked up where one is and then in
            the folder of data sets.
        folder: the folder of data sets, by default that of `HINGED_DATA`; torchvision's files are
            taken from `weights` in it before they are downloaded.
        own: the file of a study's pretraining.

    Raises:
        ArgumentError: no such file, or nothing published for this network.
        DataError: a file that is damaged or no weights, or no download.
    """
    if network.pretrained is None:
        return None
    folder = data_folder(folder)
    if network.pretrained == IMAGENET:
        return _published(network.kind, folder)
    if network.pretrained == STUDY and own is not None:
        return of_file(own)
    return of_file(_path(network.pretrained, folder))


def fitted(data: DataSet, network: NetworkSettings, weights: Weights | None) -> DataSet:
    """Return the data as the network is to be given them: images of its size, normalised as its
    weights want, in three channels where it takes no grey ones."""
    side = network.image_size or (weights.side if weights else None)
    channels = 3 if vision.is_known(network.kind) else None
    if weights is None or weights.mean is None or weights.std is None:
        return data.fitted(side, channels, None)
    return data.fitted(side, channels or len(weights.mean), (weights.mean, weights.std))


def start(model: nn.Module, weights: Weights, head: tuple[str, ...]) -> None:
    """Load weights into a network, all but the head where that is for other classes, and but the
    parameters of trained activations.

    Args:
        model: the network, changed in place.
        weights: of the same network.
        head: names of the modules that may differ in shape, or be missing in the file; they keep
            their new weights then.

    Raises:
        ArgumentError: anything else that differs, by name; nothing was changed.
    """
    inside = tuple(f"{n}." for n, m in model.named_modules() if isinstance(m, TRAINED))
    own = {n: tensor for n, tensor in model.state_dict().items() if not n.startswith(inside)}
    new = {name for name in own if name.startswith(tuple(f"{part}." for part in head))}
    if all(_alike(name, own, weights.state) for name in new):
        new = set()
    faults = _faults(own, weights.state, new)
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        got = f"{weights.name}, in which {'; '.join(faults[:3])}{more}"
        hint = f"give weights of this {type(model).__name__}"
        raise errors.ArgumentError(errors.message(_OPTION, got, hint))
    taken = {name: tensor for name, tensor in weights.state.items() if name not in new}
    model.load_state_dict(taken, strict=False)


def of_file(path: Path) -> Weights:
    """Return the weights of a file.

    Raises:
        DataError: it is damaged, or holds no weights.
    """
    try:
        state, about = _unpickled(path) if path.suffix != ".safetensors" else _safetensors(path)
    except (*_UNREADABLE, safetensors.SafetensorError) as error:
        raise damaged(path, error) from None
    if not state:
        got = f"{path}, which holds no tensors by name"
        raise errors.DataError(errors.message(_OPTION, got, "give a file of a state dict"))
    if path.name == _DEEP_COMPRESSED:
        state = from_bgr(state, "features.0")
    if about is None:
        return Weights(_named(path.name, state), state, _MEAN, _STD, None)
    mean, std = (
        None if about[each] is None else torch.tensor(about[each]) for each in ("mean", "std")
    )
    return Weights(_named(path.name, state), state, mean, std, about["side"])


def save(model: nn.Module, data: DataSet) -> bytes:
    """Return the file, in safetensors, of a trained network and of how it was given its images."""
    named = model.state_dict().items()
    state = {name: t.contiguous().clone() for name, t in named if isinstance(t, Tensor)}
    shape = data.sample_shape
    about = {
        "mean": None if data.mean is None else data.mean.tolist(),
        "std": None if data.std is None else data.std.tolist(),
        "side": shape[-1] if len(shape) == 3 and shape[1] == shape[2] else None,
    }
    return safetensors.torch.save(state, {"hinged": json.dumps(about)})


def from_bgr(state: Mapping[str, Tensor], first: str) -> dict[str, Tensor]:
    """Return weights for images in RGB, normalised as torchvision's, made of weights for Caffe's:
    BGR, 0 to 255 minus (104, 117, 123).

    With `p = std x + mean` the pixels of normalised inputs `x`, `W (p - m) + b` is
    `(W std) x + (W (mean - m) + b)`, so that all goes into the first convolution. Exact where that
    has no padding, as in SqueezeNet.

    Args:
        state: the weights.
        first: name of the first convolution.
    """
    weight = state[f"{first}.weight"].flip(1)
    shift = (_MEAN - torch.tensor([123.0, 117.0, 104.0])).view(1, 3, 1, 1)
    return {
        **state,
        f"{first}.weight": weight * _STD.view(1, 3, 1, 1),
        f"{first}.bias": state[f"{first}.bias"] + (weight * shift).sum(dim=(1, 2, 3)),
    }


def _published(kind: str, folder: Path | None) -> Weights:
    """Return the weights for ImageNet that torchvision or timm publish, the first version."""
    if kind.startswith(vision.TIMM):
        return _of_timm(kind)
    published = vision.published(kind)
    if published is None:
        got = f"{IMAGENET} for {kind}, for which nobody publishes such weights"
        hint = "give a file, or a network of torchvision's or timm's"
        raise errors.ArgumentError(errors.message(_OPTION, got, hint))
    side = published.transforms().crop_size[0]
    file = published.url.rpartition("/")[2]
    for name in (file, _OTHERS.get(kind, file)):
        if folder is not None and (folder / "weights" / name).is_file():
            return replace(of_file(folder / "weights" / name), side=side)
    state = _downloaded(kind, lambda: published.get_state_dict(progress=False, check_hash=True))
    return Weights(_named(file, state), state, _MEAN, _STD, side)


def _of_timm(kind: str) -> Weights:
    timm, name = vision.of_timm(), kind.removeprefix(vision.TIMM)
    vision.find(kind)
    model = _downloaded(kind, lambda: timm.create_model(name, pretrained=True))
    about = timm.data.resolve_model_data_config(model)
    mean, std = (_PIXEL * torch.tensor(about[each]) for each in ("mean", "std"))
    state = model.state_dict()
    return Weights(_named(kind, state), state, mean, std, about["input_size"][-1])


def _downloaded(kind: str, fetch: Callable[[], Any]) -> Any:
    """Return what a public loader gives, or raise one sentence where it fails."""
    try:
        return fetch()
    except (OSError, RuntimeError) as error:
        got = f"no download for {kind} ({' '.join(str(error).split())})"
        hint = "where there is no network, put the file into weights/ in the folder of data sets"
        raise errors.DataError(errors.message(_OPTION, got, hint)) from None


def _path(given: str, folder: Path | None) -> Path:
    """Return the file that is meant: itself, or the only one of a run folder's `weights`."""
    places = [Path(given), *([] if folder is None else [folder / given])]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        hint = f"give {IMAGENET}, a file of weights, or a run folder that holds some"
        raise errors.ArgumentError(errors.message(_OPTION, f"{given}, which does not exist", hint))
    if path.is_file():
        return path
    files = sorted((path / "weights").glob("*.safetensors"))
    if len(files) != 1:
        got = f"{given}, a folder with {len(files)} files in weights/"
        raise errors.ArgumentError(errors.message(_OPTION, got, "name the one to start from"))
    return files[0]


def _unpickled(path: Path) -> tuple[dict[str, Tensor], None]:
    saved = torch.load(path, map_location="cpu", weights_only=True)
    for name in ("state_dict", "model"):
        inner = saved.get(name) if isinstance(saved, dict) else None
        saved = inner if isinstance(inner, dict) else saved
    named = saved.items() if isinstance(saved, dict) else ()
    state = {name: tensor for name, tensor in named if isinstance(tensor, Tensor)}
    for prefix in ("module.", "model."):
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state, None


def _safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    with safetensors.safe_open(path, "pt") as file:
        about = (file.metadata() or {}).get("hinged")
    return safetensors.torch.load_file(path), None if about is None else json.loads(about)


def _named(name: str, state: Mapping[str, Tensor]) -> str:
    """Return a name with the hash of what it names."""
    found = hashlib.sha256()
    for key in sorted(state):
        found.update(key.encode())
        found.update(state[key].cpu().flatten().view(torch.uint8).numpy().data)
    return f"{name} (SHA-256 {found.hexdigest()[:12]})"


def _faults(own: Mapping[str, Tensor], given: Mapping[str, Tensor], new: set[str]) -> list[str]:
    """Return what does not match, in words. A count of batches may be missing: early files have
    none, and nothing depends on it where momentum is given."""
    faults = []
    for name in own.keys() - new:
        if name not in given and not name.endswith("num_batches_tracked"):
            faults.append(f"{name} is missing")
        elif name in given and given[name].shape != own[name].shape:
            shapes = tuple(given[name].shape), tuple(own[name].shape)
            faults.append(f"{name} is of shape {shapes[0]} instead of {shapes[1]}")
    return sorted(faults) + [f"{name} is unknown" for name in sorted(given.keys() - own.keys())]


def _alike(name: str, own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> bool:
    return name in given and given[name].shape == own[name].shape
