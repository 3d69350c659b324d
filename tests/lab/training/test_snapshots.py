import pytest
import torch

import hinged
from hinged import PiecewiseLinear
from hinged.lab.training.snapshots import read_snapshots, snapshot_tensors


@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_learned_curves_are_those_of_the_network(tails):
    layer = PiecewiseLinear(3, tails=tails)
    torch.nn.init.normal_(layer.values)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), layer)
    x = torch.randn(250, 2)
    (site,) = read_snapshots(snapshot_tensors(model, x))
    inputs = model[0](x)
    assert site.name == "1" and torch.equal(site.curve(inputs), layer(inputs))
    inside = (inputs >= site.edges[0]) & (inputs <= site.edges[-1])
    assert site.counts.sum() == inside.sum()
    assert site.outside == pytest.approx((inputs.abs() > 3).float().mean().item())


@torch.no_grad()
def test_layers_used_twice_and_on_tokens_count_all_their_inputs():
    layer = PiecewiseLinear(2)
    tokens = torch.nn.Sequential(torch.nn.Flatten(0, 1), layer, layer)  # Samples become tokens.
    x = 4 * torch.randn(150, 6, 2)
    (site,) = read_snapshots(snapshot_tensors(tokens, x))
    inputs = torch.cat((x.flatten(0, 1), layer(x.flatten(0, 1))))
    assert site.outside == pytest.approx((inputs.abs() > 3).double().mean().item())


def test_sites_are_in_the_order_of_the_network():
    layers = [PiecewiseLinear(1) for _ in range(12)]
    tensors = snapshot_tensors(torch.nn.Sequential(*layers), torch.zeros(1, 1))
    assert [site.name for site in read_snapshots(tensors)] == [str(n) for n in range(12)]


def test_sites_of_a_converted_network_are_in_the_order_of_the_forward_pass():
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.block = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
            self.zero = PiecewiseLinear(2)

        def forward(self, x):
            return self.block(self.zero(x))

    tensors = snapshot_tensors(hinged.convert(Network(), torch.randn(9, 2)), torch.randn(9, 2))
    assert [site.name for site in read_snapshots(tensors)] == ["zero", "block.1"]
    older = {name: tensor for name, tensor in tensors.items() if not name.endswith(".place")}
    assert [site.name for site in read_snapshots(older)] == ["block.1", "zero"]
