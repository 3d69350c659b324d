"""Pretrained weights, and the size and normalisation of the images that they expect.

The setting `NetworkSettings.pretrained` names the weights: `imagenet` for the weights that
torchvision or timm publish, the path of a file, or the path of a run folder. A file has one of
these formats:

* safetensors, for example a file in `weights/` of a run folder;
* `torch.save`, with a state dict or a dictionary that contains a state dict as `state_dict` or
  `model`. The names in the state dict may start with `module.` or `model.`.

Images of a new data set are resized and normalised like the images that the weights were trained
on. The setting `NetworkSettings.image_size` replaces the size. Files of a run folder contain size
and normalisation. With any other file, images keep their size and are normalised with ImageNet's
mean and standard deviation.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from hinged import errors
from hinged.lab.data import DataSet
from hinged.lab.data.readers.data_files import explain_damage, find_data_folder
from hinged.lab.experiment.settings import NetworkSettings
from hinged.lab.networks import vision
from hinged.lab.networks.activations import TRAINABLE_ACTIVATIONS
from hinged.lab.networks.weight_files import read_tensors

IMAGENET = "imagenet"
"""The value of `pretrained` for the weights that torchvision or timm publish."""
FROM_STUDY = "study"
"""The value of `pretrained` for the weights from the pretraining (`[pretrain]`) of a study."""

_SETTING = "network.pretrained"
_PIXEL = 255.0
_IMAGENET_MEAN = _PIXEL * torch.tensor([0.485, 0.456, 0.406])
_IMAGENET_STD = _PIXEL * torch.tensor([0.229, 0.224, 0.225])
_DEEP_COMPRESSED = "squeezenet1_0_deepcompressed_torchvision_names.pth"
_ALTERNATIVE_FILES = {"squeezenet1_0": _DEEP_COMPRESSED}
"""Other names of files of weights, by kind of network. A file in the folder of data sets with this
name is read if the folder does not contain the file of torchvision."""
_MOST_SIDE = 2**16
"""Largest height and width of images, in pixels, that a file of weights may name."""


@dataclass(frozen=True, eq=False)
class PretrainedWeights:
    """The weights of a network, with the normalisation and size of its images.

    Attributes:
        name: the source of the weights and the first 12 digits of their SHA-256, for messages and
            records.
        state: parameters and buffers by their names in the network.
        mean: mean of each input channel, `(C,)`, for pixels from 0 to 255. None if the inputs are
            not pixels.
        std: standard deviation of each input channel, like `mean`.
        side: height and width of the images that the weights were trained on, in pixels. None if
            unknown.
    """

    name: str
    state: dict[str, Tensor]
    mean: Tensor | None
    std: Tensor | None
    side: int | None


def find_weights(
    network: NetworkSettings, folder: Path | None = None, study_file: Path | None = None
) -> PretrainedWeights | None:
    """Return the weights that the setting `network.pretrained` names.

    Args:
        network: the settings. A relative path is searched in the current folder and then in the
            folder of data sets.
        folder: the folder of data sets. None means the folder in the environment variable
            `HINGED_DATA`. Files of torchvision are read from the subfolder `weights` of this
            folder. Missing files are downloaded.
        study_file: the file of weights for `network.pretrained="study"`. None if the training is
            not part of a study.

    Returns:
        The weights, or None if `network.pretrained` is None.

    Raises:
        ArgumentError: if the file does not exist, if a run folder does not contain exactly one file
            of weights, or if neither torchvision nor timm publishes weights for this network.
        DataError: if the file is damaged or contains no weights, or if the download failed.
        MissingExtraError: if `imagenet` needs torchvision or timm, and this package is not
            installed.
    """
    if network.pretrained is None:
        return None
    folder = find_data_folder(folder)
    if network.pretrained == IMAGENET:
        return _published_weights(network.kind, folder)
    if network.pretrained == FROM_STUDY and study_file is not None:
        return read_weights_file(study_file)
    return read_weights_file(_weights_path(network.pretrained, folder))


def prepare_images(
    data: DataSet, network: NetworkSettings, weights: PretrainedWeights | None
) -> DataSet:
    """Return the data set with the size, normalisation and channels that a network needs.

    Grey images are repeated to three channels if the network only accepts colour images.

    Args:
        data: the data set.
        network: the settings of the network. `image_size` is the new height and width in pixels.
        weights: pretrained weights. They determine the normalisation, and the size if `image_size`
            is None. Without weights (None), the normalisation of the data set does not change.
    """
    side = network.image_size or (weights.side if weights else None)
    channels = 3 if vision.is_vision_network(network.kind) else None
    if weights is None or weights.mean is None or weights.std is None:
        return data.with_input_format(side, channels, None)
    return data.with_input_format(side, channels or len(weights.mean), (weights.mean, weights.std))


def load_weights(model: nn.Module, weights: PretrainedWeights, head: tuple[str, ...]) -> None:
    """Load pretrained weights into a network.

    These parameters of the network keep their values:

    * parameters of the activations in `TRAINABLE_ACTIVATIONS`;
    * parameters of the head, if `weights` does not contain all of them in the same shapes.

    Args:
        model: the network. It is changed in place.
        weights: weights of a network with the same structure.
        head: names of the modules in the head, which computes the outputs.

    Raises:
        ArgumentError: if another parameter or buffer has a different shape in `weights`, or is
            contained only in the network or only in `weights`. The network is then unchanged.
    """
    activations = tuple(
        f"{name}."
        for name, module in model.named_modules()
        if isinstance(module, TRAINABLE_ACTIVATIONS)
    )
    target = {
        n: tensor for n, tensor in model.state_dict().items() if not n.startswith(activations)
    }
    in_head = {name for name in target if name.startswith(tuple(f"{part}." for part in head))}
    if all(_same_shape(name, target, weights.state) for name in in_head):
        in_head = set()
    mismatches = _mismatches(target, weights.state, in_head)
    if mismatches:
        more = f" and {len(mismatches) - 3} more" if len(mismatches) > 3 else ""
        got = f"{weights.name}, in which {'; '.join(mismatches[:3])}{more}"
        hint = f"give weights that were saved from the same {type(model).__name__}"
        raise errors.ArgumentError(errors.message(_SETTING, got, hint))
    loaded = {name: tensor for name, tensor in weights.state.items() if name not in in_head}
    model.load_state_dict(loaded, strict=False)


def read_weights_file(path: Path) -> PretrainedWeights:
    """Read pretrained weights from a file.

    Args:
        path: a file in the format safetensors if its name ends in `.safetensors`, and in the format
            of `torch.save` otherwise.

    Returns:
        The weights, with the image size and normalisation that the file contains. If the file
        contains neither, `side` is None, and `mean` and `std` are those of ImageNet.

    Raises:
        DataError: if the file is damaged or contains no weights.
    """
    with explain_damage(path):
        state, image_form = read_tensors(path, _SETTING)
        if path.name == _DEEP_COMPRESSED:
            state = convert_bgr_weights(state, "features.0")
        return _weights_with_image_form(_name_with_hash(path.name, state), state, image_form)


def _weights_with_image_form(
    name: str, state: dict[str, Tensor], image_form: dict[str, Any] | None
) -> PretrainedWeights:
    """Return weights with the size and normalisation that their file contains, or ImageNet's."""
    if image_form is None:
        return PretrainedWeights(name, state, _IMAGENET_MEAN, _IMAGENET_STD, None)
    mean, std, side = (image_form[each] for each in ("mean", "std", "side"))
    if side is not None and not (type(side) is int and 1 <= side <= _MOST_SIDE):
        raise ValueError(f"the size of its images is {errors.shown(side)}")
    if mean is not None or std is not None:
        mean, std = (torch.tensor(each, dtype=torch.float32) for each in (mean, std))
        if mean.ndim != 1 or mean.shape != std.shape or not mean.isfinite().all():
            raise ValueError("the mean of its images is no list of numbers")
        if not len(std) or not (std.isfinite() & (std > 0)).all():
            raise ValueError("the standard deviation of its images is no list of positive numbers")
    return PretrainedWeights(name, state, mean, std, side)


def serialize_weights(model: nn.Module, data: DataSet) -> bytes:
    """Return the content of a weights file for a trained network, in the format safetensors.

    The file also contains the size and normalisation of the images.

    Args:
        model: the network.
        data: the data set that the network was trained on.

    Returns:
        The bytes of the file.
    """
    entries = model.state_dict().items()
    state = {name: t.contiguous().clone() for name, t in entries if isinstance(t, Tensor)}
    shape = data.sample_shape
    image_form = {
        "mean": None if data.mean is None else data.mean.tolist(),
        "std": None if data.std is None else data.std.tolist(),
        "side": shape[-1] if len(shape) == 3 and shape[1] == shape[2] else None,
    }
    return safetensors.torch.save(state, {"hinged": json.dumps(image_form)})


def convert_bgr_weights(state: Mapping[str, Tensor], first: str) -> dict[str, Tensor]:
    """Convert weights for Caffe's images to weights for torchvision's images.

    Caffe's images are `p - m`: pixels `p` from 0 to 255 minus the mean `m = (104, 117, 123)`, with
    the channels in the order blue, green, red. torchvision's images are `x = (p - mean) / std`,
    with the channels in the order red, green, blue.

    Let `W` and `b` be the weight and bias of the first convolution, after its input channels were
    reversed. The outputs of this convolution are `W (p - m) + b = (W std) x + (W (mean - m) + b)`,
    because `p = std x + mean`. Only the weight and bias of this convolution therefore change. The
    conversion is exact if this convolution has no padding. That is true for SqueezeNet.

    Args:
        state: the state dict for Caffe's images.
        first: name of the first convolution, which must have a bias.

    Returns:
        The state dict for torchvision's images.
    """
    weight = state[f"{first}.weight"].flip(1)
    shift = (_IMAGENET_MEAN - torch.tensor([123.0, 117.0, 104.0])).view(1, 3, 1, 1)
    return {
        **state,
        f"{first}.weight": weight * _IMAGENET_STD.view(1, 3, 1, 1),
        f"{first}.bias": state[f"{first}.bias"] + (weight * shift).sum(dim=(1, 2, 3)),
    }


def _published_weights(kind: str, folder: Path | None) -> PretrainedWeights:
    """Return the ImageNet weights that torchvision or timm publish for a network.

    The weights of torchvision are those with the name `IMAGENET1K_V1`.
    """
    if kind.startswith(vision.TIMM_PREFIX):
        return _timm_weights(kind)
    published = vision.imagenet_weights(kind)
    if published is None:
        got = f"{IMAGENET} for {kind}, for which torchvision publishes no weights"
        hint = "give a file of weights, or choose a network of torchvision or `timm:NAME`"
        raise errors.ArgumentError(errors.message(_SETTING, got, hint))
    side = published.transforms().crop_size[0]
    file = published.url.rpartition("/")[2]
    for name in (file, _ALTERNATIVE_FILES.get(kind, file)):
        if folder is not None and (folder / "weights" / name).is_file():
            return replace(read_weights_file(folder / "weights" / name), side=side)
    state = _download(kind, lambda: published.get_state_dict(progress=False, check_hash=True))
    name = _name_with_hash(file, state)
    return PretrainedWeights(name, state, _IMAGENET_MEAN, _IMAGENET_STD, side)


def _timm_weights(kind: str) -> PretrainedWeights:
    timm, name = vision.import_timm(), kind.removeprefix(vision.TIMM_PREFIX)
    vision.find_vision_network(kind)
    model = _download(kind, lambda: timm.create_model(name, pretrained=True))
    config = timm.data.resolve_model_data_config(model)
    mean, std = (_PIXEL * torch.tensor(config[each]) for each in ("mean", "std"))
    state = model.state_dict()
    return PretrainedWeights(
        _name_with_hash(kind, state), state, mean, std, config["input_size"][-1]
    )


def _download(kind: str, fetch: Callable[[], Any]) -> Any:
    """Call `fetch`, which downloads the weights of the network `kind`, and return its result.

    Raises:
        DataError: if the download fails.
    """
    try:
        return fetch()
    except (OSError, RuntimeError) as error:
        got = f"{IMAGENET}, but the download of the weights of {kind} failed "
        got += f"({' '.join(str(error).split())})"
        hint = "check the network connection. A file of torchvision can also be copied into the "
        hint += "subfolder weights of the folder of data sets"
        raise errors.DataError(errors.message(_SETTING, got, hint)) from None


def _weights_path(given: str, folder: Path | None) -> Path:
    """Return the path of the weights file that the setting names.

    Args:
        given: the path of a file, or of a run folder with exactly one file in `weights`. A relative
            path is searched in the current folder and then in `folder`.
        folder: the folder of data sets, or None if there is no such folder.
    """
    candidates = [Path(given), *([] if folder is None else [folder / given])]
    path = next((candidate for candidate in candidates if os.path.exists(candidate)), None)
    if path is None:
        hint = f"give {IMAGENET}, a file of weights, or a run folder that contains weights"
        raise errors.ArgumentError(errors.message(_SETTING, f"{given}, which does not exist", hint))
    if path.is_file():
        return path
    files = sorted((path / "weights").glob("*.safetensors"))
    if len(files) != 1:
        got = f"{given}, a folder with {len(files)} files in weights/"
        hint = "give the path of one file of weights"
        raise errors.ArgumentError(errors.message(_SETTING, got, hint))
    return files[0]


def _name_with_hash(name: str, state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].cpu().flatten().view(torch.uint8).numpy().data)
    return f"{name} (SHA-256 {digest.hexdigest()[:12]})"


def _mismatches(
    target: Mapping[str, Tensor], given: Mapping[str, Tensor], in_head: set[str]
) -> list[str]:
    """Return one description for each name or shape that differs between two state dicts.

    `given` may lack the buffers `num_batches_tracked`, which old files do not contain. These
    buffers have no effect on batch normalisation with a fixed momentum.

    Args:
        target: the state dict of the network.
        given: the state dict of the file.
        in_head: names in the head. They are not compared.
    """
    differing = []
    for name in target.keys() - in_head:
        if name not in given and not name.endswith("num_batches_tracked"):
            differing.append(f"{name} is missing")
        elif name in given and given[name].shape != target[name].shape:
            shapes = tuple(given[name].shape), tuple(target[name].shape)
            differing.append(f"{name} has shape {shapes[0]} instead of {shapes[1]}")
    unknown = sorted(given.keys() - target.keys())
    return sorted(differing) + [f"{name} is not in the network" for name in unknown]


def _same_shape(name: str, target: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> bool:
    return name in given and given[name].shape == target[name].shape
