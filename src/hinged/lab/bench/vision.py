"""Networks of torchvision, fitted to images of 32 x 32 pixels; needs the extra `vision`."""

from __future__ import annotations

from typing import Any

from torch import nn

from hinged import errors
from hinged.torchvision_operators import declare_missing


def resnet18() -> nn.Module:
    """Return ResNet18 for 10 classes with the usual stem for small images: a 3 x 3 convolution of
    stride 1 and no max-pooling, instead of 7 x 7 of stride 2 and pooling."""
    model: nn.Module = _models().resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def vgg11() -> nn.Module:
    """Return VGG11 for 10 classes: the five poolings leave 512 numbers of an image of 32 x 32, so
    that the average pooling to 7 x 7 is left out and the classifier's two hidden layers have 512
    inputs and 512 units instead of 25,088 and 4,096."""
    model: nn.Module = _models().vgg11(num_classes=10)
    model.avgpool = nn.Identity()
    model.classifier = nn.Sequential(
        nn.Linear(512, 512),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(512, 512),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        nn.Linear(512, 10),
    )
    return model


def _models() -> Any:
    """Return torchvision's models, which must not be imported before its operators are declared.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    errors.require_extra("vision", ("torchvision",))
    declare_missing()
    from torchvision import models

    return models
