import numpy as np
import torch

from hinged.lab.networks.published_activations import AdaptivePiecewiseLinearUnit, WrappedActivation


def test_apl_units_equal_their_formula():
    layer = AdaptivePiecewiseLinearUnit(3, torch.tensor([-1.0, 0.5]))
    slopes, places = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32)
    layer.slopes.data, layer.positions.data = torch.tensor(slopes), torch.tensor(places)
    x = torch.randn(4, 3, 5, 2, dtype=torch.float64)
    expected = np.maximum(x.numpy(), 0)
    for channel in range(3):
        for slope, place in zip(slopes[channel], places[channel], strict=True):
            expected[:, channel] += slope * np.maximum(place - x[:, channel].numpy(), 0)
    np.testing.assert_allclose(layer.double()(x).detach(), expected, rtol=1e-12, atol=1e-12)
    assert layer(x[:, :, 0, 0]).shape == (4, 3)


def test_apl_units_start_as_relu_with_nonzero_gradients():
    layer, x = AdaptivePiecewiseLinearUnit(3, torch.tensor([-1.0, 1.0])), torch.randn(8, 3)
    assert torch.equal(layer(x), x.relu())
    layer(x).square().sum().backward()
    assert layer.slopes.grad.abs().sum() > 0


def test_channels_on_another_axis_are_moved():
    inner = AdaptivePiecewiseLinearUnit(3, torch.tensor([-1.0, 1.0]))
    torch.nn.init.normal_(inner.slopes)
    x = torch.randn(2, 5, 3)
    moved = WrappedActivation(inner, dim=-1)(x)
    assert torch.equal(moved, inner(x.movedim(-1, 1)).movedim(1, -1))
    assert torch.equal(WrappedActivation(inner, dim=-2)(x.movedim(-1, 1)), inner(x.movedim(-1, 1)))
