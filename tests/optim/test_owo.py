import numpy as np
import pytest
import torch
from torch import nn

from hinged.optim import owo
from hinged.optim.mean_error import mean_error
from hinged.optim.owo import rank_deficiency


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


@pytest.mark.parametrize("size", [7, 60])
def test_directions_that_the_samples_do_not_determine_are_counted(problem, size):
    network, x, y = problem(nn.ReLU(), inputs=6)
    counts = []
    for change in ("nothing", "dead unit", "equal units", "constant feature", "equal features"):
        with torch.no_grad():
            if change == "dead unit":
                network.hidden.bias[0] = -100
            if change == "equal units":
                network.hidden.weight[2] = network.hidden.weight[1]
                network.hidden.bias[2] = network.hidden.bias[1]
        if change == "constant feature":
            x[:, 3] = 1e-3
        if change == "equal features":
            x[:, 4] = 1e6 * x[:, 5]
        batches = list(zip(x.split(size), y.split(size), strict=True))
        counts.append(rank_deficiency(network, batches))
    assert counts == [0, 1, 2, 3, 4]
