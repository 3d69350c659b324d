import numpy as np
import pytest
import torch
from torch import nn

from hinged.optim import owo
from hinged.optim.fit import mean_error


@pytest.mark.parametrize("activation", [None, nn.Tanh(), nn.ReLU()], ids=str)
def test_the_weights_are_numpys(problem, activation):
    network, x, y = problem(activation)
    hidden = network.activation(network.hidden(x)).detach()
    basis = np.concatenate((x.numpy(), hidden.numpy(), np.ones((len(x), 1))), axis=1)
    expected = np.linalg.lstsq(basis, y.numpy(), rcond=None)[0].T
    owo(network, x, y)
    parts = network.bypass.weight, network.output.weight, network.output.bias[:, None]
    np.testing.assert_allclose(torch.cat(parts, dim=1).detach().numpy(), expected, rtol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_the_error_never_rises(problem, seed):
    network, x, y = problem(seed=seed)
    owo(network, x, y)
    least = mean_error(network, x, y)
    for name in ("output.weight", "output.bias", "bypass.weight"):
        weights = network.get_parameter(name)
        with torch.no_grad():
            weights += 1e-3 * torch.randn_like(weights)
        assert mean_error(network, x, y) > least
    owo(network, x, y)
    assert mean_error(network, x, y) == pytest.approx(least, rel=1e-12)


def test_units_that_are_dead_or_alike_get_weights_all_the_same(problem):
    network, x, y = problem(nn.ReLU())
    with torch.no_grad():
        network.hidden.bias[0] = -100
        network.hidden.weight[2] = network.hidden.weight[1]
        network.hidden.bias[2] = network.hidden.bias[1]
    owo(network, x, y)
    weights = network.output.weight.detach()
    assert weights[:, 0].abs().max() < 1e-9 and weights.abs().max() < 100
    torch.testing.assert_close(weights[:, 1], weights[:, 2])
