"""Detectors: convolutional networks that make one prediction for each cell of a grid."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hinged.lab.data import DataSet
from hinged.lab.experiment.settings import NetworkSettings
from hinged.lab.networks.activations import ActivationFactory
from hinged.lab.problems.detection import RARE_CLASS_BIAS


class DetectorBlock(nn.Module):
    """A block of two 3 x 3 convolutions, each followed by an activation.

    The first convolution has stride 2 and halves height and width, so the block needs no pooling.
    Sources of the other layers: Simonyan and Zisserman (ICLR 2015) for a block without a shortcut,
    and He et al. (CVPR 2016) for a block with a shortcut.

    Args:
        inputs: number of input channels.
        filters: number of output channels.
        activation: a function that makes an activation from a number of channels.
        batch_norm: whether batch normalisation follows every convolution.
        residual: whether the block has a shortcut. The shortcut consists of 2 x 2 average pooling
            and a 1 x 1 convolution. The outputs of the shortcut are added to the inputs of the
            second activation.
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
        """Return outputs `(N, filters, H / 2, W / 2)` for inputs `x` `(N, inputs, H, W)`.

        `H / 2` and `W / 2` are rounded up.
        """
        y = self.second(self.first_activation(self.first(x)))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return self.second_activation(y)  # type: ignore[no-any-return]


def vgg_detector(
    network: NetworkSettings, data: DataSet, activation: ActivationFactory
) -> nn.Module:
    """Return a detector with `depth` blocks without shortcuts, as in VGG.

    The first block has `width` filters in each convolution. Each later block has twice the filters
    of the previous block. Each block halves height and width. After the blocks, each remaining
    pixel is one cell of a grid over the image. A 1 x 1 convolution makes one prediction for each
    cell.

    Args:
        network: the settings `depth`, `width` and `batch_norm`.
        data: the data set, which determines the number of input and output channels.
        activation: a function that makes an activation from a number of channels.

    Returns:
        A network with outputs `(N, data.outputs, rows, columns)` for images `(N, C, H, W)`.
    """
    return _detector(network, data, activation, residual=False)


def residual_detector(
    network: NetworkSettings, data: DataSet, activation: ActivationFactory
) -> nn.Module:
    """Return a detector with `depth` blocks with shortcuts, as in a ResNet.

    Arguments, result and all other layers are the same as in `vgg_detector`.
    """
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
    """Return the layers of a block's shortcut: average pooling and a 1 x 1 convolution.

    The outputs have the shape of the block's outputs. Source: He et al., "Bag of tricks for image
    classification with convolutional neural networks" (CVPR 2019).

    A 1 x 1 convolution of stride 2 is not used, because it would use only a quarter of the inputs.
    On a CPU with torch 2.13.0, its backward pass also wrote outside its memory for channels-last
    inputs of shape (8, 3, 120, 160). A single `nn.Conv2d(3, 16, 1, 2)` crashed the process.
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
