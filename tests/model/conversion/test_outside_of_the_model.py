"""Tests that activations outside of the tree of modules are listed, and all others converted."""

import copy
import inspect

import pytest
import torch

import hinged
from tests.model.conversion import outside_networks as outside

ROWS = torch.randn(8, 4)
NETWORKS = [
    network
    for network in vars(outside).values()
    if inspect.isclass(network) and issubclass(network, outside.TwoLayers)
    if network is not outside.TwoLayers
]


@pytest.mark.parametrize("make", NETWORKS)
@pytest.mark.parametrize("training", [True, False])
def test_what_cannot_be_replaced_is_listed(make, training):
    model = make().train(training)
    before = model(ROWS)
    hinged.convert(model, ROWS)
    converted, skipped = hinged.sites(model).converted, hinged.sites(model).skipped
    assert "act" in [site.name for site in converted]
    assert skipped and all(site.skipped and site.source for site in skipped)
    assert torch.equal(model(ROWS), before)
    assert torch.equal(copy.deepcopy(model)(ROWS), before)
    model(ROWS).square().sum().backward()
    layers = [each for each in model.modules() if isinstance(each, hinged.PiecewiseLinear)]
    assert all(layer.values.grad.abs().sum() > 0 for layer in layers)
    assert torch.equal(hinged.revert(model)(ROWS), before)


def test_there_are_many_networks():
    assert len(NETWORKS) == 14
