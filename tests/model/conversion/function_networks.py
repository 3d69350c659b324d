"""Networks that apply functions of their own, or functions of torch that are no activations."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def wave(x, factor=1.0):
    return torch.sin(factor * x) + 0.1 * x


def squared_relu(x):
    y = F.relu(x)
    return y * y


def scaled(factor):
    def function(x):
        return torch.tanh(x) * factor

    return function


twice, thrice = scaled(2.0), scaled(3.0)
bump = lambda x: torch.exp(-x * x)  # noqa: E731


class TwoLayers(nn.Module):
    """Two linear layers of width 4."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)


class CallsSine(TwoLayers):
    def forward(self, x):
        return self.second(torch.sin(self.first(x))) + self.first(x).sin().sum()


class CallsWave(TwoLayers):
    def forward(self, x):
        return self.second(wave(self.first(x)))


class CallsWaveWithFactor(TwoLayers):
    def forward(self, x):
        return self.second(wave(self.first(x), factor=2.0)) + wave(x, 0.5)


class CallsWaveInLoop(TwoLayers):
    def forward(self, x):
        for layer in (self.first, self.second):
            x = wave(layer(x))
        return x


class CallsSquaredRelu(TwoLayers):
    def __init__(self):
        super().__init__()
        self.act = squared_relu

    def forward(self, x):
        return self.second(self.act(self.first(x)))


class SquaredRelu(nn.Module):
    def forward(self, x):
        return squared_relu(x)


class CallsInModule(TwoLayers):
    def __init__(self):
        super().__init__()
        self.act = SquaredRelu()

    def forward(self, x):
        return self.second(self.act(self.first(x)))


class CallsLambda(TwoLayers):
    def forward(self, x):
        return self.second(bump(self.first(x)))


class CallsClosure(TwoLayers):
    def forward(self, x):
        return thrice(self.second(twice(self.first(x))))


class Clamps(TwoLayers):
    def forward(self, x):
        x = self.first(x).clamp(min=0)
        x = torch.clamp(self.second(x), -1, 1.5)
        return self.first(x).clamp_(0)


class ClampsWithTensor(TwoLayers):
    def forward(self, x):
        return self.second(torch.clamp(self.first(x), min=x.mean()))


class WaveWithVaryingFactor(TwoLayers):
    def forward(self, x):
        return self.second(wave(self.first(x), math.sqrt(len(x))))


class WaveOfTwoTensors(TwoLayers):
    def forward(self, x):
        return self.second(wave(self.first(x), x.mean()))


class OwnRelu(nn.Module):
    def forward(self, x):
        return squared_relu(x=x)


class NamedInputs(nn.Module):
    """Calls activations in loops, with the input as a keyword argument."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.act = OwnRelu()


class NamedInputOfFunction(NamedInputs):
    def forward(self, x):
        for layer in self.layers:
            x = squared_relu(x=layer(x))
        return x


class NamedInputOfModule(NamedInputs):
    def forward(self, x):
        for layer in self.layers:
            x = self.act(x=layer(x))
        return x


class NamedInputOfTorch(NamedInputs):
    def forward(self, x):
        for layer in self.layers:
            x = nn.functional.relu(input=layer(x))
        return x
