"""Published image networks: networks of torchvision and timm, and the ResNet with 20 layers.

torchvision and timm are optional packages. `pip install 'hinged[vision]'` installs both.
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
"""The kind of a network of timm starts with this prefix: `timm:NAME`."""

_SMALL_STEM_BELOW = 48
_SMALL_CLASSIFIER_BELOW = 128


@dataclass(frozen=True)
class VisionNetwork:
    """The definition of a network: a function that builds the network, and the modules of its head.

    Attributes:
        make: a function that returns the network. Its arguments are the number of classes and the
            height of the square images in pixels.
        head: names of the modules that compute the outputs. If the pretrained weights have another
            number of classes, these modules keep random weights.
    """

    make: Callable[[int, int], nn.Module]
    head: tuple[str, ...]


def resnet18(classes: int, side: int) -> nn.Module:
    """Return torchvision's ResNet18, with smaller first layers for small images.

    The first layers of torchvision are a 7 x 7 convolution with stride 2 and max-pooling. For
    images below 48 x 48 pixels, a 3 x 3 convolution with stride 1 replaces both.

    Args:
        classes: number of classes.
        side: height and width of the images in pixels.
    """
    model = _torchvision_network("resnet18", classes)
    if side < _SMALL_STEM_BELOW:
        model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.maxpool = nn.Identity()
    return model


def vgg11(classes: int, side: int, name: str = "vgg11") -> nn.Module:
    """Return torchvision's VGG11, with a smaller classifier for small images.

    The first linear layer of torchvision has 25,088 inputs, and the two hidden layers have 4,096
    units each. For images below 128 x 128 pixels, the features are averaged over all pixels. The
    first linear layer then has 512 inputs, and the two hidden layers have 512 units each.

    Args:
        classes: number of classes.
        side: height and width of the images in pixels.
        name: `vgg11`, or `vgg11_bn` for a network with batch normalisation.
    """
    if side >= _SMALL_CLASSIFIER_BELOW:
        return _torchvision_network(name, classes)
    vgg = _torchvision_models().vgg
    features = vgg.make_layers(vgg.cfgs["A"], batch_norm=name.endswith("_bn"))
    for layer in features:
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:  # As in torchvision.
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
"""The definitions of the networks, by kind. `find_vision_network` also finds networks of timm."""


def is_vision_network(kind: str) -> bool:
    """Return whether a kind of network is a key of `NETWORKS` or has the form `timm:NAME`.

    >>> [is_vision_network(kind) for kind in ("resnet18", "timm:resnet18", "cnn")]
    [True, True, False]
    """
    return kind in NETWORKS or kind.startswith(TIMM_PREFIX)


def find_vision_network(kind: str) -> VisionNetwork:
    """Return the definition of a published network.

    Args:
        kind: a key of `NETWORKS`, or `timm:NAME`.

    Raises:
        UnknownNameError: if timm has no network of this name.
        MissingExtraError: if the kind is `timm:NAME` and timm is not installed.
    """
    if kind in NETWORKS:
        return NETWORKS[kind]
    name = kind.removeprefix(TIMM_PREFIX)
    timm = import_timm()
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        hint = f"{hint}timm.list_models() returns all names"
        raise errors.UnknownNameError(errors.message("network.kind", repr(kind), hint))
    head = timm.get_pretrained_cfg(name).classifier
    heads = (head,) if isinstance(head, str) else tuple(head)
    return VisionNetwork(lambda classes, side: timm.create_model(name, num_classes=classes), heads)


def imagenet_weights(kind: str) -> Any:
    """Return torchvision's ImageNet weights `IMAGENET1K_V1` for a network.

    Args:
        kind: a key of `NETWORKS`.

    Returns:
        The member of torchvision's enumeration of weights. None if torchvision has no network of
        this name.

    Raises:
        MissingExtraError: if torchvision is not installed.
    """
    models = _torchvision_models()
    if kind not in models.list_models():
        return None
    return models.get_model_weights(kind).IMAGENET1K_V1


def import_timm() -> Any:
    """Import and return the package timm.

    Raises:
        MissingExtraError: if timm is not installed.
    """
    errors.require_extra("vision", ("timm",))
    import timm

    return timm


def _torchvision_network(name: str, classes: int) -> nn.Module:
    return _torchvision_models().get_model(  # type: ignore[no-any-return]
        name, num_classes=classes
    )


def _torchvision_models() -> Any:
    """Import and return the module `torchvision.models`.

    Raises:
        MissingExtraError: if torchvision is not installed.
    """
    errors.require_extra("vision", ("torchvision",))
    from torchvision import models

    return models
