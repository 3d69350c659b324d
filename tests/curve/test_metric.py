import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged.curve.metric import (
    MetricState,
    MetricStep,
    evenly_spread_moments,
    input_moments,
    input_scale,
    metric_matrix,
    roughness,
    take_step,
)
from tests.curve.metric_oracle import Training, metric_of, moments_of, roughness_of, scale_of

DOUBLE = torch.float64


def positions(channels, count, dtype=DOUBLE):
    """Return uneven hinges, `(count,)` if `channels` is None."""
    shape = (count,) if channels is None else (channels, count)
    return (torch.rand(shape, dtype=dtype) + 0.2).cumsum(-1) - count / 3


def rows_of(hinges, channels):
    return hinges.expand(channels, -1).double().numpy()


def state(values, moments):
    sizes = values.new_zeros(2, len(values))
    return MetricState(torch.zeros_like(values), *sizes, moments, values + 0)


@pytest.mark.parametrize("count", [2, 3, 9])
@pytest.mark.parametrize("shared", [True, False])
def test_moments_are_those_of_a_loop(count, shared):
    hinges = positions(None if shared else 3, count)
    x = 3 * torch.randn(3, 40, dtype=DOUBLE)
    x[0, :3] = torch.tensor([math.nan, math.inf, -math.inf])
    x[1, :count] = hinges.expand(3, -1)[1]  # Inputs at the hinges themselves.
    found = input_moments(x, hinges)
    for c, row in enumerate(rows_of(hinges, 3)):
        expected = moments_of(x[c].numpy(), row)
        np.testing.assert_allclose(found[c], expected, rtol=1e-12, atol=1e-14)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8, unique=True).map(sorted),
    st.lists(st.floats(-2e3, 2e3), max_size=20),
)
def test_moments_of_any_inputs_are_those_of_a_loop(hinges, x):
    if min(np.diff(hinges)) < 1e-3:
        return
    found = input_moments(
        torch.tensor([x], dtype=DOUBLE).reshape(1, -1), torch.tensor(hinges, dtype=DOUBLE)
    )
    np.testing.assert_allclose(found[0], moments_of(x, hinges), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("number", [None, math.nan, -math.inf])
def test_a_channel_without_finite_inputs_has_moments_of_zero(number):
    x = torch.zeros(2, 0) if number is None else torch.full((2, 5), number)
    assert torch.equal(input_moments(x, torch.linspace(-1, 1, 4)), torch.zeros(2, 9))


def test_moments_are_computed_in_float32_at_least():
    hinges = torch.linspace(-1, 1, 5)
    for given_dtype, expected in {torch.bfloat16: torch.float32, DOUBLE: DOUBLE}.items():
        assert input_moments(torch.randn(2, 9).to(given_dtype), hinges).dtype is expected


@pytest.mark.parametrize("count", [2, 3, 17])
def test_evenly_spread_moments_are_those_of_the_uniform_distribution(count):
    hinges = positions(2, count)
    found = evenly_spread_moments(hinges, 2)
    for c, row in enumerate(rows_of(hinges, 2)):
        ends = row[0], row[-1]
        expected = moments_of(np.linspace(*ends, 2_001), row)
        np.testing.assert_allclose(found[c], expected, rtol=0.05, atol=0.05 * abs(row).max())


def test_the_scale_is_the_deviation_or_an_eighth_of_the_range():
    hinges = torch.tensor([-2.0, 0.0, 2.0], dtype=DOUBLE)
    for spread, expected in ((3.0, 3.0), (0.01, 0.5)):
        x = spread * torch.tensor([[-1.0, 1.0], [1.0, -1.0]], dtype=DOUBLE) + 5
        moments = input_moments(x, hinges)
        assert input_scale(moments, hinges).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 4, 33])
def test_the_roughness_of_equally_spaced_hinges_is_that_of_second_differences(count):
    h = 0.3
    differences = np.diff(np.eye(count), n=2, axis=0)
    expected = differences.T @ differences / h**3
    found = roughness(h * torch.arange(count, dtype=DOUBLE) - 1)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_the_roughness_approaches_the_integral_of_the_squared_second_derivative():
    # The integral of sin(x)^2 over [0, pi] is pi / 2.
    for places in (np.linspace(0, 1, 400), np.linspace(0, 1, 400) ** 1.3):
        hinges = torch.from_numpy(math.pi * places)
        found = (hinges.sin() @ roughness(hinges) @ hinges.sin()).item()
        assert found == pytest.approx(math.pi / 2, rel=2e-2)


def test_straight_lines_have_no_roughness():
    hinges = positions(3, 7)
    lines = 2 * hinges - 3
    found = roughness(hinges) @ lines[..., None]
    torch.testing.assert_close(found, torch.zeros_like(found), rtol=0, atol=1e-10)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("count", [2, 3, 9, 257])
def test_the_metric_is_that_of_a_loop(shared, count):
    hinges = positions(None if shared else 3, count)
    moments = input_moments(5 * torch.randn(3, 50, dtype=DOUBLE), hinges)
    rows = rows_of(hinges, 3)
    scale = scale_of(moments.numpy(), rows)
    found = metric_matrix(moments, hinges, smoothing=0.3)
    for c in range(3):
        expected = metric_of(moments[c].numpy(), rows[c], 0.3, scale)
        np.testing.assert_allclose(found[c], expected, rtol=1e-11, atol=1e-11)
        np.testing.assert_allclose(roughness(hinges.expand(3, -1)[c]), roughness_of(rows[c]))
        assert np.linalg.eigvalsh(expected)[0] > 0


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("count", [2, 3, 9, 40])
def test_steps_are_those_of_a_loop(shared, count):
    hinges = positions(None if shared else 3, count)
    values = torch.randn(3, count, dtype=DOUBLE)
    oracle = Training(values.numpy(), rows_of(hinges, 3))
    moments = input_moments(3 * torch.randn(3, 60, dtype=DOUBLE), hinges)
    running = state(values, moments)
    for i in range(1, 8):
        grad = torch.randn(3, count, dtype=DOUBLE)
        rate = 0.3 / i
        take_step(values, grad, hinges, running, MetricStep(rate, 0.05, decay=0.4, count=i))
        oracle.step(grad.numpy(), moments.numpy(), rate, 0.05, decay=0.4)
    np.testing.assert_allclose(values, oracle.values, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(running.direction, oracle.direction, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(running.size, oracle.size, rtol=1e-9)
    np.testing.assert_allclose(running.largest, oracle.largest, rtol=1e-9)


def test_the_first_step_is_as_long_as_the_rate_says():
    hinges = torch.linspace(-3, 3, 9, dtype=DOUBLE)
    x = torch.randn(4, 500, dtype=DOUBLE)
    moments = input_moments(x, hinges)
    values = torch.zeros(4, 9, dtype=DOUBLE)
    grad = torch.randn(4, 9, dtype=DOUBLE) * torch.logspace(-6, 6, 4, dtype=DOUBLE)[:, None]
    take_step(values, grad, hinges, state(values, moments), MetricStep(0.02, 0.1))
    metric = metric_matrix(moments, hinges, 0.1)
    lengths = (values[:, None] @ metric @ values[..., None]).flatten().sqrt()
    expected = 0.02 * input_scale(moments, hinges)
    torch.testing.assert_close(lengths, expected.expand(4), rtol=1e-9, atol=0)


def test_channels_without_gradients_do_not_move():
    values = torch.randn(3, 5)
    before, hinges = values.clone(), torch.linspace(-1, 1, 5)
    running = state(values, input_moments(torch.randn(3, 20), hinges))
    grad = torch.randn(3, 5)
    grad[1] = 0
    for i in range(1, 4):
        take_step(values, grad, hinges, running, MetricStep(0.1, 0.1, count=i))
    assert torch.equal(values[1], before[1])
    assert values.isfinite().all() and (values[[0, 2]] != before[[0, 2]]).any(1).all()


@pytest.mark.parametrize("decay, left", [(0.5, 0.95), (10.0, 0.0), (1e9, 0.0)])
def test_values_return_to_their_start(decay, left):
    values, hinges = torch.zeros(2, 5), torch.linspace(-1, 1, 5)
    running = state(values, evenly_spread_moments(hinges, 2))
    values += 1
    take_step(values, torch.zeros(2, 5), hinges, running, MetricStep(0.1, 0.1, decay))
    torch.testing.assert_close(values, torch.full((2, 5), left))


def test_the_pull_fades_with_the_size_of_the_gradients():
    hinges, grad = torch.linspace(-1, 1, 5, dtype=DOUBLE), torch.ones(1, 5, dtype=DOUBLE)
    values = torch.zeros(1, 5, dtype=DOUBLE)
    running = state(values, evenly_spread_moments(hinges, 1))
    take_step(values, grad, hinges, running, MetricStep(0.0, 0.1))
    values += 1
    settings = {"keep_direction": 0.0, "keep_size": 0.0, "count": 2}
    before = values.clone()
    without = MetricStep(0.1, 0.1, 0.0, **settings)
    take_step(before, grad / 10, hinges, copy.deepcopy(running), without)
    take_step(values, grad / 10, hinges, running, MetricStep(0.1, 0.1, 5.0, **settings))
    # Half of the distance of 1, times the square of a tenth.
    torch.testing.assert_close(before - values, torch.full_like(values, 0.005))


def test_a_gradient_that_overflows_leaves_the_values_finite():
    hinges, values = torch.linspace(-1, 1, 5), torch.ones(1, 5)
    running = state(values, evenly_spread_moments(hinges, 1))
    values += 1
    take_step(values, torch.full((1, 5), 1e21), hinges, running, MetricStep(0.1, 0.1, 0.5))
    torch.testing.assert_close(values, torch.full((1, 5), 1.95))
    assert running.size.isinf().all() and running.largest.tolist() == [0.0]


@pytest.mark.parametrize("count", [5, 9])
def test_the_first_step_hardly_depends_on_the_number_of_hinges(count):
    """Curves with twice as many hinges take the same step, as a function."""
    x = torch.randn(1, 4000, dtype=DOUBLE)
    places = torch.linspace(-2, 2, 101, dtype=DOUBLE).numpy()
    steps = []
    for hinges in (torch.linspace(-3, 3, n, dtype=DOUBLE) for n in (count, 2 * count - 1)):
        weights = np.stack([np.interp(x[0], hinges, row) for row in np.eye(len(hinges))])
        grad = torch.from_numpy((weights * np.cos(x[0].numpy())).mean(1)[None])
        values = torch.zeros(1, len(hinges), dtype=DOUBLE)
        running = state(values, input_moments(x, hinges))
        take_step(values, grad, hinges, running, MetricStep(1.0, 0.1))
        steps.append(np.interp(places, hinges, values[0]))
    assert abs(steps[0] - steps[1]).max() < 0.12 * abs(steps[0]).max()


def test_another_unit_of_the_inputs_changes_only_the_unit_of_the_curves():
    unit, results = 100.0, []
    grads, x = torch.randn(100, 2, 9, dtype=DOUBLE), torch.randn(2, 300, dtype=DOUBLE)
    for factor in (1.0, unit):
        hinges = factor * torch.linspace(-3, 3, 9, dtype=DOUBLE)
        values = hinges.relu().expand(2, -1).clone()
        running = state(values, input_moments(factor * x, hinges))
        for i, grad in enumerate(grads, 1):
            step = MetricStep(0.01, 0.05, decay=0.1, count=i)
            take_step(values, grad / factor, hinges, running, step)
        results.append(values / factor)
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-9)
