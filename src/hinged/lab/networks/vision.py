"""Published image networks: those of torchvision and timm, and a small ResNet.

torchvision and timm come with the extra `vision`.
"""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn

from hinged import errors
from hinged.lab.networks.resnet20 import ResNet20

TIMM_PREFIX = "timm:"
"""A network kind with this prefix is a network of timm: `timm:NAME`."""

_SMALL_STEM_BELOW = 48
_SMALL_CLASSIFIER_BELOW = 128


@dataclass(frozen=True)
class VisionNetwork:
    """A network definition that only needs the number of classes and the image size.

    Attributes:
        make: takes the number of classes and the side of the images in pixels, and returns the
            network.
        head: names of the modules that get new weights for another number of classes.
    """

    make: Callable[[int, int], nn.Module]
    head: tuple[str, ...]


def resnet18(classes: int, side: int) -> nn.Module:
    """Return torchvision's ResNet18.

    Below 48 pixels it has the usual stem for small images: a 3 x 3 convolution with stride 1 and no
    max-pooling, instead of 7 x 7 with stride 2 and max-pooling.
    """
    model = _torchvision_network("resnet18", classes)
    if side < _SMALL_STEM_BELOW:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model


def vgg11(classes: int, side: int, name: str = "vgg11") -> nn.Module:
    """Return torchvision's VGG11, with or without batch normalisation.

    Below 128 pixels the features are averaged to one pixel, and the two hidden layers of the
    classifier have 512 inputs and 512 units instead of 25,088 and 4,096.
    """
    if side >= _SMALL_CLASSIFIER_BELOW:
        return _torchvision_network(name, classes)
    vgg = _torchvision_models().vgg
    features = vgg.make_layers(vgg.cfgs["A"], batch_norm=name.endswith("_bn"))
    for layer in features:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:  # As torchvision does it.
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    classifier = nn.Sequential(
        nn.Linear(512, 512),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(512, 512),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(512, classes),
    )
    pool = nn.AdaptiveAvgPool2d(1)
    parts = {"features": features, "avgpool": pool, "flatten": nn.Flatten()}
    return nn.Sequential(OrderedDict(**parts, classifier=classifier))


def _for_any_size(name: str) -> Callable[[int, int], nn.Module]:
    return lambda classes, side: _torchvision_network(name, classes)


NETWORKS = {
    "mobilenet_v2": VisionNetwork(_for_any_size("mobilenet_v2"), ("classifier.1",)),
    "resnet18": VisionNetwork(resnet18, ("fc",)),
    "resnet20": VisionNetwork(lambda classes, side: ResNet20(classes), ("linear",)),
    "squeezenet1_0": VisionNetwork(_for_any_size("squeezenet1_0"), ("classifier.1",)),
    "vgg11": VisionNetwork(vgg11, ("classifier.6",)),
    "vgg11_bn": VisionNetwork(partial(vgg11, name="vgg11_bn"), ("classifier.6",)),
}
"""The networks by kind. `find_vision_network` also finds those of timm."""


def is_vision_network(kind: str) -> bool:
    """Return whether a network kind belongs to this file.

    >>> [is_vision_network(kind) for kind in ("resnet18", "timm:resnet18", "cnn")]
    [True, True, False]
    """
    return kind in NETWORKS or kind.startswith(TIMM_PREFIX)


def find_vision_network(kind: str) -> VisionNetwork:
    """Return the definition of a network for which `is_vision_network` holds.

    Raises:
        UnknownNameError: timm has no network of this name.
        MissingExtraError: timm is not installed.
    """
    if kind in NETWORKS:
        return NETWORKS[kind]
    name = kind.removeprefix(TIMM_PREFIX)
    timm = import_timm()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        hint = f"{hint}timm.list_models() lists all"
        raise errors.UnknownNameError(errors.message("network.kind", repr(kind), hint))
    head = timm.get_pretrained_cfg(name).classifier
    heads = (head,) if isinstance(head, str) else tuple(head)
    return VisionNetwork(lambda classes, side: timm.create_model(name, num_classes=classes), heads)


def imagenet_weights(kind: str) -> Any:
    """Return torchvision's first ImageNet weights for a network, or None if it has none."""
    models = _torchvision_models()
    if kind not in models.list_models():
        return None
    return models.get_model_weights(kind).IMAGENET1K_V1


def import_timm() -> Any:
    """Return the module timm.

    Raises:
        MissingExtraError: timm is not installed.
    """
    errors.require_extra("vision", ("timm",))
    import timm

    return timm


def _torchvision_network(name: str, classes: int) -> nn.Module:
    return _torchvision_models().get_model(  # type: ignore[no-any-return]
        name, num_classes=classes
    )


def _torchvision_models() -> Any:
    """Return the module `torchvision.models`.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    errors.require_extra("vision", ("torchvision",))
    from torchvision import models

    return models
