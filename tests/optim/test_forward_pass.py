"""Autograd is the oracle of every derivative that is written by hand."""

import pytest
import torch
from torch import nn

from hinged.optim.forward_pass import forward_pass, optimal_learning_factor

ACTIVATIONS = [None, nn.Tanh(), nn.ReLU(), nn.GELU()]


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_gradients_are_those_of_autograd(problem, activation):
    network, x, y = problem(activation)
    now = forward_pass(network, x, y)
    error = (y - network(x)).square().sum() / len(x)
    error.backward()
    assert now.error == pytest.approx(error.item(), rel=1e-12)
    hidden = torch.cat((network.hidden.weight.grad, network.hidden.bias.grad[:, None]), dim=1)
    torch.testing.assert_close(now.gradient, -hidden)
    output = (network.bypass.weight.grad, network.output.weight.grad, network.output.bias.grad)
    torch.testing.assert_close(
        now.output_gradient, -torch.cat((*output[:2], output[2][:, None]), dim=1)
    )


def test_what_changes_along_a_direction_is_a_derivative(problem):
    network, x, y = problem(nn.Tanh())
    direction = torch.randn(5, 4, dtype=torch.float64)

    def units(z):
        weight = network.hidden.weight + z * direction[:, :-1]
        return (x @ weight.T + network.hidden.bias + z * direction[:, -1]).tanh()

    at_0 = torch.zeros((), dtype=torch.float64)
    expected = torch.autograd.functional.jacobian(units, at_0)
    torch.testing.assert_close(forward_pass(network, x, y).hidden_change(direction), expected)


def test_the_optimal_factor_is_least_on_a_dense_line():
    generator = torch.Generator().manual_seed(1)
    errors, change = torch.randn(2, 30, 2, dtype=torch.float64, generator=generator)
    change += 0.3 * errors
    z = torch.linspace(-3, 3, 60_001, dtype=torch.float64)[:, None, None]
    line = (errors - z * change).square().sum(dim=(1, 2))
    descent = 2 * (errors * change).sum().item() / len(errors)
    assert optimal_learning_factor(descent, change.split(7)) == pytest.approx(
        z[line.argmin()].item(), abs=1e-4
    )


def test_nothing_to_move_is_a_factor_of_0():
    assert optimal_learning_factor(0.0, [torch.zeros(2, 1)]) == 0.0
