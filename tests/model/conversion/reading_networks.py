"""Networks that read attributes or the class of their activation modules."""

import torch
from torch import nn


class Reading(nn.Module):
    """A linear layer, an activation module, and a second activation that stays a plain one."""

    def __init__(self, act=None):
        super().__init__()
        self.line = nn.Linear(4, 4)
        self.act = nn.LeakyReLU(0.3) if act is None else act
        self.other = nn.ReLU()

    def forward(self, x):
        return self.other(self.line(self.last(self.line(x))))


class ReadsSlope(Reading):
    def last(self, x):
        return self.act(x) * (1 + self.act.negative_slope)


class ReadsOwnSetting(Reading):
    def __init__(self):
        super().__init__(OwnActivation())

    def last(self, x):
        return self.act(x) + len(self.act.label)


class OwnActivation(nn.Module):
    """A ReLU with a setting, a class attribute and a method."""

    is_gated = True

    def __init__(self):
        super().__init__()
        self.label = "relu"

    def scale(self):
        return 3.0

    def forward(self, x):
        return torch.relu(x)


class TestsClass(Reading):
    def last(self, x):
        return self.act(x) if isinstance(self.act, nn.LeakyReLU) else -x


class TestsClassInTraining(Reading):
    """In evaluation, it does not use the module."""

    def last(self, x):
        if not self.training:
            return x
        return self.act(x) if isinstance(self.act, nn.LeakyReLU) else -x


class ReadsWeightInTraining(Reading):
    """In evaluation, it does not use the module."""

    def __init__(self):
        super().__init__(nn.PReLU())

    def last(self, x):
        return self.act(x) * self.act.weight.mean() if self.training else x


class TestsClassOfLayers(Reading):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Tanh())

    def last(self, x):
        found = []
        for layer in self.layers:
            x = self.act(layer(x))
            if isinstance(layer, (nn.ReLU, nn.Tanh)):
                found.append(x)
        return sum(found)


class TestsOtherClasses(Reading):
    def last(self, x):
        for layer in self.children():
            x = x + 1 if isinstance(layer, nn.BatchNorm1d) else x
        return self.act(x)


class SetsSlope(Reading):
    slope = 0.3

    def last(self, x):
        self.act.negative_slope = self.slope
        return self.act(x)


class SetsSlopeOfSharedModule(SetsSlope):
    def last(self, x):
        self.act.negative_slope = self.slope
        return self.act(self.line(self.act(x)))


class SetsSlopeBeforeForward(SetsSlope):
    def last(self, x):
        self.act.negative_slope = self.slope
        return self.act.forward(x)


class ReadsWeight(Reading):
    def __init__(self):
        super().__init__(nn.PReLU())

    def last(self, x):
        return self.act(x) + self.act.weight.sum()


class AsksForWeight(Reading):
    def __init__(self):
        super().__init__(nn.PReLU())

    def last(self, x):
        return self.act(x) * (2 if hasattr(self.act, "weight") else 1)


class CallsOtherMethod(Reading):
    def __init__(self):
        super().__init__(OwnActivation())

    def last(self, x):
        return self.act(x) * self.act.scale() if getattr(self.act, "is_gated", False) else x
