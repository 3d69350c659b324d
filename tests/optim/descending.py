"""Follows a method of `hinged.optim` step by step."""

from hinged.optim.train import mean_error


def errors_along(method, network, x, y, steps):
    """Return the error before the first step and after each of at most so many."""
    errors = [mean_error(network, x, y)]
    for _, _ in zip(range(steps), method(network, x, y), strict=False):
        errors.append(mean_error(network, x, y))
    return errors
