"""The ResNet with 20 layers for images of 32 x 32 pixels."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (16, 32, 64)


class BasicBlock(nn.Module):
    """A block of two 3 x 3 convolutions and a shortcut without parameters.

    The shortcut keeps every `stride`-th pixel of each row and column. It fills missing channels
    with zeros.

    Args:
        inputs: number of input channels.
        outputs: number of output channels.
        stride: stride of the first convolution and of the shortcut.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.stride, self.channel_padding = stride, (outputs - inputs) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Return `(N, outputs, H / stride, W / stride)` for `x` `(N, inputs, H, W)`."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        padding = (0, 0, 0, 0, self.channel_padding, self.channel_padding)
        shortcut = functional.pad(shortcut, padding)
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)) + shortcut)


class ResNet20(nn.Module):
    """The ResNet with 20 layers for CIFAR-10.

    The shortcuts have no parameters (type A in the paper). The module names match the public
    weights of github.com/akamaster/pytorch_resnet_cifar10.

    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition" (CVPR 2016).

    Args:
        classes: number of classes.

    >>> import torch
    >>> ResNet20(10)(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, _WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_WIDTHS[0])
        self.layer1 = _stage(_WIDTHS[0], _WIDTHS[0], 1)
        self.layer2 = _stage(_WIDTHS[0], _WIDTHS[1], 2)
        self.layer3 = _stage(_WIDTHS[1], _WIDTHS[2], 2)
        self.linear = nn.Linear(_WIDTHS[2], classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits `(N, classes)` of images `(N, 3, H, W)`."""
        x = functional.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(x.mean(dim=(2, 3)))  # type: ignore[no-any-return]


def _stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    first = BasicBlock(inputs, outputs, stride)
    return nn.Sequential(first, *(BasicBlock(outputs, outputs, 1) for _ in range(2)))
