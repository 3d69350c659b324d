"""The smallest number of hinges that approximates a curve, found by testing all subsets."""

import itertools

import numpy as np
import scipy.optimize


def hats(chosen, hinges):
    return np.stack(
        [np.interp(hinges, hinges[list(chosen)], row) for row in np.eye(len(chosen))], 1
    )


def least_error(hinges, values, chosen):
    """Return the smallest possible error of a curve with a subset of the hinges.

    The error is the largest absolute difference at all hinges. A linear programme minimises it over
    the values at the chosen hinges.

    Args:
        hinges: the positions of all hinges `(K,)`.
        values: the values of the curve at all hinges `(K,)`.
        chosen: the indices of the chosen hinges.
    """
    basis = hats(chosen, hinges)
    ones = np.ones((len(hinges), 1))
    bounds = np.block([[basis, -ones], [-basis, -ones]])
    cost = np.r_[np.zeros(len(chosen)), 1.0]
    limits = np.r_[values, -values]
    found = scipy.optimize.linprog(cost, bounds, limits, bounds=(None, None))
    assert found.status == 0
    return found.x[-1]


def fewest_hinges(hinges, values, tolerance):
    """Return the smallest number of hinges with which the error is at most `tolerance`.

    The first and the last hinge are always kept and count.
    """
    inner = range(1, len(hinges) - 1)
    for count in range(len(hinges) - 1):
        for between in itertools.combinations(inner, count):
            if least_error(hinges, values, (0, *between, len(hinges) - 1)) <= tolerance:
                return count + 2
    raise AssertionError("the curve with all hinges has error 0")
