from collections import UserDict, namedtuple
from dataclasses import dataclass
from types import MappingProxyType

import pytest
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
    torch.manual_seed(0)
    (note,) = hinged.sites(hinged.convert(Network(finish), ROWS)).notes
    return note


@dataclass
class Plain:
    y: torch.Tensor


@dataclass(slots=True)
class Slots:
    y: torch.Tensor


@pytest.mark.parametrize(
    "form",
    [Plain, Slots, namedtuple("Named", "y"), lambda y: UserDict(y=[y]),
     lambda y: MappingProxyType({"y": Slots(y)})],
)  # fmt: skip
def test_outputs_in_any_container_are_compared(form):
    expected = note_of(lambda y: [y])
    assert "GELU has no exact curve" in expected and note_of(form) == expected


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
