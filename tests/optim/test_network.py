import numpy as np
import pytest
import torch
from torch import nn

from hinged.nn import PiecewiseLinear
from hinged.optim import MLP, net_control


def arrays(*tensors):
    return [tensor.detach().numpy() for tensor in tensors]


def test_the_network_is_one_hidden_layer_beside_a_bypass():
    network = MLP(3, 4, 2, PiecewiseLinear(4))
    x = torch.randn(6, 3, dtype=torch.float64)
    state = dict(zip(network.state_dict(), arrays(*network.parameters()), strict=False))
    w, b = arrays(network.hidden.weight, network.hidden.bias)
    out, c, around = arrays(network.output.weight, network.output.bias, network.bypass.weight)
    expected = np.maximum(x.numpy() @ w.T + b, 0) @ out.T + c + x.numpy() @ around.T
    np.testing.assert_allclose(network(x).detach().numpy(), expected, rtol=1e-12)
    assert len(state) == 6


def test_moving_adds_to_every_weight_once():
    network = MLP(3, 4, 2, nn.ReLU())
    before = [p.clone() for p in network.parameters()]
    network.add_to_weights(torch.arange(16.0).view(4, 4), torch.arange(16.0).view(2, 8))
    steps = [now - old for now, old in zip(network.parameters(), before, strict=True)]
    hidden, bias, output, constant, bypass = (step.detach().round().tolist() for step in steps)
    assert hidden == [[0, 1, 2], [4, 5, 6], [8, 9, 10], [12, 13, 14]] and bias == [3, 7, 11, 15]
    assert bypass == [[0, 1, 2], [8, 9, 10]] and constant == [7, 15]
    assert output == [[3, 4, 5, 6], [11, 12, 13, 14]]


@pytest.mark.parametrize("mean, std", [(0.5, 1.0), (-2.0, 0.1)])
def test_net_control_sets_mean_and_deviation_and_keeps_directions(mean, std):
    x = 7 + 3 * torch.randn(50, 3, dtype=torch.float64)
    network = MLP(3, 4, 1, nn.ReLU())
    before = nn.functional.normalize(network.hidden.weight.detach().clone())
    net_control(network, x, mean, std)
    nets = network.hidden(x).detach().numpy()
    np.testing.assert_allclose(nets.mean(axis=0), np.full(4, mean), rtol=1e-9)
    np.testing.assert_allclose(nets.std(axis=0), np.full(4, std), rtol=1e-9)
    torch.testing.assert_close(nn.functional.normalize(network.hidden.weight.detach()), before)


def test_net_control_only_shifts_a_net_without_spread():
    network = MLP(2, 1, 1, nn.ReLU())
    nn.init.zeros_(network.hidden.weight)
    net_control(network, torch.randn(9, 2, dtype=torch.float64))
    assert network.hidden.bias.item() == 0.5 and not network.hidden.weight.any()
