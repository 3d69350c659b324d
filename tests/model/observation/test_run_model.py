import re
import sys

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import hinged
from hinged import errors
from hinged.model.observation.run_model import model_inputs, run_model

X, Y = torch.randn(4, 3), torch.randn(4, 3)


class Sum(nn.Module):
    """A network with two inputs."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(3, 5)

    def forward(self, x, other):
        return self.line(x + other).relu()


@pytest.mark.parametrize(
    "data",
    [
        {"x": X, "other": Y},
        [{"x": X, "other": Y}],
        ((X, Y), torch.zeros(4)),
        [((X, Y), torch.zeros(4))],
        [[[X, Y], torch.zeros(4)]],
        ({"x": X, "other": Y}, torch.zeros(4)),
    ],
)
def test_models_with_several_inputs(data):
    model = Sum()
    before = model(X, Y)
    hinged.convert(model, data)
    assert torch.equal(model(X, Y), before) and hinged.sites(model)[0].channels == 5


def test_models_with_one_input():
    loader = DataLoader(TensorDataset(X, Y), batch_size=2)
    for data in (X, (X, Y), [X, X], [(X, Y)], [[X, Y]], loader):
        for args, kwargs in model_inputs(nn.Linear(3, 1), data, "call"):
            assert len(args) == 1 and args[0].shape[-1] == 3 and not kwargs


@pytest.mark.parametrize(
    "data, said",
    [
        ((X, Y, X), "a tuple of length 3"),
        (3, "an int"),
        ([], "no batches"),
        (["text"], "a batch that is a str"),
        ([("text", X)], "a batch that is a tuple"),
        ([((), X)], "a batch that is a tuple"),
    ],
)
def test_refusals(data, said):
    with pytest.raises(errors.ArgumentError, match=f"`call.data=....`: got {said}"):
        run_model(nn.Linear(3, 1), data, "call")


NOTES = {
    "shape": (
        torch.zeros(4, 5),
        r"called with a tensor of shape \(4, 5\) and dtype torch.float32; p",
    ),
    "dtype": (
        X.double(),
        r"dtype torch.float64; .* parameters of the model have dtype torch.float32",
    ),
    "batch of a loader": (
        [X, torch.zeros(4)],
        "If it is one batch of inputs and targets, .* tuple",
    ),
    "names": (
        {"input": X, "mask": X},
        r"mask=a tensor of shape .* keyword arguments: model\(\*\*bat",
    ),
    "two inputs": (
        ((X, Y), X),
        r"For a model with several inputs, pass \(\(input_1, input_2\), targ",
    ),
}


@pytest.mark.skipif(sys.version_info < (3, 11), reason="errors have notes from Python 3.11 on")
@pytest.mark.parametrize("case", NOTES)
@pytest.mark.parametrize("call", ["convert", "diagnose"])
def test_the_error_of_a_model_gets_a_note_on_its_batch(case, call):
    data, note = NOTES[case]
    model = nn.Sequential(
        nn.Linear(3, 5), nn.ReLU() if call == "convert" else hinged.PiecewiseLinear(5)
    )
    with pytest.raises((RuntimeError, TypeError)) as caught:
        getattr(hinged, call)(model, data)
    (found,) = caught.value.__notes__
    assert found.startswith(f"`hinged.{call}(data=...)`: got a batch on which the model raises")
    assert re.search(note, found)
