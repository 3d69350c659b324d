"""Networks that call activations in ways that are hard to see or to replace; in a file, because a
method is rewritten from its source."""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint


class Two(nn.Module):
    """Two layers of four and an activation."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.act = nn.ReLU()


class ThroughFunctional(Two):
    def forward(self, x):
        return self.second(F.tanh(self.first(x))) + F.sigmoid(input=self.first(x))


class Partial(Two):
    def __init__(self):
        super().__init__()
        self.leaky = functools.partial(F.leaky_relu, negative_slope=0.2)

    def forward(self, x):
        return self.second(self.leaky(self.first(x)))


class Mapped(Two):
    def forward(self, x):
        return sum(list(map(F.relu, [self.first(x), self.second(x)])))


class Listed(Two):
    def __init__(self):
        super().__init__()
        self.steps = [self.first, self.act, self.second]

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x


class Backwards(nn.Module):
    def __init__(self):
        super().__init__()
        relu = nn.ReLU()
        self.layers = nn.ModuleList([relu, nn.Linear(5, 6), relu, nn.Linear(4, 5)])

    def forward(self, x):
        for layer in reversed(self.layers):
            x = layer(x)
        return x


class Keyword(Two):
    def forward(self, x):
        return self.second(self.act(input=self.first(x)))


class Views(Two):
    def forward(self, x):
        halves = self.first(x).view(-1, 2, 2)
        F.leaky_relu(halves[:, 0], 0.1, inplace=True)
        return self.second(halves.flatten(1))


class OwnHalf(Two):
    def forward(self, x):
        x = self.first(x)
        left, right = x[:, :2], x[:, 2:]
        return self.second(torch.cat([F.relu_(left), right], 1))


class OnItsInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.act = nn.LeakyReLU(0.5, inplace=True)

    def forward(self, x):
        return 2 * self.act(x)


class Checkpointed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x):
        for layer in self.layers:
            x = checkpoint(lambda x, layer=layer: F.relu(layer(x)), x, use_reentrant=False)
        return x


class CheckpointedMethod(Checkpointed):
    def forward(self, x):
        for layer in self.layers:
            x = checkpoint(self.step, layer, x, use_reentrant=False)
        return x

    def step(self, layer, x):
        return F.relu(layer(x))


class Taken(Two):
    hinged = 3

    def forward(self, x):
        return self.second(F.relu(self.first(x)))


class Renamed(Two):
    def forward(self, x):
        return self.second(F.relu(self.first(x)))


Renamed.forward.__name__ = "another"


class Folded(nn.Module):
    """Samples and channels on one axis."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        x = self.conv(x)
        samples, channels, *places = x.shape
        folded = F.relu(x.reshape(samples * channels, *places))
        return F.relu(folded.reshape(samples * channels, -1)).reshape(samples, -1)


class Numbers(Two):
    def forward(self, x):
        return self.second(F.relu(self.first(x))) + torch.relu((x > 0).long() - 1).sum()


class Waves(Two):
    def forward(self, x):
        waves = torch.view_as_complex(self.first(x).view(-1, 2, 2))
        return self.second(torch.view_as_real(torch.tanh(waves)).flatten(1))


class Into(Two):
    def forward(self, x):
        y = torch.empty(len(x), 4)
        torch.sigmoid(self.first(x), out=y)
        return self.second(y)


class Double(torch.autograd.Function):
    """A function that watching cannot see into."""

    @staticmethod
    def forward(_ctx, x):
        """Return twice the input."""
        return 2 * x

    @staticmethod
    def backward(_ctx, gradient):
        return 2 * gradient


class Opaque(Two):
    def forward(self, x):
        filled = torch.zeros(len(x), 4)
        filled[:] = Double.apply(self.first(x))
        return self.second(F.relu(filled)) + F.relu(self.second(Double.apply(x)))


class OneByOne(Two):
    def forward(self, x):
        return torch.stack([F.relu(row) for row in self.first(x)])


@dataclass
class Answer:
    """What `Answering` returns."""

    chance: torch.Tensor


class Answering(Two):
    def forward(self, x):
        return Answer(torch.sigmoid(self.second(self.act(self.first(x)))))


class Grouped(nn.Module):
    """A module in two parents, several times in one."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.body = nn.ModuleDict({"line": nn.Linear(4, 6), "act": self.act})
        self.head = nn.Sequential(nn.Linear(6, 5), self.act, nn.Linear(5, 7), self.act)

    def forward(self, x):
        x = self.act(x)
        for name in ("line", "act"):
            x = self.body[name](x)
        return self.act(self.head(x)) + self.act(-self.head(x))
