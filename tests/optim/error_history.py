"""Runs a method of `hinged.optim` and records the error after each iteration."""

from hinged.optim.mean_error import mean_error


def errors_per_iteration(method, network, x, y, steps):
    """Return the error before the first iteration and after each of at most `steps` iterations."""
    errors = [mean_error(network, x, y)]
    for _, _ in zip(range(steps), method(network, x, y), strict=False):
        errors.append(mean_error(network, x, y))
    return errors
