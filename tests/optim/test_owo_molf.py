import numpy as np
import pytest
import torch
from torch import nn

from hinged.optim import owo, owo_molf
from hinged.optim.forward_pass import forward_pass
from hinged.optim.mean_error import mean_error
from hinged.optim.owo_molf import hidden_weight_direction, learning_factor_model


@pytest.mark.parametrize("activation", [None, nn.Tanh(), nn.ReLU()], ids=str)
def test_the_quadratic_model_is_autograds(problem, activation):
    """H is J^T J and g is J^T e, of the outputs' Jacobian in the learning factors."""
    network, x, y = problem(activation)
    now = forward_pass(network, x, y)
    direction = now.gradient

    def outputs(z):
        weight = network.hidden.weight + z[:, None] * direction[:, :-1]
        nets = x @ weight.T + network.hidden.bias + z * direction[:, -1]
        return network.output(network.activation(nets)) + network.bypass(x)

    jacobian = torch.autograd.functional.jacobian(outputs, x.new_zeros(5)).flatten(0, 1)
    h, g = learning_factor_model(now, direction)
    torch.testing.assert_close(h, 2 / len(x) * jacobian.T @ jacobian)
    torch.testing.assert_close(g, 2 / len(x) * jacobian.T @ now.errors.flatten())


def test_the_whitened_direction_solves_its_equations(problem):
    network, x, y = problem()
    now = forward_pass(network, x, y)
    inputs = now.inputs.numpy()
    autocorrelation = inputs.T @ inputs / len(inputs)
    expected = np.linalg.solve(autocorrelation, now.gradient.numpy().T).T
    np.testing.assert_allclose(hidden_weight_direction([now]).numpy(), expected, rtol=1e-9)


def test_an_input_that_repeats_another_is_no_fault(problem):
    network, x, y = problem(inputs=3)
    x = torch.cat((x[:, :2], x[:, :1]), dim=1)
    for _, _ in zip(range(5), owo_molf(network, x, y), strict=False):
        assert all(p.isfinite().all() for p in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("whiten", [False, True])
def test_it_learns_more_than_output_weights_alone(problem, whiten):
    network, x, y = problem(patterns=300)
    owo(network, x, y)
    start = mean_error(network, x, y)
    for _, _ in zip(range(30), owo_molf(network, x, y, whiten=whiten), strict=False):
        pass
    assert mean_error(network, x, y) < 0.5 * start


def test_with_trained_curves_every_iteration_changes_them(problem):
    network, x, y = problem()
    values = network.activation.values
    steps = owo_molf(network, x, y)
    for _ in range(3):
        before = values.detach().clone()
        next(steps)
        assert not torch.equal(before, values.detach())
