import pytest
import torch

from hinged.nn import PiecewiseLinear
from hinged.optim import MLP, net_control


@pytest.fixture
def problem():
    """Makes a network, patterns and targets that a network of its kind cannot meet."""

    def make(activation=None, patterns=60, inputs=3, hidden=5, outputs=2, seed=0, **curves):
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(patterns, inputs, dtype=torch.float64, generator=generator)
        noise = torch.randn(patterns, outputs, dtype=torch.float64, generator=generator)
        y = torch.stack([(x[:, 0] * x[:, 1]).sin(), x[:, 2].abs()], dim=1) + 0.1 * noise
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            curve = PiecewiseLinear(hidden, 7, init="silu", **curves)
            network = MLP(inputs, hidden, outputs, curve if activation is None else activation)
        net_control(network, x)
        return network, x, y

    return make
