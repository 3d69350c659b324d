import numpy as np
import pytest
import torch
from torch import nn

from hinged.optim import curve_step, has_trainable_curves, owo
from hinged.optim.mean_error import mean_error
from tests.oracles import per_channel


def moved(network, x, y):
    """The values before and after a step, and its factor."""
    before = network.activation.values.detach().clone()
    factor = curve_step(network, x, y)
    return before, network.activation.values.detach(), factor


@pytest.mark.parametrize("tails", ["linear", "constant"])
def test_the_step_is_the_best_on_a_dense_line(problem, tails):
    network, x, y = problem(tails=tails)
    nets, hinges = network.hidden(x).detach(), network.activation.hinges
    before, after, factor = moved(network, x, y)
    direction = (after - before) / factor
    around = network.bypass(x).detach() + network.output.bias.detach()

    def error(z):
        hidden = per_channel(nets, hinges, before + z * direction, 1, tails)
        return (y - hidden @ network.output.weight.detach().T - around).square().sum().item()

    line = factor * np.linspace(0, 3, 301)
    assert line[np.argmin([error(z) for z in line])] == pytest.approx(factor, rel=0.011)


def test_the_direction_is_the_gradient_written_out(problem):
    """g(k, m) = 2/P sum_p sum_i (t - y) w_oh(i, k) (w1 where m is the left hinge, w2 the right)."""
    network, x, y = problem(tails="constant")
    nets, errors = network.hidden(x).detach().numpy(), (y - network(x)).detach().numpy()
    hinges, weights = network.activation.hinges.numpy(), network.output.weight.detach().numpy()
    expected = np.zeros((5, 7))
    for p, k in np.ndindex(*nets.shape):
        share = errors[p] @ weights[:, k] * 2 / len(x)
        place = np.interp(nets[p, k], hinges, np.arange(7.0))
        left = min(int(place), 5)
        expected[k, left] += share * (1 - (place - left))
        expected[k, left + 1] += share * (place - left)
    before, after, factor = moved(network, x, y)
    np.testing.assert_allclose(((after - before) / factor).numpy(), expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
@pytest.mark.parametrize("seed", range(3))
def test_the_error_never_rises(problem, seed, tails):
    network, x, y = problem(seed=seed, tails=tails)
    for _ in range(10):
        owo(network, x, y)
        before = mean_error(network, x, y)
        curve_step(network, x, y)
        assert mean_error(network, x, y) < before


def test_free_tails_are_trained_too(problem):
    network, x, y = problem(tails="free")
    before = network.activation.tail_slopes.detach().clone()
    owo(network, x, y)
    curve_step(network, x, y)
    assert not torch.equal(before, network.activation.tail_slopes.detach())


def test_only_curves_that_require_gradients_are_trained(problem):
    assert has_trainable_curves(problem()[0]) and not has_trainable_curves(problem(nn.PReLU())[0])
    network = problem()[0]
    network.activation.requires_grad_(False)
    assert not has_trainable_curves(network)
