"""Networks whose methods have decorators, or are wrapped in the instance."""

import functools
from types import MethodType

import torch
import torch.nn.functional as F
from torch import nn

CALLS = []  # The names of the wrappers that were called.


def without_name(method):
    def run(self, *args):
        CALLS.append("without_name")
        return 2 * method(self, *args)

    return run


def with_name(factor):
    def decorate(method):
        @functools.wraps(method)
        def run(self, *args, factor=factor, method=method):
            CALLS.append("with_name")
            return factor * method(self, *args)

        return run

    return decorate


class Plain(nn.Module):
    """A linear layer and a functional ReLU."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(4, 4)

    def forward(self, x):
        return F.relu(self.line(x))


class WithoutName(Plain):
    @without_name
    def forward(self, x):
        return F.relu(self.line(x))


class Stacked(Plain):
    @with_name(3)
    @without_name
    @torch.autocast("cpu", enabled=False)
    def forward(self, x):
        return F.relu(self.line(x))


class DecoratedStep(Plain):
    @torch.enable_grad()
    def step(self, x):
        return self.line(x).relu()

    def forward(self, x):
        return self.step(self.step(x))


class InheritedDecorator(Stacked):
    """A class that inherits a method with decorators."""


class ForwardObject:
    """A callable object around a method, as accelerate has for mixed precision."""

    def __init__(self, method):
        self.method = method
        functools.update_wrapper(self, method)

    def __call__(self, *args):
        CALLS.append("object")
        return 3 * self.method(*args)

    def __getstate__(self):
        raise TypeError("This object is not for files.")


def lambda_around(model):
    own = model.forward
    model.forward = lambda x: 2 * own(x)


def global_variable(model):
    """Wrap `forward` as in a notebook, where the original is in a global variable."""
    names = {"own": model.forward, "factor": 2}
    exec("wrapper = lambda x: [factor * own(x) for _ in 'x'][0]", names)
    model.forward = names["wrapper"]


def two_wrappers(model):
    lambda_around(model)
    inner = model.forward

    @functools.wraps(inner)
    def run(*args):
        CALLS.append("outer")
        return inner(*args) + 1

    model.forward = run


def mixed_precision(model):
    """Wrap `forward` as accelerate does."""
    model._original_forward = model.forward
    cast = torch.autocast("cpu", torch.bfloat16)(model.forward.__func__)
    wrapped = ForwardObject(cast)

    def forward(*args):
        return wrapped(*args)

    forward.__wrapped__ = wrapped
    model.forward = MethodType(forward, model)


def hooked(model):
    """Wrap `forward` as accelerate does for models on several devices."""
    model._old_forward = model.forward

    def new_forward(module, *args):
        CALLS.append("hook")
        return module._old_forward(*args)

    partial = functools.partial(new_forward, model)
    model.forward = functools.update_wrapper(partial, model._old_forward)


def own_forward(self, x):
    return F.relu(self.line(x)) + F.relu(x)


def own_function(model):
    model.forward = MethodType(own_forward, model)


def own_function_around(model):
    original = model.forward

    def forward(self, x):
        return F.relu(original(x) - self.line.bias)

    model.forward = MethodType(forward, model)


def of_another_model(model):
    """Add the output of another model of the same class."""
    own, others = model.forward, Plain().forward
    model.forward = lambda x: own(x) + others(x)


class WithModule(Plain):
    """The activation is a module that is called once."""

    def __init__(self, act=None):
        super().__init__()
        self.act = nn.ReLU() if act is None else act

    def forward(self, x):
        return self.act(self.line(x))


class Opaque:
    """A callable object that does not show what it wraps."""

    def __init__(self, method):
        self._call = method

    def __call__(self, x):
        return 2 * self._call(x)


def opaque(model):
    model.forward = Opaque(model.forward)


def cached(model):
    model.forward = functools.lru_cache(model.forward)


def rebinding(model):
    """Wrap `forward` in a function that replaces what it wraps."""
    own = model.forward

    def run(x):
        nonlocal own
        y = own(x)
        own = model.__class__(model).forward if False else own
        return 2 * y

    model.forward = run


def through_the_class(model):
    model.forward = lambda x: 2 * Plain.forward(model, x)
