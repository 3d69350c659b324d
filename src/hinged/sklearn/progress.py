"""The lines that an estimator prints while it is trained with `verbose=True`."""

from __future__ import annotations

from hinged.sklearn.training import Report


def reporter(verbose: bool | int, number: int, count: int) -> Report | None:
    """Return a function that prints a line after each iteration.

    Args:
        verbose: whether lines are printed.
        number: the number of the training, counted from 1.
        count: the number of trainings: that of networks if they are trained one after the other.

    >>> reporter(True, 1, 1)("iteration 1: loss 0.5")
    iteration 1: loss 0.5
    """
    prefix = f"network {number} of {count}, " if count > 1 else ""
    return (lambda line: print(f"{prefix}{line}", flush=True)) if verbose else None
