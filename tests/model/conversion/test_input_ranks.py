"""Converted models that get inputs with another number of axes than `convert` has seen."""

import pytest
import torch
from torch import nn

import hinged

SIZE = 8  # The number of channels and the sizes of the other axes are equal.


def network(convolution):
    return nn.Sequential(convolution(3, SIZE, 3, padding=1), nn.ReLU(), convolution(SIZE, 2, 3))


def with_different_curves(model):
    for layer in model.modules():
        if isinstance(layer, hinged.PiecewiseLinear):
            nn.init.normal_(layer.values)
    return model


CONVOLUTIONS = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3, nn.ConvTranspose2d: 2}


@pytest.mark.parametrize("with_batch", [True, False])
@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_inputs_with_and_without_a_batch_have_the_same_curves(convolution, with_batch):
    x = torch.randn(SIZE, 3, *[SIZE] * CONVOLUTIONS[convolution])
    model = network(convolution)
    with_different_curves(hinged.convert(model, x if with_batch else x[0]))
    assert model[1].channels == SIZE
    alone = torch.stack([model(each) for each in x])
    torch.testing.assert_close(model(x), alone)
    torch.testing.assert_close(torch.vmap(model)(x), alone)


def test_batches_of_both_kinds_give_one_curve_for_each_channel():
    x = torch.randn(SIZE, 3, SIZE, SIZE)
    model = hinged.convert(network(nn.Conv2d), [x, x[0]])
    assert model[1].channels == SIZE


def test_channels_on_axis_1_are_known_when_a_curve_becomes_a_prelu():
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.PReLU(2), nn.Flatten())
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([0.25, 0.5]))
    x = torch.randn(4, 3, 5, 5)
    expected = model(x)
    hinged.convert(model, x)
    assert hinged.to_native(model).replaced == {"1": "prelu"}
    torch.testing.assert_close(model(x), expected)
