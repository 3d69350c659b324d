"""Activations that the data do not reach are listed apart from the sites."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hinged

ROWS = torch.randn(8, 4)


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(3))

    def forward(self, x):
        return self.experts[int(x.mean() > 0)](x)


class WrittenExpert(nn.Module):
    def __init__(self):
        super().__init__()
        self.up, self.down = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.down(F.silu(self.up(x)) * torch.sigmoid(x))


class WrittenExperts(Experts):
    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList([WrittenExpert(), WrittenExpert()])


class Branches(nn.Module):
    def __init__(self):
        super().__init__()
        self.line, self.skip_tanh = nn.Linear(4, 4), True

    def forward(self, x):
        x = F.relu(self.line(x)) if self.training else self.line(x).relu_()
        if not self.skip_tanh:
            return torch.tanh(x)
        return self.line(x)


class GELUActivation(nn.Module):
    def forward(self, x):
        return F.gelu(x)


class Head(nn.Module):
    """Uses one of its activations, as a model with a head for another task does."""

    def __init__(self):
        super().__init__()
        self.line, self.act, self.other = nn.Linear(4, 4), nn.ReLU(), GELUActivation()

    def forward(self, x):
        return self.act.forward(self.line(x))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.cell = nn.LSTM(4, 4), nn.GRUCell(4, 4)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.cell(self.body(x)[0]))


NOT_REACHED = "the model does not reach it with these data"
UNREACHED = {
    "experts": (
        Experts,
        [("experts.0.1", "ReLU()", NOT_REACHED), ("experts.2.1", "ReLU()", NOT_REACHED)],
    ),
    "functions of experts": (
        WrittenExperts,
        [
            ("experts.0", "F.silu(self.up(x))", NOT_REACHED),
            ("experts.0", "torch.sigmoid(x)", NOT_REACHED),
        ],
    ),
    "branches": (Branches, [("", "torch.tanh(x)", NOT_REACHED)]),
    "head": (Head, [("other", "GELUActivation()", NOT_REACHED)]),
    "recurrent": (
        Recurrent,
        [
            ("body", "LSTM(4, 4)", "inside LSTM, which computes its activations itself"),
            ("cell", "GRUCell(4, 4)", "inside GRUCell, which computes its activations itself"),
        ],
    ),
}


@pytest.mark.parametrize(("make", "expected"), UNREACHED.values(), ids=UNREACHED)
def test_activations_that_are_not_reached_are_listed(make, expected):
    model, x = make(), ROWS.abs()
    found = [hinged.sites(model, x), hinged.sites(hinged.convert(model, x))]
    for sites in found:
        listed = [(site.name, site.activation, site.skipped) for site in sites.unreached]
        assert sorted(listed) == expected
        assert not {site.name for site in sites} & {name for name, *_ in expected if name}
        table = str(sites).split("not examined")[1]
        assert all(
            activation in table and reason[:12] in table for _, activation, reason in expected
        )


class Shared(nn.Module):
    """Activations that all are reached, in ways that are easy to miss."""

    def __init__(self):
        super().__init__()
        relu, lines = nn.ReLU(), [nn.Linear(4, 4) for _ in range(2)]
        self.body = nn.Sequential(lines[0], relu, lines[1], relu)
        self.acts, self.name = nn.ModuleDict({"gelu": nn.GELU()}), "gelu"

    def forward(self, x):
        x = self.acts[self.name](self.body(x))
        y = [F.relu(part) for part in x.split(2)]
        return torch.cat(y).sigmoid()


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


@pytest.mark.parametrize(
    "make", [Shared, lambda: nn.Sequential(nn.Linear(4, 4), Swish(), nn.Linear(4, 4))]
)
def test_activations_that_are_reached_are_not_listed_apart(make):
    model = make()
    assert not hinged.sites(model, ROWS).unreached
    hinged.convert(model, ROWS)
    assert not hinged.sites(model).unreached
    if make is Shared:
        assert not hinged.sites(hinged.convert(model, ROWS, gates=True)).unreached


def test_sites_of_converted_parts_list_what_was_not_reached():
    model = nn.Sequential(Experts(), nn.Linear(4, 2))
    hinged.convert(model[0], ROWS.abs())
    names = [site.name for site in hinged.sites(model).unreached]
    assert names == ["0.experts.0.1", "0.experts.2.1"]
