import numpy as np
import scipy.special
import torch

from hinged.lab.networks.published_activations import (
    AdaptivePiecewiseLinearUnit,
    CurvatureTuningUnit,
    WrappedActivation,
)


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


def test_curvature_tuning_units_equal_their_formula():
    layer = CurvatureTuningUnit(3).double()
    torch.nn.init.normal_(layer.smoothness_logits)
    torch.nn.init.normal_(layer.mixture_logits)
    x = torch.randn(4, 3, 5, 2, dtype=torch.float64)
    expected = np.empty(x.shape)
    for channel in range(3):
        b = scipy.special.expit(layer.smoothness_logits[channel].item())
        c = scipy.special.expit(layer.mixture_logits[channel].item())
        ours = x[:, channel].numpy()
        silu = ours * scipy.special.expit(b * ours / (1 - b))
        softplus = (1 - b) * np.logaddexp(0, ours / (1 - b))
        expected[:, channel] = c * silu + (1 - c) * softplus
    np.testing.assert_allclose(layer(x).detach(), expected, atol=1e-5)  # the paper adds 1e-6 to 1-b
    assert layer(x[:, :, 0, 0]).shape == (4, 3)


def test_curvature_tuning_units_start_where_the_paper_does_and_approach_relu():
    layer, x = CurvatureTuningUnit(2), torch.linspace(-5, 5, 1001).repeat(2, 1).T
    assert torch.allclose(layer.smoothness_logits.sigmoid(), torch.full((2,), 0.8))
    error = (layer(x) - x.relu()).abs()
    assert 0.06 < error.max() < 0.07
    torch.nn.init.constant_(layer.smoothness_logits, 100.0)
    y = layer(x)
    torch.testing.assert_close(y, x.relu(), rtol=0, atol=1e-6)
    y.sum().backward()
    assert all(p.grad.isfinite().all() for p in layer.parameters())
