"""Networks for images that others have defined: of torchvision, of timm, and a small ResNet.

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

TIMM = "timm:"
"""Begins the kind of a network of timm's: `timm:NAME`."""

_SMALL_STEM = 48
_SMALL_CLASSIFIER = 128


@dataclass(frozen=True)
class Network:
    """A network that is ready-made but for its number of classes.

    Attributes:
        make: returns it for so many classes and images of so many pixels a side.
        head: names of the modules that are made anew for other classes.
    """

    make: Callable[[int, int], nn.Module]
    head: tuple[str, ...]


def resnet18(classes: int, side: int) -> nn.Module:
    """Return torchvision's ResNet18.

    For images below 48 pixels it has the usual stem for small images: a 3 x 3 convolution of
    stride 1 and no max-pooling, instead of 7 x 7 of stride 2 and pooling.
    """
    model = _made("resnet18", classes)
    if side < _SMALL_STEM:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model


def vgg11(classes: int, side: int, name: str = "vgg11") -> nn.Module:
    """Return torchvision's VGG11, with or without batch normalisation.

    For images below 128 pixels what the five poolings leave is averaged to one place, and the
    classifier's two hidden layers have 512 inputs and 512 units instead of 25,088 and 4,096.
    """
    if side >= _SMALL_CLASSIFIER:
        return _made(name, classes)
    vgg = _torchvision().vgg
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


def _any_side(name: str) -> Callable[[int, int], nn.Module]:
    return lambda classes, side: _made(name, classes)


NETWORKS = {
    "mobilenet_v2": Network(_any_side("mobilenet_v2"), ("classifier.1",)),
    "resnet18": Network(resnet18, ("fc",)),
    "resnet20": Network(lambda classes, side: ResNet20(classes), ("linear",)),
    "squeezenet1_0": Network(_any_side("squeezenet1_0"), ("classifier.1",)),
    "vgg11": Network(vgg11, ("classifier.6",)),
    "vgg11_bn": Network(partial(vgg11, name="vgg11_bn"), ("classifier.6",)),
}
"""By their kind; those of timm are found by `find` as well."""


def is_known(kind: str) -> bool:
    """Whether a kind is that of a network of this file.

    >>> is_known("resnet18"), is_known("timm:resnet18"), is_known("cnn")
    (True, True, False)
    """
    return kind in NETWORKS or kind.startswith(TIMM)


def find(kind: str) -> Network:
    """Return the network of a kind that `is_known`.

    Raises:
        UnknownNameError: timm has no network of this name.
        MissingExtraError: timm is not installed.
    """
    if kind in NETWORKS:
        return NETWORKS[kind]
    name = kind.removeprefix(TIMM)
    timm = of_timm()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        hint = f"{hint}timm.list_models() lists all"
        raise errors.UnknownNameError(errors.message("--model", repr(kind), hint))
    head = timm.get_pretrained_cfg(name).classifier
    heads = (head,) if isinstance(head, str) else tuple(head)
    return Network(lambda classes, side: timm.create_model(name, num_classes=classes), heads)


def published(kind: str) -> Any:
    """Return torchvision's first weights for ImageNet, or None where it has no such network."""
    models = _torchvision()
    if kind not in models.list_models():
        return None
    return models.get_model_weights(kind).IMAGENET1K_V1


def of_timm() -> Any:
    """Return timm.

    Raises:
        MissingExtraError: it is not installed.
    """
    errors.require_extra("vision", ("timm",))
    import timm

    return timm


def _made(name: str, classes: int) -> nn.Module:
    return _torchvision().get_model(name, num_classes=classes)  # type: ignore[no-any-return]


def _torchvision() -> Any:
    """Return torchvision's models.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    errors.require_extra("vision", ("torchvision",))
    from torchvision import models

    return models
