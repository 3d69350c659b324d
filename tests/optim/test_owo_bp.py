import itertools

import torch
from torch import nn

from hinged.optim import owo_bp
from hinged.optim.mean_error import mean_error


def test_the_error_falls_and_the_first_step_is_along_the_gradient(problem):
    network, x, y = problem(nn.Tanh())
    steps = owo_bp(network, x, y)
    next(steps)
    errors = [mean_error(network, x, y)]
    weight = network.hidden.weight
    (gradient,) = torch.autograd.grad((y - network(x)).square().sum(), weight)
    before = weight.detach().clone()
    for _ in range(20):
        next(steps)
        errors.append(mean_error(network, x, y))
        if len(errors) == 2:
            moved = (weight - before).detach()
            cosine = torch.nn.functional.cosine_similarity(
                moved.flatten(), -gradient.flatten(), dim=0
            )
            assert cosine > 1 - 1e-12
    assert errors[-1] < 0.8 * errors[0]
    assert all(after < before for before, after in itertools.pairwise(errors))


def test_frozen_curves_stay_and_others_move(problem):
    for trained in (False, True):
        network, x, y = problem()
        network.activation.requires_grad_(trained)
        before = network.activation.values.detach().clone()
        next(owo_bp(network, x, y))
        assert torch.equal(before, network.activation.values.detach()) is not trained
