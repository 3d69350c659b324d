"""Networks whose methods are hard to rewrite: names, arguments and functions that can change."""

import torch
import torch.nn.functional as F
from torch import nn


class OneLayer(nn.Module):
    """A linear layer of width 4, and a slope for negative inputs."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 4)
        self.slope = 0.1
        self.calls = 0

    def copy_of(self, other):
        """Take the parameters and the settings of another network."""
        self.load_state_dict(other.state_dict())
        self.slope, self.calls = other.slope, other.calls
        return self


class CallsOverSeveralLines(OneLayer):
    def forward(self, x):
        return (
            self.line(
                x,
            )
            .neg()
            .relu()
            .neg()
        )


class NamesItsClass(OneLayer):
    def forward(self, x):
        assert isinstance(self, NamesItsClass)
        return OneLayer.extra_repr(NamesItsClass()) or F.relu(self.line(x))


class IgnoredByTorchScript(OneLayer):
    def forward(self, x):
        return self.activate(self.line(x))

    @torch.jit.ignore
    def activate(self, x):
        return F.relu(x)


class PrivateActivation(OneLayer):
    def __init__(self):
        super().__init__()
        self.__act = nn.ReLU()

    def forward(self, x):
        return self.__act(self.line(self.__act(x)))


class _PrivateBase(OneLayer):
    def __init__(self):
        super().__init__()
        self.__act, self.other = nn.ReLU(), nn.LeakyReLU()

    def forward(self, x):
        for step in (self.__act, self.line, self.__act):
            x = step(x)
        return x


class PrivateActivationOfBase(_PrivateBase):
    """The private name belongs to the base class."""


class OnlyUnderscores(OneLayer):
    def __init__(self):
        super().__init__()
        self._ = self.__ = nn.ReLU()

    def forward(self, x):
        return self._(self.line(self.__(x)))


class ArgumentNamedSelf(OneLayer):
    def forward(self, x):
        def activate(self):
            return F.relu(self)

        return activate(self.line(x))


class LoopOverSelf(OneLayer):
    def forward(self, x):
        line = self.line
        for self in (x, line(x)):
            x = F.relu(self) + x
        return x


class SpecialMethod(OneLayer):
    def forward(self, x):
        return self[x]

    def __getitem__(self, x):
        return F.relu(self.line(x))


class ConditionalSlope(OneLayer):
    def forward(self, x):
        y = self.line(x)
        return F.leaky_relu(y, 0.5 if x.mean() > 0 else 0.1)


class SlopeOfCall(OneLayer):
    def forward(self, x):
        return torch.celu(self.line(x), alpha=float(1 + self.slope))


class SlopeAsDefault(OneLayer):
    def forward(self, x, slope=0.3):
        return F.elu(self.line(x), slope)


class UnpackedArguments(OneLayer):
    def forward(self, x):
        settings = {"min_val": -self.slope, "max_val": 1.0}
        return F.hardtanh(self.line(x), **settings)


class CountedArguments(OneLayer):
    def forward(self, x):
        for factor in (1, 2):
            x = F.leaky_relu(self.line(x), self.slope * factor)
        return x


class SlopeOfParameter(OneLayer):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.3]))

    def forward(self, x):
        return F.prelu(self.line(x), self.weight)


class ArgumentWithEffect(OneLayer):
    def count(self):
        self.calls += 1
        return False

    def forward(self, x):
        return F.relu(self.line(x), self.count()) + self.calls


class LiteralSlopes(OneLayer):
    def forward(self, x):
        x = F.leaky_relu(self.line(x), 0.2)
        return F.hardtanh(input=self.line(x), min_val=-1.5, max_val=2.0)


class InPlaceOfModule(OneLayer):
    inplace = True

    def forward(self, x):
        x = F.relu(self.line(x), inplace=self.inplace)
        return F.relu6(self.line(x), self.inplace)


class FunctionAsParameter(OneLayer):
    def forward(self, x, relu="relu"):
        relu = getattr(torch, relu)
        self.calls += 1
        return relu(self.last(x))

    def last(self, x):
        return self.line(x)


class LocalFunction(FunctionAsParameter):
    def forward(self, x, name="relu"):
        self.calls += 1
        relu = {"relu": F.relu, "tanh": torch.tanh}[name]
        return relu(self.last(x))


class FunctionOfCall(FunctionAsParameter):
    def functions(self):
        self.calls += 1
        return F

    def forward(self, x, name="relu"):
        if name == "tanh":
            return self.functions().tanh(self.last(x))
        return self.functions().relu(self.last(x))
