"""The channel axis is found, although all axes have the same size."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hinged

SIZE = 6


class Rearranged(nn.Module):
    """Applies a layer, a function that rearranges its output, and an activation."""

    def __init__(self, layer, rearrange):
        super().__init__()
        self.layer = layer
        self.rearrange = rearrange

    def forward(self, x):
        return F.relu(self.rearrange(self.layer(x)))


def conv():
    return nn.Conv2d(SIZE, SIZE, 3, padding=1)


MAPS = torch.randn(SIZE, SIZE, SIZE, SIZE)
ROWS = torch.randn(SIZE, SIZE, SIZE)


@pytest.mark.parametrize(
    "rearrange, axis",
    [
        (lambda x: x, 1),
        (lambda x: x + 1, 1),
        (lambda x: F.max_pool2d(x, 2), 1),
        (lambda x: F.interpolate(x, scale_factor=2), 1),
        (lambda x: F.dropout(F.batch_norm(x, None, None, training=True), 0.5), 1),
        (lambda x: x.transpose(1, 2), 2),
        (lambda x: x.mT, 1),
        (lambda x: x.permute(0, 2, 3, 1), -1),
        (lambda x: x.permute(1, 0, 2, 3), 0),
        (lambda x: x.permute(0, 2, 3, 1).permute(0, 3, 1, 2), 1),
        (lambda x: x.movedim(1, -1), -1),
        (lambda x: x.flatten(2), 1),
        (lambda x: x.flatten(2).transpose(1, 2), -1),
        (lambda x: x.view(SIZE, SIZE, SIZE * SIZE), 1),
        (lambda x: x.permute(0, 2, 3, 1).reshape(-1, SIZE), -1),
        (lambda x: x.unsqueeze(1), 2),
        (lambda x: x[:, 2:5], 1),
        (lambda x: x[..., 0], 1),
        (lambda x: x[0], 0),
        (lambda x: x[:, :, None], 1),
        (lambda x: torch.cat((x, x), dim=1), 1),
        (lambda x: x.chunk(2, dim=1)[1], 1),
        (lambda x: torch.stack([x, x]).flatten(0, 1), 1),
        (lambda x: x.mean(dim=3, keepdim=True).expand(-1, -1, -1, SIZE), 1),
        # A channel shuffle.
        (lambda x: x.view(SIZE, 2, 3, SIZE, SIZE).transpose(1, 2).reshape(x.shape), 1),
        # Windows of 2 x 2, as in a Swin transformer.
        (
            lambda x: (
                x.permute(0, 2, 3, 1)
                .view(SIZE, 3, 2, 3, 2, SIZE)
                .permute(0, 1, 3, 2, 4, 5)
                .reshape(-1, 4, SIZE)
            ),
            -1,
        ),
    ],
)
def test_the_axis_after_convolutions(rearrange, axis):
    (site,) = hinged.sites(Rearranged(conv(), rearrange), MAPS)
    assert site.axis == axis


@pytest.mark.parametrize(
    "layer, rearrange, axis",
    [
        (nn.Linear(SIZE, SIZE), lambda x: x, -1),
        (nn.Linear(SIZE, SIZE), lambda x: x.transpose(1, 2), 1),
        (nn.LayerNorm(SIZE), lambda x: x, -1),
        (nn.Conv1d(SIZE, SIZE, 1), lambda x: x, 1),
        (nn.BatchNorm1d(SIZE), lambda x: x, 1),
        (nn.GroupNorm(2, SIZE), lambda x: x, 1),
        (nn.Linear(SIZE, SIZE), lambda x: x @ torch.randn(SIZE, SIZE), -1),
        (nn.Linear(SIZE, SIZE), lambda x: F.scaled_dot_product_attention(x, x, x), -1),
    ],
)
def test_the_axis_after_other_layers(layer, rearrange, axis):
    (site,) = hinged.sites(Rearranged(layer, rearrange), ROWS)
    assert site.axis == axis and site.channels == SIZE


def test_concatenated_attention_heads_are_channels():
    def attention(x):
        heads = x.view(SIZE, SIZE, 2, 3).transpose(1, 2)
        mixed = (heads @ heads.mT).softmax(dim=-1) @ heads
        return mixed.transpose(1, 2).reshape(x.shape)

    (site,) = hinged.sites(Rearranged(nn.Linear(SIZE, SIZE), attention), ROWS)
    assert (site.axis, site.channels) == (-1, SIZE)


def test_an_unknown_axis_gives_one_curve_and_a_note():
    model = Rearranged(nn.Identity(), lambda x: x)
    (site,) = hinged.sites(model, MAPS)
    assert (site.axis, site.channels) == (None, 1) and "not known" in site.note
    before = model(MAPS)
    hinged.convert(model, MAPS)
    assert torch.equal(model(MAPS), before)


def test_channels_on_two_axes_get_one_curve():
    model = Rearranged(conv(), lambda x: x.view(SIZE, 2, 3, SIZE, SIZE))
    (site,) = hinged.sites(model, MAPS)
    assert (site.axis, site.channels) == (None, 1)


def test_the_number_of_channels_is_right_if_the_sizes_differ():
    model = nn.Sequential(nn.Conv2d(3, 5, 1), nn.ReLU(), nn.Flatten(), nn.Linear(20, 7), nn.ReLU())
    sites = hinged.sites(model, torch.randn(4, 3, 2, 2))
    assert [(site.channels, site.axis) for site in sites] == [(5, 1), (7, -1)]


BY_NAME = {
    "flatten": lambda x: torch.flatten(input=x, start_dim=2),
    "permute": lambda x: torch.permute(input=x, dims=(0, 1, 3, 2)),
    "chunk": lambda x: torch.chunk(input=x, chunks=2, dim=2)[0],
    "mean": lambda x: torch.mean(input=x, dim=3),
}


@pytest.mark.parametrize("kind", BY_NAME)
def test_the_axis_after_functions_that_get_their_input_by_name(kind):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 3)

        def forward(self, x):
            return torch.relu(BY_NAME[kind](self.conv(x)))

    [site] = hinged.sites(Model(), torch.randn(2, 3, 8, 8))
    assert (site.axis, site.channels, site.skipped) == (1, 5, "")
