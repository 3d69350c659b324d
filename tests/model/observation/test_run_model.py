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
        (3, "a int"),
        ([], "no batches"),
        (["text"], "a batch that is a str"),
        ([("text", X)], "a batch that is a tuple"),
        ([((), X)], "a batch that is a tuple"),
    ],
)
def test_refusals(data, said):
    with pytest.raises(errors.ArgumentError, match=f"`call.data=....`: got {said}"):
        run_model(nn.Linear(3, 1), data, "call")
