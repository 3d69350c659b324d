"""Tests of the counts of multiplications, by trainings with numbers that count them.

The trainings here are written from the formulas. They end with the same networks as `hinged.optim`.
"""

import importlib
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from hinged import PiecewiseLinear, optim

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
ROWS, FEATURES, HIDDEN, OUTPUTS, HINGES = 40, 4, 3, 2, 7


class Counted:
    """A number that counts the multiplications of all such numbers."""

    count = 0

    def __init__(self, value):
        self.value = float(value)

    def __mul__(self, other):
        if isinstance(other, np.ndarray):
            return NotImplemented  # NumPy then multiplies each entry.
        Counted.count += 1
        return Counted(self.value * other.value)

    def __add__(self, other):
        return Counted(self.value + other.value)

    def __sub__(self, other):
        return Counted(self.value - other.value)


counted = np.vectorize(Counted, otypes=[object])
floats = np.vectorize(lambda each: each.value, otypes=[float])


def lower(multiply, size):
    """Return a symmetric matrix whose entries `multiply(i, j)` are computed for `j <= i` only."""
    result = np.empty((size, size), dtype=object)
    for i in range(size):
        for j in range(i + 1):
            result[i, j] = result[j, i] = multiply(i, j)
    return result


def squared(a):
    """Return `a.T @ a`."""
    return lower(lambda i, j: a[:, i] @ a[:, j], a.shape[1])


class Training:
    """A training of a network, with the numbers of one forward pass.

    Attributes:
        spared: multiplications that the laboratory's formula for least squares has beyond these.
    """

    def __init__(self, network, x, y):
        self.network = network
        self.x = counted(np.hstack((x.numpy(), np.ones((len(x), 1)))))
        self.squared_x = squared(self.x)
        self.y = counted(y.numpy())
        hidden, output, bypass = network.hidden, network.output, network.bypass
        self.hidden = counted(torch.cat((hidden.weight, hidden.bias[:, None]), 1).detach().numpy())
        parts = (bypass.weight, output.weight, output.bias[:, None])
        self.output = counted(torch.cat(parts, dim=1).detach().numpy())
        self.direction, self.energy = counted(np.zeros(self.all_weights.shape)), math.inf
        self.after_step()
        Counted.count = self.spared = 0

    @property
    def weights(self):
        return self.output[:, FEATURES:-1]

    @property
    def all_weights(self):
        return np.concatenate((self.hidden.ravel(), self.output.ravel()))

    def activate(self):
        """Compute the activations, each of which counts as one multiplication."""
        Counted.count += ROWS * HIDDEN
        with torch.no_grad():
            found = self.network.activation(torch.from_numpy(floats(self.nets)))
        self.basis = np.hstack((self.x[:, :-1], counted(found.numpy()), self.x[:, -1:]))

    def slopes(self):
        """Return the slopes of the activations, each of which counts as one multiplication."""
        Counted.count += ROWS * HIDDEN
        nets = torch.from_numpy(floats(self.nets)).requires_grad_()
        (found,) = torch.autograd.grad(self.network.activation(nets).sum(), nets)
        return counted(found.numpy())

    def compute_errors(self):
        self.errors = self.y - self.basis @ self.output.T

    def after_step(self):
        self.nets = self.x @ self.hidden.T
        self.activate()
        self.compute_errors()
        return (self.errors * self.errors).sum()

    def solve(self, matrix, right):
        """Solve `matrix @ result = right` for a symmetric matrix, by the Schmidt procedure."""
        size = len(matrix)
        self.spared += size * (size + 2)
        combinations, result = [], counted(np.zeros(right.shape))
        for k in range(size):
            products = [a @ matrix[: len(a), k] for a in combinations]
            new = counted(np.eye(k + 1)[k])
            for product, a in zip(products, combinations, strict=True):
                new[: len(a)] -= product * a
            energy = matrix[k, k]
            for product in products:
                energy = energy - product * product
            new = Counted(1 / math.sqrt(energy.value)) * new
            combinations.append(new)
            result[: k + 1] += new[:, None] * (new @ right[: k + 1])
        return result

    def solve_output_weights(self):
        self.output = self.solve(squared(self.basis), self.basis.T @ self.y).T
        self.compute_errors()

    def gradient(self):
        """Compute the gradient of the hidden weights, up to a constant factor, and its parts."""
        self.back, self.slope = self.errors @ self.weights, self.slopes()
        return (self.slope * self.back).T @ self.x

    def change(self, direction):
        return self.slope * (self.x @ direction.T)

    def step_length(self, change):
        above, below = (self.errors * change).sum(), (change * change).sum()
        return Counted(above.value / below.value)

    def owo_bp(self):
        gradient = self.gradient()
        length = self.step_length(self.change(gradient) @ self.weights.T)
        self.hidden = self.hidden + length * gradient
        self.after_step()
        self.solve_output_weights()

    def owo_molf(self):
        direction = self.solve(self.squared_x, self.gradient().T).T
        change = self.change(direction)
        parts = squared(change), squared(self.weights)
        hessian = lower(lambda i, j: parts[0][i, j] * parts[1][i, j], HIDDEN)
        lengths = self.solve(hessian, (change * self.back).sum(axis=0)[:, None])
        self.hidden = self.hidden + lengths * direction
        self.after_step()
        self.solve_output_weights()
        if isinstance(self.network.activation, PiecewiseLinear):
            self.curve_step()
            self.activate()
            self.solve_output_weights()

    def curve_step(self):
        hinges = self.network.activation.hinges.numpy()
        back = self.errors @ self.weights
        first = np.clip(np.searchsorted(hinges, floats(self.nets)) - 1, 0, HINGES - 2)
        per_step = counted(1 / np.diff(hinges))
        place = per_step[first] * (self.nets - counted(hinges)[first])
        weights = counted(np.ones(place.shape)) - place, place
        gradient, units = counted(np.zeros((HIDDEN, HINGES))), np.arange(HIDDEN)
        for weight, hinge in zip(weights, (first, first + 1), strict=True):
            np.add.at(gradient, (units, hinge), weight * back)
        change = weights[0] * gradient[units, first] + weights[1] * gradient[units, first + 1]
        length = self.step_length(change @ self.weights.T)
        with torch.no_grad():
            step = torch.from_numpy(floats(length * gradient))
            self.network.activation.values.add_(step)

    def cg(self):
        gradient = np.concatenate((self.gradient().ravel(), (self.errors.T @ self.basis).ravel()))
        old, self.energy = self.energy, (gradient * gradient).sum().value
        self.direction = gradient + Counted(self.energy / old) * self.direction
        hidden, output = self.split(self.direction)
        change = self.change(hidden) @ self.weights.T + self.basis @ output.T
        self.add(self.step_length(change) * self.direction)

    def lm(self):
        gradient = np.concatenate((self.gradient().ravel(), (self.errors.T @ self.basis).ravel()))
        v = (self.slope[:, :, None] * self.x[:, None, :]).reshape(ROWS, -1)
        sums, products, width = squared(v), squared(self.weights), FEATURES + 1
        hidden = lower(lambda i, j: sums[i, j] * products[i // width, j // width], v.shape[1])
        cross = (v.T @ self.basis).reshape(HIDDEN, width, 1, -1)
        cross = (cross * self.weights.T[:, None, :, None]).reshape(len(hidden), -1)
        output = np.kron(np.eye(OUTPUTS), floats(squared(self.basis)))
        h = np.block([[floats(hidden), floats(cross)], [floats(cross).T, output]])
        damped = h + 1e-3 * np.diag(h).mean() * np.eye(len(h))
        self.add(self.solve(counted(damped), gradient[:, None])[:, 0])

    def split(self, weights):
        hidden, output = np.split(weights, [self.hidden.size])
        return hidden.reshape(self.hidden.shape), output.reshape(self.output.shape)

    def add(self, step):
        hidden, output = self.split(step)
        self.hidden, self.output = self.hidden + hidden, self.output + output
        self.after_step()


@pytest.fixture
def multiplies(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("feedforward_multiplies")


def start(activation):
    """Return a network after least squares for its output weights, its inputs and its targets.

    With this seed, all methods take their first steps without halvings or more damping.
    """
    torch.manual_seed(2)
    x = torch.randn(ROWS, FEATURES, dtype=torch.float64)
    y = torch.stack(((2 * x[:, 0]).sin(), x[:, 0] * x[:, 1]), dim=1)
    network = optim.MLP(FEATURES, HIDDEN, OUTPUTS, activation)
    optim.net_control(network, x)
    optim.owo(network, x, y)
    return network, x, y


@pytest.mark.parametrize(
    ("method", "adaptive", "iterations"),
    [
        ("owo-bp", False, 1),
        ("owo-molf", False, 1),
        ("owo-molf", True, 2),
        ("cg", False, 3),
        ("lm", False, 1),
    ],
)
def test_the_count_is_that_of_a_training_with_the_same_result(
    multiplies, method, adaptive, iterations
):
    def activation():
        if adaptive:
            return PiecewiseLinear(HIDDEN, HINGES, init="sigmoid")
        return torch.nn.Sigmoid()

    training = Training(*start(activation()))
    for _ in range(iterations):
        getattr(training, method.replace("-", "_"))()
    sizes = multiplies.Sizes(ROWS, FEATURES, HIDDEN, OUTPUTS, HINGES * adaptive)
    assert Counted.count + training.spared == iterations * multiplies.ITERATIONS[method](sizes)

    network, x, y = start(activation())
    result = optim.fit(network, x, y, method, epochs=iterations)
    expected = Training(network, x, y)
    np.testing.assert_allclose(floats(training.all_weights), floats(expected.all_weights), 1e-6)
    assert (floats(training.errors) ** 2).sum() / ROWS == pytest.approx(result.error[-1])


def test_least_squares_by_the_schmidt_procedure_need_a_little_less_than_the_formula(multiplies):
    random = np.random.default_rng(0)
    a, b = random.normal(size=(20, 4)), random.normal(size=(20, 3))
    training = Training(*start(torch.nn.ReLU()))
    found = training.solve(counted(a.T @ a), counted(a.T @ b))
    np.testing.assert_allclose(floats(found), np.linalg.lstsq(a, b, rcond=None)[0])
    assert Counted.count == sum(k * k + k - 1 + 2 * k * 3 for k in range(1, 5))
    assert multiplies.orthogonal_least_squares(4, 3) == Counted.count + 4 * 6 == 120


def test_levenberg_marquardt_grows_fastest(multiplies):
    small, large = (multiplies.Sizes(1000, 8, hidden, 7) for hidden in (27, 54))
    growth = {name: count(large) / count(small) for name, count in multiplies.ITERATIONS.items()}
    assert max(growth, key=growth.get) == "lm" and growth["lm"] > 3
    assert growth["cg"] < 2
