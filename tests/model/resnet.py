"""torchvision's ResNet18 with a layer of curves at each of its 17 sites."""

import torch
from torch import nn

import hinged.lab  # noqa: F401
from hinged import PiecewiseLinear


def resnet18(hinges=9, seed=0):
    from torchvision.models.resnet import BasicBlock, ResNet

    class Block(BasicBlock):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            channels = self.bn1.num_features
            self.relu = nn.ModuleList(PiecewiseLinear(channels, hinges) for _ in range(2))

        def forward(self, x):
            shortcut = x if self.downsample is None else self.downsample(x)
            x = self.relu[0](self.bn1(self.conv1(x)))
            return self.relu[1](self.bn2(self.conv2(x)) + shortcut)

    torch.manual_seed(seed)
    model = ResNet(Block, [2, 2, 2, 2])
    model.relu = PiecewiseLinear(64, hinges)
    return model
