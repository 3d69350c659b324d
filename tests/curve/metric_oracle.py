"""Moments of inputs, the metric and steps in the metric, computed by loops of NumPy in float64."""

import numpy as np

from hinged.curve.metric import FLOOR


def moments_of(x, hinges, tails="linear"):
    """Return the moments of the inputs of one channel. The weights of hinges are from
    `numpy.interp`, and those of linear tails from the equation of a line."""
    x, count = np.asarray(x, dtype=np.float64), len(hinges)
    x = x[np.isfinite(x)]
    weights = np.stack([np.interp(x, hinges, row) for row in np.eye(count)])
    if tails == "linear":
        for beyond, k in ((x < hinges[0], 0), (x > hinges[-1], count - 2)):
            t = (x[beyond] - hinges[k]) / (hinges[k + 1] - hinges[k])
            weights[k, beyond], weights[k + 1, beyond] = 1 - t, t
    sums = [(row * row).sum() for row in weights]
    sums += [(weights[k] * weights[k + 1]).sum() for k in range(count - 1)]
    return np.array([*sums, x.sum(), (x * x).sum()]) / max(len(x), 1)


def roughness_of(hinges):
    """Return the matrix of the sum of squared second differences, weighted by the mean widths."""
    count = len(hinges)
    matrix = np.zeros((count, count))
    for k in range(1, count - 1):
        left, right = hinges[k] - hinges[k - 1], hinges[k + 1] - hinges[k]
        row = np.array([1 / left, -1 / left - 1 / right, 1 / right])
        matrix[k - 1 : k + 2, k - 1 : k + 2] += np.outer(row, row) / ((left + right) / 2)
    return matrix


def scale_of(moments, hinges):
    """Return the scale of the inputs of a layer with the hinges `(C, K)`."""
    variance = np.mean([row[-1] - row[-2] ** 2 for row in moments])
    return max(np.sqrt(max(variance, 0)), np.mean(hinges[:, -1] - hinges[:, 0]) / 8)


def metric_of(moments, hinges, smoothing, scale):
    """Return the metric of one channel."""
    count = len(hinges)
    matrix = np.diag(moments[:count] + FLOOR)
    for k in range(count - 1):
        matrix[k, k + 1] = matrix[k + 1, k] = moments[count + k]
    return matrix + smoothing * scale**3 * roughness_of(hinges)


class Training:
    """The training of curves in their metric.

    Args:
        values, hinges: arrays `(C, K)`.
    """

    def __init__(self, values, hinges):
        self.values, self.hinges, self.start = values.copy(), hinges, values.copy()
        self.direction, self.size = np.zeros_like(values), np.zeros(len(values))
        self.largest = np.zeros(len(values))
        self.count = 0

    def step(self, grad, moments, rate, smoothing, decay=0.0):
        self.count += 1
        scale = scale_of(moments, self.hinges)
        for c, g in enumerate(grad):
            metric = metric_of(moments[c], self.hinges[c], smoothing, scale)
            u = np.linalg.solve(metric, g)
            self.direction[c] = 0.9 * self.direction[c] + 0.1 * u
            self.size[c] = 0.99 * self.size[c] + 0.01 * (g @ u)
            size = self.size[c] / (1 - 0.99**self.count)
            self.largest[c] = max(self.largest[c], size)
            noise = size / self.largest[c] if self.largest[c] > 0 else 1.0
            pull = min(1.0, rate * decay) * noise * (self.values[c] - self.start[c])
            self.values[c] = self.values[c] - pull
            if size > 0:
                mean = self.direction[c] / (1 - 0.9**self.count)
                self.values[c] -= rate * scale * mean / np.sqrt(size)
