"""Networks that apply activations in every usual way.

They are in a file because `convert` rewrites methods from their source.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Functional(nn.Module):
    """Functions and methods, in place and not, on images and on features."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.line = nn.Linear(6, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x):
        """Return two numbers per sample."""
        x = F.relu(self.norm(self.conv(x)), inplace=True)
        x = torch.relu_(self.conv(x[:, :3]))
        x = (x - 0.5).relu()
        x = F.leaky_relu(self.line(x.mean(dim=(2, 3))), negative_slope=0.2)
        return self.head(F.gelu(x, approximate="tanh"))


class SharedModule(nn.Module):
    """One module that one method calls three times, as in a block of a ResNet."""

    def __init__(self, inplace=True):
        super().__init__()
        self.relu = nn.ReLU(inplace)
        self.first = nn.Conv2d(3, 4, 1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 8, 1)

    def forward(self, x):
        x = self.relu(self.first(x))
        return self.relu(self.third(self.relu(self.second(x))))


class Loops(nn.Module):
    """A function in a loop, one module in two slots of a list, a method in a comprehension."""

    def __init__(self):
        super().__init__()
        relu = nn.ReLU()
        self.lines = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 6), nn.Linear(6, 3)])
        self.layers = nn.ModuleList([nn.Linear(3, 5), relu, nn.Linear(5, 7), relu])
        self.branches = nn.ModuleList([nn.Linear(7, 2), nn.Linear(7, 2)])

    def forward(self, x):
        for line in self.lines:
            x = F.relu(line(x))
        for layer in self.layers:
            x = layer(x)
        return sum([branch(x).relu() for branch in self.branches])


class LayerOrActivation(nn.Module):
    """A local name that is sometimes a layer and sometimes an activation."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 4)
        self.act = nn.ELU()
        self.function = F.silu

    def forward(self, x, *, scale=1.0):
        for layer in (self.line, self.act, self.line):
            x = layer(x)
        act = self.function
        return self.function(scale * x) + act(self.line(x))


class Gated(nn.Module):
    """A gate, a bounded output, and a sigmoid that is an ordinary activation."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.squeeze = nn.Conv2d(4, 4, 1)
        self.hidden = nn.Linear(4, 3)
        self.head = nn.Linear(3, 1)

    def forward(self, x):
        x = self.conv(x)
        scale = torch.sigmoid(self.squeeze(x.mean(dim=(2, 3), keepdim=True)))
        x = (scale.expand_as(x) * x).mean(dim=(2, 3))
        return torch.sigmoid(self.head(torch.sigmoid(self.hidden(x))))


class OverwrittenInput(nn.Module):
    """An in-place activation; its input is read again under the old name."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x):
        before = self.line(x)
        after = F.relu_(before)
        return F.relu(self.line(after + 2 * before))


class PrivateNames(nn.Module):
    """Private names, a closure over the class, and a method that is not `forward`."""

    def __init__(self):
        super().__init__()
        self.__line = nn.Linear(3, 4)

    def forward(self, x):
        return self.__features(x)

    def __features(self, x):
        assert self.__line in tuple(super().children())
        return F.relu(
            self.__line(x),
        ), F.relu(-self.__line(x))


class OnlyInTraining(nn.Module):
    """An activation that is applied in training mode only."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 3)

    def forward(self, x):
        x = self.line(x)
        return F.relu(x) if self.training else x


def free_function(x):
    """Apply an activation outside of the methods of a module."""
    return F.relu(x)


class FreeFunction(nn.Module):
    """An activation in a function that is not a method."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 3)

    def forward(self, x):
        return free_function(self.line(x)) + F.relu(self.line(x))


class Swish(nn.Module):
    """An activation that consists of several operations."""

    def forward(self, x):
        return x * torch.sigmoid(x)


class Reparametrised(nn.Module):
    """An activation of a parameter, which does not depend on the data."""

    def __init__(self):
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(3))
        self.line = nn.Linear(3, 3)

    def forward(self, x):
        return F.relu(self.line(x)) * F.softplus(self.raw)
