import itertools

import pytest
import torch
from torch import nn

from hinged.optim import levenberg_marquardt
from hinged.optim.forward_pass import forward_pass
from hinged.optim.levenberg_marquardt import normal_equations
from tests.optim.error_history import errors_per_iteration


def full_jacobian(network, x):
    """Of all outputs in all weights, in the order of the method, `(P M, Q)`."""
    inputs, units = network.hidden.in_features, network.hidden.out_features

    def outputs(weights):
        hidden, output = weights.split((units * (inputs + 1), 2 * (inputs + units + 1)))
        w, v = hidden.view(units, -1), output.view(2, -1)
        o = network.activation(x @ w[:, :-1].T + w[:, -1])
        return x @ v[:, :inputs].T + o @ v[:, inputs:-1].T + v[:, -1]

    w = torch.cat((network.hidden.weight, network.hidden.bias[:, None]), dim=1)
    v = (network.bypass.weight, network.output.weight, network.output.bias[:, None])
    weights = torch.cat((w.flatten(), torch.cat(v, dim=1).flatten())).detach()
    torch.testing.assert_close(outputs(weights), network(x))
    return torch.autograd.functional.jacobian(outputs, weights).flatten(0, 1)


@pytest.mark.parametrize("activation", [None, nn.Tanh(), nn.ReLU()], ids=str)
def test_the_normal_equations_are_autograds(problem, activation):
    network, x, y = problem(activation)
    jacobian = full_jacobian(network, x)
    now = forward_pass(network, x, y)
    h, g = normal_equations(now)
    torch.testing.assert_close(h, jacobian.T @ jacobian / len(x))
    torch.testing.assert_close(g, jacobian.T @ now.errors.flatten() / len(x))


@pytest.mark.parametrize("trained", [False, True])
def test_the_error_never_rises(problem, trained):
    network, x, y = problem()
    network.activation.requires_grad_(trained)
    errors = errors_per_iteration(levenberg_marquardt, network, x, y, 30)
    assert all(after <= before for before, after in itertools.pairwise(errors))
    assert errors[-1] < 0.2 * errors[0]


def test_a_network_that_is_already_right_stays(problem):
    network, x, _ = problem()
    network.activation.requires_grad_(False)
    before = network.hidden.weight.detach().clone()
    next(levenberg_marquardt(network, x, network(x).detach()))
    assert torch.equal(before, network.hidden.weight.detach())
