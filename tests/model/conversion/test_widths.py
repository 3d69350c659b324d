"""A converted model accepts other sizes where the original model does."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hinged

ROWS, SEQUENCES, MAPS = torch.randn(8, 4), torch.randn(3, 5, 4), torch.randn(4, 3, 6, 6)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(4, 6), nn.Linear(4, 6), nn.LazyLinear(2)
        self.query = nn.Parameter(torch.randn(6))
        self.width = 6


class Scores(Net):
    """The activation of scores between positions, as in attention without softmax."""

    def forward(self, x):
        scores = F.relu(self.first(x) @ self.second(x).mT)
        return self.head(scores @ self.first(x))


class HeadScores(Net):
    def forward(self, x):
        q, k = (f(x).view(*x.shape[:2], 2, 3).transpose(1, 2) for f in (self.first, self.second))
        scores = F.relu(q @ k.transpose(-2, -1))
        return self.head((scores @ q).transpose(1, 2).flatten(2))


class Similarity(Net):
    """The activation of a matrix of all pairs of samples."""

    def forward(self, x):
        y = self.first(x)
        return self.head(F.relu(y @ y.T) @ y)


class PooledScores(Net):
    def forward(self, x):
        y = self.first(x)
        scores = F.relu((y * self.query).sum(-1))
        return self.head(torch.einsum("nl,nlc->nc", scores, y))


class EinsumScores(Net):
    def forward(self, x):
        y = self.first(x)
        scores = F.relu(torch.einsum("nlc,c->nl", y, self.query))
        return self.head((scores.unsqueeze(-1) * y).sum(1))


class VectorScores(Net):
    def forward(self, x):
        y = self.first(x)
        return self.head((F.relu(y @ self.query)[..., None] * y).sum(1))


class Slimmable(Net):
    def forward(self, x):
        first = F.linear(x, self.first.weight[: self.width], self.first.bias[: self.width])
        return F.relu(first).mean(-1)


class SlimmableNorm(Net):
    def forward(self, x):
        y = self.first(x)[..., : self.width]
        weight, bias = (
            self.second.weight[: self.width, 0],
            self.second.bias.narrow(0, 0, self.width),
        )
        return F.layer_norm(y, (self.width,), weight, bias).relu().mean(-1)


class Positions(Net):
    """The activation of matrices without channels, whose size is free."""

    def forward(self, x):
        return F.relu(x.mean(-1)).sum(-1, keepdim=True) * self.query


class FlatMaps(Net):
    def forward(self, x):
        return F.relu(F.conv1d(x.mT, self.first.weight[:, :, None]).flatten(1)).mean(1)


class OneMethod(Net):
    """One call that is executed with two widths."""

    def forward(self, x):
        return self.activate(self.first(x)).mean(-1) + self.activate(x).mean(-1)

    def activate(self, x):
        return F.gelu(x)


class OneBranch(Net):
    """An activation in a branch that is executed with one of two widths."""

    def forward(self, x):
        y, parts = self.first(x), []
        for k in (6, 4):
            part = y[..., :k]
            parts.append(F.relu(part) if k == self.width else part)
        return torch.cat(parts, -1)


LONGER, MORE, NARROW = torch.randn(3, 9, 4), torch.randn(11, 4), {"width": 3}


@pytest.mark.parametrize(
    ("make", "x", "later", "changes"),
    [
        (Scores, SEQUENCES, LONGER, {}),
        (HeadScores, SEQUENCES, LONGER, {}),
        (Similarity, ROWS, MORE, {}),
        (PooledScores, SEQUENCES, LONGER, {}),
        (EinsumScores, SEQUENCES, LONGER, {}),
        (VectorScores, SEQUENCES, LONGER, {}),
        (Slimmable, ROWS, ROWS, NARROW),
        (SlimmableNorm, ROWS, ROWS, NARROW),
        (Positions, SEQUENCES, LONGER, {}),
        (FlatMaps, SEQUENCES, LONGER, {}),
        (OneMethod, SEQUENCES, LONGER, {}),
        (OneBranch, ROWS, ROWS, {"width": 4}),
    ],
)
def test_a_size_that_can_change_gives_one_curve_for_all_channels(make, x, later, changes):
    model = make()
    model(x)
    hinged.convert(model, x, hinges=65, spread=9.0)
    (site,) = hinged.sites(model)
    assert (site.channels, site.axis) == (1, None) and "one curve for all channels" in site.note
    for name, value in changes.items():
        setattr(model, name, value)
    converted = model(later)
    assert torch.allclose(converted, hinged.revert(model)(later), atol=0.02, rtol=0.02)


def test_batches_with_several_widths_give_one_curve():
    class AnyWidth(nn.Module):
        def forward(self, x):
            return F.relu(x).sum(1)

    batches = [torch.randn(8, 4), torch.randn(8, 7)]
    model = hinged.convert(AnyWidth(), batches)
    (site,) = hinged.sites(model)
    assert site.channels == 1 and "their number can vary" in site.note
    x = torch.randn(2, 30)
    assert torch.equal(model(x), F.relu(x).sum(1))


class Kept(Net):
    def __init__(self, run):
        super().__init__()
        self.run, self.relu, self.wide = run, nn.ReLU(), nn.Linear(4, 12)
        self.conv, self.lstm = nn.Conv2d(3, 6, 1), nn.LSTM(4, 6, batch_first=True)
        self.register_buffer("neighbours", torch.ones(8, 8) / 8)

    def forward(self, x):
        return self.head(self.run(self, x))


def sum_of_halves(net, y):
    return net.relu(y[..., :6]) + y[..., 6:]


KEPT = {
    "mean over positions": (lambda net, x: net.relu(net.conv(x).mean((2, 3))), MAPS),
    "largest position": (lambda net, x: net.relu(net.first(x).max(1).values), SEQUENCES),
    "recurrent": (lambda net, x: net.relu(net.lstm(x)[0]), SEQUENCES),
    "values of attention": (
        lambda net, x: net.relu(torch.softmax(x @ x.mT, -1) @ net.first(x)),
        SEQUENCES,
    ),
    "neighbours": (lambda net, x: net.relu(net.neighbours @ net.first(x)), ROWS),
    "einsum": (
        lambda net, x: net.relu(torch.einsum("nlc,dc->nld", x, net.first.weight)),
        SEQUENCES,
    ),
    "arguments by name": (
        lambda net, x: net.relu(F.scaled_dot_product_attention(value=net.first(x), key=x, query=x)),
        SEQUENCES,
    ),
    "largest of two": (
        lambda net, x: net.relu(
            torch.max(torch.addmm(net.query, mat1=x, mat2=net.first.weight.T), net.second(x))
        ),
        ROWS,
    ),
    "slices of equal width": (lambda net, x: sum_of_halves(net, net.wide(x)), SEQUENCES),
    "sum over neighbours": (
        lambda net, x: net.relu(
            torch.zeros(4, 6).index_add_(0, torch.tensor([0, 1, 1, 2, 3, 0, 0, 0]), net.first(x))
        ),
        ROWS,
    ),
}


@pytest.mark.parametrize(("run", "x"), KEPT.values(), ids=KEPT)
def test_channels_whose_number_parameters_determine_have_a_curve_each(run, x):
    model = Kept(run)
    model(x)
    (site,) = hinged.sites(model, x)
    assert site.channels == 6


def test_a_weight_times_columns_has_its_rows_as_channels():
    class Columns(Net):
        def forward(self, x):
            return self.head(F.relu(self.first.weight @ x.mT).mT)

    model = Columns()
    model(SEQUENCES)
    (site,) = hinged.sites(model, SEQUENCES)
    assert (site.channels, site.axis) == (6, 1)
    hinged.convert(model, SEQUENCES)
    assert model(LONGER).shape == (3, 9, 2)
