"""Networks that call activations in ways that are hard to find or to replace.

They are in a file because `convert` rewrites methods from their source.
"""

import functools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint


class TwoLayers(nn.Module):
    """Two linear layers of width 4, and a ReLU."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.act = nn.ReLU()


class FunctionsThatCallMethods(TwoLayers):
    """`F.tanh` and `F.sigmoid`, which call methods of the tensor."""

    def forward(self, x):
        return self.second(F.tanh(self.first(x))) + F.sigmoid(input=self.first(x))


class PartialFunction(TwoLayers):
    """An activation in a `functools.partial`."""

    def __init__(self):
        super().__init__()
        self.leaky = functools.partial(F.leaky_relu, negative_slope=0.2)

    def forward(self, x):
        return self.second(self.leaky(self.first(x)))


class ListInTraining(TwoLayers):
    """A model with one more activation in training, which it calls through a plain list."""

    def __init__(self):
        super().__init__()
        self.plain = [self.act]

    def forward(self, x):
        x = F.leaky_relu(self.first(x))
        return self.second(self.plain[0](x) if self.training else x)


class OneModuleForEachMode(TwoLayers):
    """A loop that calls one of two equal modules in training, and the other in evaluation."""

    def __init__(self):
        super().__init__()
        self.other = nn.ReLU()

    def forward(self, x):
        for layer in (self.first, self.second):
            x = (self.act if self.training else self.other)(layer(x))
        return x


class OneFunctionForEachMode(TwoLayers):
    """One call of a function in training, and of another function in evaluation."""

    def forward(self, x):
        return self.second((F.relu if self.training else torch.relu)(self.first(x)))


class ModulesChangePlaces(TwoLayers):
    """Two passes of a loop that call two equal modules, in either order."""

    def __init__(self):
        super().__init__()
        self.acts = nn.ModuleList([nn.ReLU(), nn.ReLU()])

    def forward(self, x):
        return self.run(self.run(x, 0), 1)

    def run(self, x, start):
        for index, layer in enumerate((self.first, self.second)):
            x = self.acts[(start + index) % 2](layer(x))
        return x


class PartialInTraining(TwoLayers):
    """A model with one more activation in training, a `functools.partial`."""

    def __init__(self):
        super().__init__()
        self.partial = functools.partial(F.relu6)

    def forward(self, x):
        x = F.leaky_relu(self.first(x))
        return self.second(self.partial(x) if self.training else x)


class FunctionInMap(TwoLayers):
    """An activation that `map` calls."""

    def forward(self, x):
        return sum(list(map(F.relu, [self.first(x), self.second(x)])))


class PlainList(TwoLayers):
    """A module that is called through a plain list."""

    def __init__(self):
        super().__init__()
        self.steps = [self.first, self.act, self.second]

    def forward(self, x):
        for step in self.steps:
            x = step(x)
        return x


class NewModuleInEachCall(TwoLayers):
    """An activation module that is made in every call, so that it does not belong to the model."""

    def forward(self, x):
        return self.second(nn.ReLU()(self.first(x)))


class ModuleOutsideOfTheModel(TwoLayers):
    """An activation module in a plain list, which torch does not know."""

    def __init__(self):
        super().__init__()
        self.act = None
        self.hidden = [nn.ReLU()]

    def forward(self, x):
        return self.second(self.hidden[0](self.first(x)))


def decorated(method):
    @functools.wraps(method)
    def run(self, *args):
        return method(self, *args)

    return run


class DecoratedLayer(nn.Module):
    """A layer whose method `forward` has a decorator."""

    def __init__(self):
        super().__init__()
        self.linear, self.act = nn.Linear(4, 4), nn.ReLU()

    @decorated
    def forward(self, x):
        return self.act(self.linear(x))


def decorated_layers():
    """Two layers, whose activations are called at the same place of the source code."""
    return nn.Sequential(DecoratedLayer(), DecoratedLayer())


class ReversedLayers(nn.Module):
    """One module in two slots, called from the last slot to the first."""

    def __init__(self):
        super().__init__()
        relu = nn.ReLU()
        self.layers = nn.ModuleList([relu, nn.Linear(5, 6), relu, nn.Linear(4, 5)])

    def forward(self, x):
        for layer in reversed(self.layers):
            x = layer(x)
        return x


class KeywordInput(TwoLayers):
    """A module that gets its input by keyword."""

    def forward(self, x):
        return self.second(self.act(input=self.first(x)))


class KeywordAndPositionalInput(TwoLayers):
    """A module that gets its input by keyword in one of two calls."""

    def forward(self, x):
        return self.act(self.second(self.act(input=self.first(x))))


class ForwardOfModule(TwoLayers):
    """A module that is called as usual, and whose method `forward` is called for another width."""

    def __init__(self):
        super().__init__()
        self.second = nn.Linear(4, 5)

    def forward(self, x):
        return self.act(self.second(self.act.forward(self.first(x))))


class KeywordInputInABranch(TwoLayers):
    """A module that gets its input by keyword in a branch that other batches take."""

    def forward(self, x):
        y = self.first(x)
        return self.second(self.act(y) if len(x) <= 8 else self.act(input=y))


class CallOfModule(TwoLayers):
    """A module that is called as usual, and by `nn.Module.__call__`."""

    def forward(self, x):
        return self.act(self.second(nn.Module.__call__(self.act, input=self.first(x))))


class InPlaceOnView(TwoLayers):
    """An in-place activation of a view, of which the whole is read later."""

    def forward(self, x):
        halves = self.first(x).view(-1, 2, 2)
        F.leaky_relu(halves[:, 0], 0.1, inplace=True)
        return self.second(halves.flatten(1))


class InPlaceOnUnusedView(TwoLayers):
    """An in-place activation of one half, of which only the other half is read later."""

    def forward(self, x):
        x = self.first(x)
        left, right = x[:, :2], x[:, 2:]
        return self.second(torch.cat([F.relu_(left), right], 1))


class InPlaceOnModelInput(nn.Module):
    """An in-place activation of the input of the model."""

    def __init__(self):
        super().__init__()
        self.act = nn.LeakyReLU(0.5, inplace=True)

    def forward(self, x):
        return 2 * self.act(x)


class CheckpointedLambda(nn.Module):
    """Checkpointing of a nested function, which runs again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])

    def forward(self, x):
        for layer in self.layers:
            x = checkpoint(lambda x, layer=layer: F.relu(layer(x)), x, use_reentrant=False)
        return x


class CheckpointedMethod(CheckpointedLambda):
    """Checkpointing of a method, which runs again in the backward pass."""

    def forward(self, x):
        for layer in self.layers:
            x = checkpoint(self.step, layer, x, use_reentrant=False)
        return x

    def step(self, layer, x):
        return F.relu(layer(x))


class AttributeNamedHinged(TwoLayers):
    """An attribute that has the name of the child with the curves."""

    hinged = 3

    def forward(self, x):
        return self.second(F.relu(self.first(x)))


class RenamedMethod(TwoLayers):
    """A method whose function has another name."""

    def forward(self, x):
        return self.second(F.relu(self.first(x)))


RenamedMethod.forward.__name__ = "other_name"


class SamplesAndChannelsOnOneAxis(nn.Module):
    """An activation of tensors that have samples and channels on one axis."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        x = self.conv(x)
        samples, channels, *places = x.shape
        folded = F.relu(x.reshape(samples * channels, *places))
        return F.relu(folded.reshape(samples * channels, -1)).reshape(samples, -1)


class IntegerInput(TwoLayers):
    """An activation of integers."""

    def forward(self, x):
        return self.second(F.relu(self.first(x))) + torch.relu((x > 0).long() - 1).sum()


class ComplexInput(TwoLayers):
    """An activation of complex numbers."""

    def forward(self, x):
        waves = torch.view_as_complex(self.first(x).view(-1, 2, 2))
        return self.second(torch.view_as_real(torch.tanh(waves)).flatten(1))


class OutArgument(TwoLayers):
    """An activation that writes into a given tensor."""

    def forward(self, x):
        y = torch.empty(len(x), 4)
        torch.sigmoid(self.first(x), out=y)
        return self.second(y)


class Double(torch.autograd.Function):
    """A function that is opaque to `__torch_function__`."""

    @staticmethod
    def forward(_ctx, x):
        """Return twice the input."""
        return 2 * x

    @staticmethod
    def backward(_ctx, gradient):
        return 2 * gradient


class CustomFunction(TwoLayers):
    """A custom autograd function before the activation."""

    def forward(self, x):
        filled = torch.zeros(len(x), 4)
        filled[:] = Double.apply(self.first(x))
        return self.second(F.relu(filled)) + F.relu(self.second(Double.apply(x)))


class LoopOverSamples(TwoLayers):
    """One call per sample."""

    def forward(self, x):
        return torch.stack([F.relu(row) for row in self.first(x)])


@dataclass
class Output:
    """The output of `DataclassOutput`."""

    probability: torch.Tensor


class DataclassOutput(TwoLayers):
    """The output is in a dataclass."""

    def forward(self, x):
        return Output(torch.sigmoid(self.second(self.act(self.first(x)))))


class ModuleInManySlots(nn.Module):
    """One module in three parents, in two slots of one of them."""

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


class StepsAndSum(nn.Sequential):
    """A container that runs all its children, and applies a function to the result."""

    def __init__(self):
        super().__init__(nn.Linear(4, 4), nn.Linear(4, 4))

    def forward(self, x):
        return F.leaky_relu(super().forward(x) + x)


class LoopOverSteps(StepsAndSum):
    """A container that applies a function after each of its children."""

    def forward(self, x):
        for step in self:
            x = F.gelu(step(x))
        return x


class SlicesOfSteps(nn.Module):
    """A container that is also run in parts, which calls one module in several places."""

    def __init__(self):
        super().__init__()
        act = nn.ReLU()
        self.steps = nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 4), act)

    def forward(self, x):
        return self.steps[2:](self.steps[:2](x)) + self.steps(x)


class Delegating(nn.Module):
    """A wrapper that takes attributes that it does not have from the wrapped module."""

    def __init__(self, wrapped):
        super().__init__()
        self.wrapped = wrapped

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("wrapped"), name)

    def forward(self, x):
        return F.relu(self.wrapped(x))


class EmptyActivation(nn.Module):
    """An activation module that has a length, which is 0."""

    def __len__(self):
        return 0

    def forward(self, x):
        return F.leaky_relu(x, 0.3)


class EmptyActivationTwice(TwoLayers):
    """Two calls of a module whose truth value is false."""

    def __init__(self):
        super().__init__()
        self.act = EmptyActivation()

    def forward(self, x):
        return self.act(self.second(self.act(self.first(x))))
