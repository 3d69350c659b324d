"""Detectors: convolutions down to a grid, and an answer for each of its cells."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hinged.lab.data import DataSet
from hinged.lab.experiment.settings import NetworkSettings
from hinged.lab.networks.activations import Factory
from hinged.lab.networks.blocks import check_depth
from hinged.lab.problems.detection import RARE


class Block(nn.Module):
    """Two 3 x 3 convolutions, the first of stride 2, each before an activation; with a way around
    both if it is residual. The first part of the network of Simonyan and Zisserman (ICLR 2015) in
    the one case, of He et al. (CVPR 2016) in the other, with strides in place of pooling.

    Args:
        inputs, filters: channels.
        activation: makes an activation for a number of channels.
        batch_norm: normalise behind every convolution.
        residual: add the inputs, brought to size by means of 2 x 2 and a 1 x 1 convolution, before
            the second activation.
    """

    def __init__(
        self, inputs: int, filters: int, activation: Factory, batch_norm: bool, residual: bool
    ) -> None:
        super().__init__()
        self.first = _convolution(inputs, filters, 3, 2, batch_norm)
        self.first_activation = activation(filters)
        self.second = _convolution(filters, filters, 3, 1, batch_norm)
        self.around = _around(inputs, filters, batch_norm) if residual else None
        self.second_activation = activation(filters)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, filters, H / 2, W / 2)`, rounded up, of `x` `(N, inputs, H, W)`."""
        y = self.second(self.first_activation(self.first(x)))
        made: Tensor = self.second_activation(y if self.around is None else y + self.around(x))
        return made


def vgg_detector(network: NetworkSettings, data: DataSet, activation: Factory) -> nn.Module:
    """Return a detector of blocks as in VGG: `depth` of them, each with twice the filters of the
    one before and half its height and width, and an answer for each cell that is left."""
    return _detector(network, data, activation, residual=False)


def residual_detector(network: NetworkSettings, data: DataSet, activation: Factory) -> nn.Module:
    """Return the detector with a way around every block, as in a ResNet."""
    return _detector(network, data, activation, residual=True)


def _detector(
    network: NetworkSettings, data: DataSet, activation: Factory, residual: bool
) -> nn.Module:
    channels, height, width = data.x_train.shape[1:]
    check_depth(network.depth, height, width)
    blocks = []
    for place in range(network.depth):
        filters = network.width * 2**place
        blocks.append(Block(channels, filters, activation, network.batch_norm, residual))
        channels = filters
    head = nn.Conv2d(channels, data.outputs, 1)
    with torch.no_grad():
        assert head.bias is not None
        head.bias[:-4] = RARE
        head.bias[-4:] = 0.0
    return nn.Sequential(*blocks, head)


def _around(inputs: int, filters: int, batch_norm: bool) -> nn.Module:
    """Return what brings the inputs of a block to the size of its outputs. Source: He et al., "Bag
    of tricks for image classification with convolutional neural networks" (CVPR 2019).

    A 1 x 1 convolution of stride 2 in the place of both would see a quarter of the inputs, and its
    backward pass wrote past its memory for (8, 3, 120, 160), channels innermost, in torch 2.13.0
    on a CPU: `nn.Conv2d(3, 16, 1, 2)` alone ended the process.
    """
    means = nn.AvgPool2d(2, ceil_mode=True)
    return nn.Sequential(means, _convolution(inputs, filters, 1, 1, batch_norm))


def _convolution(inputs: int, filters: int, size: int, stride: int, batch_norm: bool) -> nn.Module:
    made = nn.Conv2d(inputs, filters, size, stride, padding=size // 2, bias=not batch_norm)
    return nn.Sequential(made, nn.BatchNorm2d(filters)) if batch_norm else made


DETECTORS: dict[str, Callable[[NetworkSettings, DataSet, Factory], nn.Module]] = {
    "detector": vgg_detector,
    "residual-detector": residual_detector,
}
