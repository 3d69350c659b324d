"""Networks with activations that are not in the tree of modules, or not in a method."""

import torch
import torch.nn.functional as F
from torch import nn

GLOBAL = nn.ReLU()
TABLE = {"gelu": nn.GELU(), "prelu": nn.PReLU()}
positive = lambda x: F.relu(x)  # noqa: E731


def hidden_layer(module, x):
    return F.relu(module.first(x))


class TwoLayers(nn.Module):
    """Two linear layers of width 4, and a ReLU of the model, which is converted."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.second(self.act(self.first(self.outside(self.first(x)))))


class NewModule(TwoLayers):
    def outside(self, x):
        return nn.ReLU()(x)


class NewSequence(TwoLayers):
    def outside(self, x):
        return nn.Sequential(nn.ReLU(), nn.Tanh())(x)


class ForwardOfNewModule(TwoLayers):
    def outside(self, x):
        return nn.SELU().forward(x)


class ModuleInList(TwoLayers):
    def __init__(self):
        super().__init__()
        self.acts = [nn.ReLU()]

    def outside(self, x):
        return self.acts[0](x)


class ModulesInTable(TwoLayers):
    def outside(self, x):
        return TABLE["gelu"](TABLE["prelu"](x))


class GlobalModule(TwoLayers):
    def outside(self, x):
        return GLOBAL(x)


class GlobalLambda(TwoLayers):
    def outside(self, x):
        return positive(x)


class LambdaAttribute(TwoLayers):
    def __init__(self):
        super().__init__()
        self.positive = lambda x: torch.relu(x)

    def outside(self, x):
        return self.positive(x)


class ModuleOfProperty(TwoLayers):
    @property
    def hidden_act(self):
        return nn.Softplus()

    def outside(self, x):
        return self.hidden_act(x)


class FunctionInProperty(TwoLayers):
    @property
    def hidden(self):
        return F.silu(self.input)

    def outside(self, x):
        self.input = x.detach()  # A model with other tensors cannot be copied.
        return self.hidden


class FunctionOfModule(TwoLayers):
    def outside(self, x):
        return hidden_layer(self, x)


class StaticMethod(TwoLayers):
    @staticmethod
    def positive(x):
        return x.relu()

    def outside(self, x):
        return self.positive(x)


class HiddenAttribute(TwoLayers):
    def __init__(self):
        super().__init__()
        object.__setattr__(self, "hidden_act", nn.ELU())

    def outside(self, x):
        return self.hidden_act(x)


class OverriddenMethod(FunctionInProperty):
    def outside(self, x):
        return F.relu(super().outside(x)) - super().outside(x)
