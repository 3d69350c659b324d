import math

import numpy as np
import pytest
import torch

from hinged.curve import metric
from hinged.curve.metric import MetricState, MetricStep, evenly_spread_moments
from hinged.kernels import metric_kernel
from hinged.kernels.cpu_library import CpuLibrary, load_cpu_library
from hinged.kernels.metric_kernel import SAMPLE_SIZE, LayerSteps, input_moments
from tests.curve.metric_oracle import Training, moments_of

COUNTS = [2, 3, 4, 9, 33, 257]
needs_compiler = pytest.mark.skipif(
    load_cpu_library().handle is None, reason="built without a C++ compiler"
)


def positions(kind, channels, count):
    if kind == "uniform":
        return torch.linspace(-3, 3, count)
    shape = (channels, count) if kind == "by channel" else (count,)
    return (torch.rand(shape) + 0.1).cumsum(-1) - 0.3 * count


KINDS = ["uniform", "uneven", "by channel"]


def running(values, moments):
    zeros = torch.zeros_like(values)
    return MetricState(zeros, *values.new_zeros(2, len(values)), moments, values.clone())


@pytest.fixture
def compiled_only(monkeypatch):
    """Make calls of the reference fail."""
    for name in ("take_step", "input_moments"):
        monkeypatch.setattr(metric_kernel.metric, name, None)


@pytest.fixture
def without_library(monkeypatch):
    monkeypatch.setattr(metric_kernel, "load_cpu_library", lambda: CpuLibrary(None, "none"))


@needs_compiler
@pytest.mark.usefixtures("compiled_only")
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", COUNTS)
def test_steps_are_those_of_the_reference(kind, count):
    for channels in (1, 2, 7, 8, 9, 20) if count < 257 else (9,):
        hinges, values = positions(kind, channels, count), torch.randn(channels, count)
        moments = input_moments(3 * torch.randn(50, channels), hinges, channels, 1)
        grads = torch.randn(5, channels, count)
        grads[:, channels // 2] = 0
        state = running(values, moments)
        steps, found = LayerSteps(hinges, state), values.clone()
        rows = hinges.expand(channels, -1).double().numpy()
        oracle = Training(values.double().numpy(), rows)
        for i, grad in enumerate(grads, 1):
            steps.take(found, grad, MetricStep(0.3 / i, 0.05, decay=0.2, count=i))
            oracle.step(grad.double().numpy(), moments.double().numpy(), 0.3 / i, 0.05, 0.2)
        scale = abs(oracle.values).max()
        np.testing.assert_allclose(found, oracle.values, rtol=1e-5, atol=1e-6 * scale)
        np.testing.assert_allclose(state.size, oracle.size, rtol=1e-4)
        np.testing.assert_allclose(state.largest, oracle.largest, rtol=1e-4)
        assert torch.equal(state.start, values) and torch.equal(state.moments, moments)
        assert channels == 1 or not torch.equal(found, values)


@needs_compiler
@pytest.mark.usefixtures("compiled_only")
def test_a_gradient_that_overflows_leaves_the_values_finite():
    values, hinges = torch.ones(1, 5), torch.linspace(-1, 1, 5)
    state = running(values, evenly_spread_moments_of(hinges, 1))
    values += 1
    LayerSteps(hinges, state).take(values, torch.full((1, 5), 1e21), MetricStep(0.1, 0.1, 0.5))
    torch.testing.assert_close(values, torch.full((1, 5), 1.95))
    assert state.largest.tolist() == [0.0]


@needs_compiler
@pytest.mark.usefixtures("compiled_only")
def test_a_step_changes_the_version_of_the_values():
    values, hinges = torch.randn(3, 5), torch.linspace(-1, 1, 5)
    state = running(values, evenly_spread_moments_of(hinges, 3))
    version = values._version
    LayerSteps(hinges, state).take(values, torch.randn(3, 5), MetricStep(0.1, 0.1))
    assert values._version > version


@pytest.mark.usefixtures("without_library")
def test_a_device_without_float64_gets_back_what_a_step_changes(monkeypatch):
    monkeypatch.setattr(torch.Tensor, "cpu", torch.Tensor.clone)  # as on another device
    hinges, grad = torch.linspace(-1, 1, 5), torch.randn(3, 5)
    states, results = [], []
    for has_float64 in (True, False):
        monkeypatch.setattr(metric_kernel, "_has_float64", lambda _, has=has_float64: has)
        values = torch.arange(15.0).view(3, 5)
        states.append(running(values, evenly_spread_moments(hinges, 3)))
        LayerSteps(hinges, states[-1]).take(values, grad, MetricStep(0.1, 0.1, decay=0.5))
        results.append(values)
    assert torch.equal(*results)
    expected, found = (state._asdict() for state in states)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())
    assert found["size"]._version > 0 == found["start"]._version == found["moments"]._version


@needs_compiler
@pytest.mark.usefixtures("compiled_only")
def test_tensors_may_move_in_memory_between_steps():
    hinges, grad = torch.linspace(-1, 1, 5), torch.randn(3, 5)
    results = []
    for moves in (False, True):
        values = torch.arange(15.0).view(3, 5)
        state = running(values, evenly_spread_moments_of(hinges, 3))
        steps = LayerSteps(hinges, state)
        if moves:  # As `share_memory_` moves the numbers of a tensor.
            running_means = (state.direction, state.size, state.largest, state.moments)
            for tensor in (*running_means, state.start, hinges):
                old, tensor.data = tensor.data, tensor.clone()
                old.fill_(math.nan)
        steps.take(values, grad, MetricStep(0.1, 0.1, decay=0.5))
        results.append(values)
    assert torch.equal(*results)


def evenly_spread_moments_of(hinges, channels):
    places = hinges[..., :1] + (hinges[..., -1:] - hinges[..., :1]) * torch.linspace(0, 1, 160)
    return input_moments(places.expand(channels, -1).T.contiguous(), hinges, channels, 1)


@needs_compiler
@pytest.mark.parametrize("name", ["values", "grad", "hinges"])
def test_tensors_with_gaps_are_computed_by_the_reference(name):
    tensors = {
        "values": torch.randn(3, 10),
        "grad": torch.randn(3, 10),
        "hinges": torch.linspace(-2, 2, 10),
    }
    dense = {each: tensor[..., ::2].clone() for each, tensor in tensors.items()}
    gaps = {**dense, name: tensors[name][..., ::2]}
    results = []
    for case in (dense, gaps):
        state = running(case["values"], evenly_spread_moments(dense["hinges"], 3))
        values = case["values"]
        LayerSteps(case["hinges"], state).take(values, case["grad"], MetricStep(0.1, 0.1))
        results.append(values)
    torch.testing.assert_close(*results)
    assert not torch.equal(results[1], torch.zeros_like(results[1]))


def test_the_reference_computes_steps_in_float64():
    hinges = torch.linspace(-2, 2, 7, dtype=torch.float64)
    values = torch.randn(3, 7, dtype=torch.float64)
    grad = torch.randn(3, 7, dtype=torch.float64)
    moments = evenly_spread_moments(hinges, 3)
    oracle = Training(values.numpy(), hinges.expand(3, -1).numpy())
    oracle.step(grad.numpy(), moments.numpy(), 0.1, 0.1)
    LayerSteps(hinges, running(values, moments)).take(values, grad, MetricStep(0.1, 0.1))
    np.testing.assert_allclose(values, oracle.values, rtol=1e-12)


@pytest.mark.usefixtures("without_library")
def test_without_the_library_the_reference_computes_all():
    x, hinges, values = torch.randn(50, 3), torch.linspace(-2, 2, 7), torch.randn(3, 7)
    moments = input_moments(x, hinges, 3, 1)
    assert torch.equal(moments, metric.input_moments(x.T, hinges))
    found, expected = values.clone(), values.clone()
    grad, step = torch.randn(3, 7), MetricStep(0.1, 0.1)
    LayerSteps(hinges, running(values, moments)).take(found, grad, step)
    metric.take_step(expected, grad, hinges, running(values, moments), step)
    assert torch.equal(found, expected) and not torch.equal(found, values)


@pytest.mark.usefixtures("without_library")
def test_devices_without_float64_compute_steps_on_the_cpu(monkeypatch):
    monkeypatch.setattr(metric_kernel, "_has_float64", lambda device: False)
    hinges, values = torch.linspace(-2, 2, 7), torch.randn(3, 7)
    moments, grads = evenly_spread_moments(hinges, 3), torch.randn(2, 3, 7)
    found, expected = values.clone(), values.clone()
    states = [running(values, moments) for _ in range(2)]
    steps = LayerSteps(hinges, states[0])
    for i, grad in enumerate(grads, 1):
        steps.take(found, grad, MetricStep(0.1, 0.1, count=i))
        metric.take_step(expected, grad, hinges, states[1], MetricStep(0.1, 0.1, count=i))
    assert torch.equal(found, expected) and not torch.equal(found, values)
    assert torch.equal(states[0].direction, states[1].direction)
    assert torch.equal(states[0].size, states[1].size)


LAYOUTS = {
    "features": (lambda c: torch.randn(17, c), 1),
    "images": (lambda c: torch.randn(3, c, 5, 4), 1),
    "channels last": (lambda c: torch.randn(3, c, 5, 4).to(memory_format=torch.channels_last), 1),
    "last axis": (lambda c: torch.randn(4, 6, c), -1),
    "turned": (lambda c: torch.randn(6, 5, c).transpose(0, 2), 0),
    "with gaps": (lambda c: torch.randn(9, 2 * c, 3)[:, ::2, 1:], 1),
    "expanded": (lambda c: torch.randn(1, c, 1).expand(4, c, 5), 1),
    "negated": (lambda c: torch.randn(9, c, dtype=torch.complex64).conj().imag, 1),
    "empty": (lambda c: torch.randn(0, c, 3), 1),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_moments_of_any_layout_are_those_of_a_loop(kind, layout, dtype):
    make, dim = LAYOUTS[layout]
    for channels, count in ((1, 5), (3, 2), (9, 9)):
        hinges = positions(kind, channels, count)
        x = 2 * make(channels)
        x = x if layout == "negated" else x.to(dtype)
        found = input_moments(x, hinges, channels, dim)
        rows = x.movedim(dim, 0).reshape(channels, -1).double().numpy()
        for c, row in enumerate(hinges.expand(channels, -1).double().numpy()):
            expected = moments_of(rows[c], row)
            np.testing.assert_allclose(found[c], expected, rtol=1e-4, atol=1e-5)


@needs_compiler
@pytest.mark.usefixtures("compiled_only")
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", KINDS)
def test_moments_of_compiled_code_are_those_of_the_reference(count, kind):
    hinges = positions(kind, 3, count)
    x = torch.cat((0.3 * count * torch.randn(80, 3), hinges.expand(3, -1).T), dim=0)
    found = input_moments(x, hinges, 3, 1)
    for c, row in enumerate(hinges.expand(3, -1).double().numpy()):
        expected = moments_of(x[:, c].double().numpy(), row)
        np.testing.assert_allclose(found[c], expected, rtol=2e-5, atol=1e-5)


def test_one_curve_for_all_channels_has_the_moments_of_all_inputs():
    x, hinges = torch.randn(4, 7, 3), torch.linspace(-1, 1, 5)
    expected = moments_of(x.double().flatten().numpy(), hinges.double().numpy())
    np.testing.assert_allclose(input_moments(x, hinges, 1, 1)[0], expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_inputs_that_are_not_finite_do_not_count(dtype):
    x, hinges = torch.randn(60, 3, dtype=dtype), torch.linspace(-1, 1, 5)
    expected = input_moments(x[3:], hinges, 3, 1)
    x[:3] = torch.tensor([[math.nan], [math.inf], [-math.inf]])
    torch.testing.assert_close(input_moments(x, hinges, 3, 1), expected)
    x[:] = math.nan
    assert torch.equal(input_moments(x, hinges, 3, 1), torch.zeros(3, 11, dtype=dtype))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("inputs", [2 * SAMPLE_SIZE - 1, 2 * SAMPLE_SIZE + 1])
def test_channels_with_less_than_twice_the_size_of_a_sample_are_measured_whole(inputs, dtype):
    """Only the second input is not 0. Samples have every second input or fewer."""
    x, hinges = torch.zeros(inputs, 1, dtype=dtype), torch.tensor([0.0, 1.0])
    x[1] = 1.0
    mean = input_moments(x, hinges, 1, 1)[0, -2].item()
    assert mean == pytest.approx(1 / inputs if inputs < 2 * SAMPLE_SIZE else 0.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_samples_of_large_images_come_from_all_positions(dtype, layout):
    """Each image is a ramp from -1 to 1. Its first column alone would have other moments."""
    ramp = torch.linspace(-1, 1, 32).expand(128, 2, 32, 32)
    x = (ramp + 0 * ramp).to(dtype).contiguous(memory_format=layout)
    assert x[:, 0].numel() > 8 * SAMPLE_SIZE
    hinges = torch.linspace(-1.5, 1.5, 7)
    expected = moments_of(ramp[0, 0].flatten().double().numpy(), hinges.double().numpy())
    for row in input_moments(x, hinges, 2, 1):
        np.testing.assert_allclose(row, expected, rtol=0.05, atol=0.02)


@needs_compiler
@pytest.mark.parametrize("broken", [False, True])
def test_compiled_code_updates_moments_as_the_reference_does(broken):
    hinges = positions("uniform", 3, 5)
    mean = input_moments(torch.randn(20, 3), hinges, 3, 1)
    new = input_moments(1 + torch.randn(20, 3), hinges, 3, 1)
    new[1] = 0.0  # A channel without finite inputs.
    if broken:
        new[2, -1] = math.inf
    expected = mean.double()
    metric.update_moments(expected, new.double(), 0.2)
    steps = LayerSteps(hinges, running(torch.zeros(3, 5), mean))
    steps.update_moments(new, 0.2)
    torch.testing.assert_close(mean.double(), expected, rtol=1e-6, atol=1e-7)
    assert torch.equal(mean[1].double(), expected[1])
