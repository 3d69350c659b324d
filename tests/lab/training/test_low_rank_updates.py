import numpy as np
import pytest
import torch
from torch import nn

from hinged import PiecewiseLinear
from hinged.lab.training.low_rank_updates import add_low_rank_updates, merge_low_rank_updates


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, groups=2, bias=False),
        nn.BatchNorm2d(6),
        PiecewiseLinear(6),
        nn.Flatten(),
        nn.Linear(6 * 4, 5),
        nn.PReLU(5),
        nn.Linear(5, 2),
    ).eval()


def with_random_updates(rank):
    model = add_low_rank_updates(network(), rank, ["6"], seed=3)
    for name, parameter in model.named_parameters():
        if name.endswith(".b"):
            nn.init.normal_(parameter)
    return model


def test_the_function_is_unchanged_at_the_start():
    x, plain = torch.randn(7, 4, 6, 6), network()
    adapted = add_low_rank_updates(network(), 1, ["6"], seed=3)
    assert torch.equal(adapted(x), plain(x))
    adapted(x).square().sum().backward()
    assert all(
        p.grad.abs().sum() > 0 for name, p in adapted.named_parameters() if name.endswith(".b")
    )


def test_convolutions_and_linear_layers_outside_the_head_get_updates():
    names = {n for n, _ in add_low_rank_updates(network(), 2, ["6"], 3).named_parameters()}
    added = {f"{layer}.parametrizations.weight.0.{part}" for layer in (0, 4) for part in "ab"}
    assert {name for name in names if name[-1] in "ab" and "parametrizations" in name} == added
    shapes = {n: tuple(p.shape) for n, p in with_random_updates(2).named_parameters()}
    assert shapes["0.parametrizations.weight.0.a"] == (2, 2 * 3 * 3)
    assert shapes["0.parametrizations.weight.0.b"] == (6, 2)
    assert shapes["4.parametrizations.weight.0.a"] == (2, 24)


@pytest.mark.parametrize("rank", [1, 3])
def test_the_update_of_a_weight_has_the_rank(rank):
    before, after = network(), merge_low_rank_updates(with_random_updates(rank))
    for layer, at_most in ((0, 6), (4, 5)):
        update = (after[layer].weight - before[layer].weight).detach().flatten(1).numpy()
        assert np.linalg.matrix_rank(update, tol=1e-5) == min(rank, at_most)


def test_merging_keeps_the_function_and_gives_back_the_names():
    x, adapted = torch.randn(7, 4, 6, 6), with_random_updates(1)
    y = adapted(x)
    merged = merge_low_rank_updates(adapted)
    assert torch.equal(merged(x), y) and not torch.equal(y, network()(x))
    assert merged.state_dict().keys() == network().state_dict().keys()
    assert type(merged[0]) is nn.Conv2d


def test_the_random_numbers_depend_on_the_seed_only():
    torch.manual_seed(1)
    first, same = (add_low_rank_updates(network(), 1, ["6"], seed=3) for _ in range(2))
    other = add_low_rank_updates(network(), 1, ["6"], seed=4)
    a = "0.parametrizations.weight.0.a"
    assert torch.equal(first.get_parameter(a), same.get_parameter(a))
    assert not torch.equal(first.get_parameter(a), other.get_parameter(a))
