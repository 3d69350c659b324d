"""Networks that read their mode (training or evaluation) in many ways."""

import random

import torch
from torch import nn
from torch.nn import functional as F


class Base(nn.Module):
    """Two layers with a ReLU in between, and an activation of the other mode if a test is true."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.rate = nn.Linear(4, 4), nn.Linear(4, 4), 0.0
        self.norm, self.drop = nn.BatchNorm1d(4), nn.Dropout(0.5)

    def forward(self, x):
        x = F.relu(self.first(x))
        return self.second(torch.tanh(x) if self.test(x) else x)

    def test(self, _x):
        return False


class Layers(Base):
    def forward(self, x):
        return self.second(F.relu(self.drop(self.norm(self.first(x)))))


class Arguments(Base):
    def forward(self, x):
        x = F.dropout(F.relu(self.first(x)), 0.5, training=self.training)
        return self.second(F.dropout(x, 0.5 if self.training else 0.0))


class EqualNumbers(Base):
    def test(self, _x):
        rate = self.rate if self.training else 0.0
        return rate > 0 or (self.training and self.rate > 0)


class UnequalNumbers(EqualNumbers):
    def __init__(self):
        super().__init__()
        self.rate = 0.5


class OwnFunction(Base):
    def test(self, _x):
        return bool(self.choose(self.training))

    def choose(self, flag):
        return flag


class Attribute(Base):
    def test(self, _x):
        return getattr(self, "training")  # noqa: B009


class TwoModules(Base):
    """A test that is true only if two modules are both in training mode."""

    def test(self, _x):
        return self.first.training and self.second.training


class OneModuleStays(Base):
    """A test that is true in training, because one module always stays in evaluation mode."""

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self

    def test(self, _x):
        return self.training and not self.norm.training


class ByNumbers(Layers):
    def test(self, x):
        return self.norm(x).mean() > 0

    forward = Base.forward


class ByShapes(Layers):
    def test(self, x):
        y = self.drop(x)
        return len(y[y > 0]) > 3

    forward = Base.forward


class ByNumbersOnly(Base):
    """What the model executes depends on numbers, but they are the same in both modes."""

    def test(self, x):
        return self.second(x).mean() > 1e9


class OwnTrain(Base):
    def train(self, mode=True):
        self.deployed = not mode
        return super().train(mode)

    def test(self, _x):
        return self.deployed


class FrozenNorm(Layers):
    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


class ModeOfClass(Base):
    """A default mode in the class, which does not change that of the object."""

    training = False

    def test(self, _x):
        return self.training


class ByChance(Base):
    def test(self, _x):
        return random.random() > 0.5
