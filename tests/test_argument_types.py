"""Wrong types of the arguments of public functions are errors in words."""

import numpy as np
import pytest
import torch
from torch import nn

import hinged
from hinged import errors

X, HINGES = torch.randn(8, 4), torch.tensor([-1.0, 0.0, 1.0])


def network():
    return nn.Sequential(nn.Linear(4, 4), hinged.PiecewiseLinear(4), nn.Linear(4, 2))


def history():
    recorded = hinged.History()
    recorded.record(network())
    return recorded


def evaluate(**given):
    return hinged.piecewise_linear(X, torch.zeros(4, 3), HINGES, **given)


CALLS = {
    "hinged.PiecewiseLinear": hinged.PiecewiseLinear,
    "hinged.piecewise_linear": evaluate,
    "hinged.convert": lambda **given: hinged.convert(nn.Sequential(nn.ReLU()), X, **given),
    "hinged.sites": lambda **given: hinged.sites(network(), X, **given),
    "hinged.calibrate": lambda **given: hinged.calibrate(network(), X, **given),
    "hinged.calibrate_after": lambda **given: hinged.calibrate_after(network(), 3, **given),
    "hinged.constrain": lambda **given: hinged.constrain(network(), **given),
    "hinged.train_only": lambda **given: hinged.train_only(network(), **given),
    "hinged.load_curves": lambda **given: hinged.load_curves(network(), "none", **given),
    "hinged.param_groups": lambda **given: hinged.param_groups(network(), 0.1, **given),
    "hinged.History": hinged.History,
    "hinged.monitor_range": lambda **given: hinged.monitor_range(network(), **given),
    "hinged.plot": lambda **given: hinged.plot(network(), **given),
    "hinged.animate": lambda **given: hinged.animate(history(), **given),
}
WHOLE_NUMBER = [1.0, "1", None, True, [1], torch.zeros(2)]
FLAG = [1, "yes", None, torch.zeros(2)]
OPTIMIZERS = [3, "adam", [nn.Linear(1, 1)], torch.zeros(2)]
WRONG = {
    ("hinged.PiecewiseLinear", "dim"): WHOLE_NUMBER,
    ("hinged.PiecewiseLinear", "device"): [1.5, "none", True, [1], -1, torch.zeros(2)],
    ("hinged.piecewise_linear", "dim"): WHOLE_NUMBER,
    ("hinged.convert", "gates"): FLAG,
    ("hinged.convert", "optimizers"): OPTIMIZERS,
    ("hinged.sites", "gates"): FLAG,
    ("hinged.sites", "activations"): [nn.ReLU, "relu", None],
    ("hinged.calibrate", "optimizers"): OPTIMIZERS,
    ("hinged.calibrate_after", "optimizers"): OPTIMIZERS,
    ("hinged.calibrate_after", "total"): ["10", True, [10]],
    ("hinged.constrain", "odd"): FLAG,
    ("hinged.train_only", "curves"): FLAG,
    ("hinged.train_only", "norm"): FLAG,
    ("hinged.load_curves", "resize"): FLAG,
    ("hinged.param_groups", "curve_types"): ["PReLU", None, (3,), [nn.PReLU]],
    ("hinged.animate", "interval"): ["fast", None, True, 0, float("nan"), [1]],
}


@pytest.mark.parametrize(
    "call, name, value", [(*key, value) for key, values in WRONG.items() for value in values]
)
def test_a_wrong_type_is_named(call, name, value):
    with pytest.raises(errors.ArgumentError) as raised:
        CALLS[call](**{name: value})
    assert str(raised.value).startswith(f"`{call}({name}=...)`: got ")


# Where True is refused in words, NumPy's whole numbers are accepted like those of Python.
COUNTS = {
    "hinged.PiecewiseLinear": ("channels", "hinges"),
    "hinged.convert": ("batches", "hinges"),
    "hinged.calibrate": ("hinges",),
    "hinged.calibrate_after": ("observed_steps",),
    "hinged.param_groups": ("samples", "steps"),
    "hinged.plot": ("examples",),
    "hinged.History": ("channels",),
    "hinged.monitor_range": ("every",),
}


@pytest.mark.parametrize("call, name", [(call, name) for call in COUNTS for name in COUNTS[call]])
def test_whole_numbers_of_numpy_are_accepted_and_bools_are_not(call, name):
    CALLS[call](**{name: np.int64(50)})
    for flag in (True, np.True_):
        with pytest.raises(errors.ArgumentError):
            CALLS[call](**{name: flag})
