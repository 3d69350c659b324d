"""Detectors: convolutions that reduce an image to a grid, with one prediction per grid cell."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hinged.lab.data import DataSet
from hinged.lab.experiment.settings import NetworkSettings
from hinged.lab.networks.activations import ActivationFactory
from hinged.lab.problems.detection import RARE_CLASS_BIAS


class DetectorBlock(nn.Module):
    """Two 3 x 3 convolutions, each followed by an activation. The first has stride 2.

    Without a shortcut this is the block of Simonyan and Zisserman (ICLR 2015), with one a block of
    He et al. (CVPR 2016). A stride replaces the pooling.

    Args:
        inputs: input channels.
        filters: output channels.
        activation: makes an activation for a number of channels.
        batch_norm: add batch normalisation after every convolution.
        residual: add a shortcut before the second activation: 2 x 2 average pooling and a 1 x 1
            convolution.
    """

    def __init__(
        self,
        inputs: int,
        filters: int,
        activation: ActivationFactory,
        batch_norm: bool,
        residual: bool,
    ) -> None:
        super().__init__()
        self.first = _convolution(inputs, filters, 3, 2, batch_norm)
        self.first_activation = activation(filters)
        self.second = _convolution(filters, filters, 3, 1, batch_norm)
        self.shortcut = _shortcut(inputs, filters, batch_norm) if residual else None
        self.second_activation = activation(filters)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, filters, H / 2, W / 2)` for `x` `(N, inputs, H, W)`; odd sizes round up."""
        y = self.second(self.first_activation(self.first(x)))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return self.second_activation(y)  # type: ignore[no-any-return]


def vgg_detector(
    network: NetworkSettings, data: DataSet, activation: ActivationFactory
) -> nn.Module:
    """Return a detector with `depth` VGG blocks.

    Each block has twice the filters of the previous one and halves height and width. The head makes
    one prediction for each remaining cell.
    """
    return _detector(network, data, activation, residual=False)


def residual_detector(
    network: NetworkSettings, data: DataSet, activation: ActivationFactory
) -> nn.Module:
    """Return the same detector with a shortcut around every block, as in a ResNet."""
    return _detector(network, data, activation, residual=True)


def _detector(
    network: NetworkSettings, data: DataSet, activation: ActivationFactory, residual: bool
) -> nn.Module:
    channels = data.x_train.shape[1]
    blocks = []
    for index in range(network.depth):
        filters = network.width * 2**index
        blocks.append(DetectorBlock(channels, filters, activation, network.batch_norm, residual))
        channels = filters
    head = nn.Conv2d(channels, data.outputs, 1)
    with torch.no_grad():
        assert head.bias is not None
        head.bias[:-4] = RARE_CLASS_BIAS
        head.bias[-4:] = 0.0
    return nn.Sequential(*blocks, head)


def _shortcut(inputs: int, filters: int, batch_norm: bool) -> nn.Module:
    """Return the layers that bring a block's inputs to the shape of its outputs.

    Source: He et al., "Bag of tricks for image classification with convolutional neural networks"
    (CVPR 2019).

    A single 1 x 1 convolution of stride 2 would use only a quarter of the inputs. On a CPU with
    torch 2.13.0, its backward pass also wrote past its memory for channels-last inputs of shape
    (8, 3, 120, 160): `nn.Conv2d(3, 16, 1, 2)` alone crashed the process.
    """
    pooling = nn.AvgPool2d(2, ceil_mode=True)
    return nn.Sequential(pooling, _convolution(inputs, filters, 1, 1, batch_norm))


def _convolution(inputs: int, filters: int, size: int, stride: int, batch_norm: bool) -> nn.Module:
    layer = nn.Conv2d(inputs, filters, size, stride, padding=size // 2, bias=not batch_norm)
    return nn.Sequential(layer, nn.BatchNorm2d(filters)) if batch_norm else layer


DETECTORS: dict[str, Callable[[NetworkSettings, DataSet, ActivationFactory], nn.Module]] = {
    "detector": vgg_detector,
    "residual-detector": residual_detector,
}
