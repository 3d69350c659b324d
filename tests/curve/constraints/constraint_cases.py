"""Constraints to test by name, and an exact check that does not use the library."""

import numpy as np
import torch

SYMMETRIC = torch.tensor([-2.0, -1.1, -0.4, 0.4, 1.1, 2.0])

CONSTRAINTS = {
    "increasing": {"monotone": True},
    "decreasing": {"monotone": "decreasing"},
    "lipschitz": {"lipschitz": 0.7},
    "increasing, lipschitz": {"monotone": "increasing", "lipschitz": 0.1},
    "bounded": {"bounds": (-0.3, 0.4)},
    "bounded below": {"bounds": (0.1, None)},
    "bounded, lipschitz, decreasing": {
        "bounds": (-0.3, 0.4), "lipschitz": 0.2, "monotone": "decreasing",
    },
    "odd": {"odd": True},
    "odd, increasing, lipschitz, bounded": {
        "odd": True, "monotone": True, "lipschitz": 0.9, "bounds": (-0.7, 0.3),
    },
    "convex": {"convex": True},
    "concave": {"convex": "concave"},
    "convex, increasing": {"convex": True, "monotone": True},
    "convex, increasing, bounded": {"convex": True, "monotone": True, "bounds": (0.1, None)},
    "convex, lipschitz": {"convex": True, "lipschitz": 0.6},
    "concave, lipschitz, bounded": {
        "convex": "concave", "lipschitz": 0.6, "bounds": (None, 0.3),
    },
    "concave, decreasing, lipschitz": {
        "convex": "concave", "lipschitz": 0.6, "monotone": "decreasing",
    },
}  # fmt: skip


def slopes_of(curve):
    """Return all slopes in float32 (float64 for float64 values), computed by NumPy."""
    wide = np.float64 if curve.values.dtype == torch.float64 else np.float32
    hinges = curve.hinges.double().expand(curve.values.shape).numpy().astype(wide)
    inner = np.diff(curve.values.double().numpy().astype(wide)) / np.diff(hinges)
    if curve.tails == "linear":
        return np.hstack([inner[:, :1], inner, inner[:, -1:]])
    ends = np.zeros((len(inner), 2)) if curve.tails == "constant" else curve.tail_slopes.double()
    return np.hstack([ends[:, :1], inner, ends[:, 1:]])


def assert_satisfies(constraint, curve):
    """Check a curve exactly, without the library's own `satisfies`."""
    slopes, values = slopes_of(curve).astype(np.float64), curve.values.double().numpy()
    if constraint.monotone:
        assert (slopes >= 0 if constraint.monotone == "increasing" else slopes <= 0).all()
    if constraint.lipschitz:
        assert np.abs(slopes).max() <= constraint.lipschitz
    if constraint.convex:
        bends = np.diff(slopes)
        assert (bends >= 0 if constraint.convex == "convex" else bends <= 0).all()
    assert values.min() >= constraint.low and values.max() <= constraint.high
    if constraint.low > -np.inf:
        assert (slopes[:, 0] <= 0).all() and (slopes[:, -1] >= 0).all()
    if constraint.high < np.inf:
        assert (slopes[:, 0] >= 0).all() and (slopes[:, -1] <= 0).all()
    if constraint.odd:
        assert (values == -values[:, ::-1]).all() and (slopes[:, 0] == slopes[:, -1]).all()
