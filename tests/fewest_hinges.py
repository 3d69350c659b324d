"""The fewest hinges within a tolerance, found by trying every choice."""

import itertools

import numpy as np
import scipy.optimize


def hats(chosen, hinges):
    return np.stack(
        [np.interp(hinges, hinges[list(chosen)], row) for row in np.eye(len(chosen))], 1
    )


def least_error(hinges, values, chosen):
    """Return the least largest error of any values at the chosen hinges, by a linear programme."""
    basis = hats(chosen, hinges)
    ones = np.ones((len(hinges), 1))
    bounds = np.block([[basis, -ones], [-basis, -ones]])
    cost = np.r_[np.zeros(len(chosen)), 1.0]
    limits = np.r_[values, -values]
    found = scipy.optimize.linprog(cost, bounds, limits, bounds=(None, None))
    assert found.status == 0
    return found.x[-1]


def fewest_hinges(hinges, values, tolerance):
    """Return how many of the hinges, first and last included, a curve needs within a tolerance."""
    inner = range(1, len(hinges) - 1)
    for count in range(len(hinges) - 1):
        for between in itertools.combinations(inner, count):
            if least_error(hinges, values, (0, *between, len(hinges) - 1)) <= tolerance:
                return count + 2
    raise AssertionError("the curve itself is within any tolerance")
