import pytest
import torch
from torch import nn

from hinged.optim.backtracking import backtracking_step
from hinged.optim.forward_pass import forward_pass
from hinged.optim.mean_error import mean_error


def test_a_step_that_is_too_long_is_halved_until_the_error_falls(problem):
    network, x, y = problem(nn.Tanh())
    now = forward_pass(network, x, y)
    before = network.hidden.weight.detach().clone()
    assert backtracking_step(network, x, y, now.error, 1000 * now.gradient)
    assert mean_error(network, x, y) < now.error
    share = (network.hidden.weight.detach() - before) / (1000 * now.gradient[:, :-1])
    torch.testing.assert_close(share, share[0, 0].expand_as(share), rtol=1e-6, atol=0)
    assert share[0, 0].log2().item() == pytest.approx(round(share[0, 0].log2().item()), abs=1e-6)


def test_a_step_uphill_is_not_taken(problem):
    network, x, y = problem(nn.Tanh())
    now = forward_pass(network, x, y)
    before = [p.detach().clone() for p in network.parameters()]
    assert not backtracking_step(network, x, y, now.error, -now.gradient, -now.output_gradient)
    for parameter, old in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), old, rtol=1e-12, atol=1e-12)
