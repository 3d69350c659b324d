import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import nn

from hinged.optim import conjugate_gradient
from hinged.optim.conjugate_gradient import output_change
from hinged.optim.forward_pass import forward_pass
from hinged.optim.mean_error import mean_error
from tests.optim.error_history import errors_per_iteration


def test_what_changes_along_a_direction_is_a_derivative(problem):
    network, x, y = problem(nn.Tanh())
    hidden = torch.randn(5, 4, dtype=torch.float64)
    output = torch.randn(2, 9, dtype=torch.float64)
    found = output_change(forward_pass(network, x, y), (hidden, output))
    size = 1e-6
    network.add_to_weights(size * hidden, size * output)
    after = network(x).detach()
    network.add_to_weights(-2 * size * hidden, -2 * size * output)
    torch.testing.assert_close(
        found, (after - network(x).detach()) / (2 * size), rtol=1e-6, atol=1e-7
    )


@pytest.mark.slow
@pytest.mark.parametrize("trained", [False, True])
def test_the_error_never_rises(problem, trained):
    network, x, y = problem()
    network.activation.requires_grad_(trained)
    errors = errors_per_iteration(conjugate_gradient, network, x, y, 60)
    assert all(after <= before for before, after in itertools.pairwise(errors))
    assert errors[-1] < 0.5 * errors[0]


@pytest.mark.slow
def test_of_a_linear_network_it_finds_the_least_error_in_as_many_steps_as_weights(problem):
    """With frozen hidden units the error is quadratic, where the method is exact."""
    network, x, y = problem(nn.Identity(), hidden=1)
    with torch.no_grad():
        network.output.weight.zero_()  # So that hidden weights have no gradient at the start.
    basis = torch.cat((x, torch.ones(len(x), 1, dtype=torch.float64)), dim=1).numpy()

    def error(flat):
        return ((y.numpy() - basis @ flat.reshape(4, 2)) ** 2).sum() / len(x)

    least = minimize(error, np.zeros(8), method="BFGS").fun
    for _, _ in zip(range(60), conjugate_gradient(network, x, y), strict=False):
        pass
    assert mean_error(network, x, y) == pytest.approx(least, rel=1e-3)
