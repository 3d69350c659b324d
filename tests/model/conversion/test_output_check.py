import torch
from torch import nn
from torch.nn import functional as F

import hinged

ROWS = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))


class Network(nn.Module):
    """Applies GELU, and then a function."""

    def __init__(self, finish):
        super().__init__()
        self.finish = finish

    def forward(self, x):
        return self.finish(F.gelu(x))


def note_of(finish):
    (note,) = hinged.sites(hinged.convert(Network(finish), ROWS)).notes
    return note


def test_whole_and_complex_numbers_are_compared_too():
    for finish in (lambda y: (1e6 * y).long(), lambda y: torch.complex(y, y)):
        note = note_of(finish)
        assert note.startswith("The conversion changed the outputs of the first batch by at most ")
        assert "GELU has no exact curve" in note


def test_outputs_of_other_shapes_are_no_error():
    assert note_of(lambda y: y[y > -0.16]).startswith(
        "Outputs of the first batch have other shapes than before: GELU has no exact curve"
    )


def test_outputs_without_tensors_are_not_compared():
    assert note_of(lambda y: y.sum().item()) == (
        "The output of the model contains no tensors to compare."
    )
