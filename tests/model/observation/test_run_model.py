import re
import sys

import pytest
import torch
from torch import nn

import hinged

X, Y = torch.randn(4, 3), torch.randn(4, 3)


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
        r"mask=a tensor of shape .* keyword arguments, model\(\*\*bat",
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
