"""The Triton kernels for steps in the metric against the reference in float64."""

from types import SimpleNamespace

import pytest
import torch

from hinged.curve import metric, uniform_grid
from hinged.curve.metric import MetricState, MetricStep
from hinged.kernels import metric_kernel, triton_metric_launch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
EPS = torch.finfo(torch.float32).eps
# The number of channels, the number of hinges, and their kind.
CASES = [
    *((1, 2, "free"), (33, 2, "uniform rows"), (5, 3, "free rows"), (2, 3, "uniform")),
    *((32, 4, "free"), (70, 5, "free rows"), (3, 9, "uniform"), (4, 17, "uniform rows")),
]
STEPS = [
    MetricStep(rate=0.1, smoothing=0.03, count=1),
    MetricStep(rate=0.2, smoothing=0.1, decay=0.3, count=2),
]

# The interpreter computes in NumPy, which warns of NaN and infinity; a GPU does not.
pytestmark = [
    pytest.mark.usefixtures("without_ignored_checks", "poisoned"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


def draw_hinges(kind, channels, count):
    rows = (channels,) if "rows" in kind else ()
    if "free" in kind:
        # The widest piece is up to 100 times as wide as the narrowest.
        return (torch.rand(*rows, count) + 0.01).cumsum(-1) - count / 4
    return uniform_grid(count) * (1 + torch.rand(*rows, 1) if rows else 1.0)


def draw_step(kind, channels, count):
    """Return values, a gradient, hinges and a state, in float32."""
    hinges = draw_hinges(kind, channels, count)
    moments = metric.input_moments(2 * torch.randn(channels, 50), hinges)
    values, grad, direction, start = torch.randn(4, channels, count)
    size, largest = torch.rand(2, channels)
    return values, grad, hinges, MetricState(direction, size, largest, moments, start)


def take_steps(values, grad, hinges, state, steps=STEPS):
    """Return the values, the directions, the sizes and the largest sizes after steps on the device
    under test."""
    values, grad, hinges = (t.to(DEVICE, copy=True) for t in (values, grad, hinges))
    state = MetricState(*(t.to(DEVICE, copy=True) for t in state))
    for step in steps:
        triton_metric_launch.take_step(values, grad, hinges, state, step)
    return values.cpu(), state.direction.cpu(), state.size.cpu(), state.largest.cpu()


def take_exact_steps(values, grad, hinges, state, steps=STEPS):
    """Return the same from the reference in float64."""
    values = values.double()
    state = MetricState(*(t.double() for t in state))
    for step in steps:
        metric.take_step(values, grad.double(), hinges.double(), state, step)
    return values, state.direction, state.size, state.largest


def check_steps(*case, steps=STEPS):
    found, exact = take_steps(*case, steps=steps), take_exact_steps(*case, steps=steps)
    moved = (exact[0] - case[0].double()).abs()
    # Each step rounds the running means and the values once, relative to the largest of a channel.
    for mine, reference, extra in zip(found, exact, (moved, 0.0, 0.0, 0.0), strict=True):
        size = (reference.abs() + extra).view(len(reference), -1).amax(1)
        error = (mine.double() - reference).abs().view(len(reference), -1).amax(1)
        assert (error <= 8 * EPS * size).all()


@pytest.mark.parametrize("channels, count, kind", CASES)
def test_steps_equal_the_reference(channels, count, kind):
    check_steps(*draw_step(kind, channels, count))


@pytest.mark.slow
@pytest.mark.parametrize("channels, count, kind", [(2, 33, "free"), (3, 129, "uniform rows")])
def test_steps_of_curves_with_many_hinges(channels, count, kind):
    check_steps(*draw_step(kind, channels, count), steps=STEPS[1:])


def test_scale_of_a_layer_with_more_channels_than_are_added_together():
    channels = triton_metric_launch.WIDTH + 40
    values, grad, hinges, state = draw_step("free rows", channels, 3)
    # The last channels have the largest part in the scale.
    state.moments[-30:, -1] += 100.0
    check_steps(values, grad, hinges, state, steps=STEPS[:1])


def test_scale_is_an_eighth_of_the_range_where_inputs_are_close_together():
    values, grad, hinges, state = draw_step("uniform", 3, 5)
    state.moments[:, -2:] = torch.tensor([2.0, 4.0 - 1e-3])  # The variance is rounded below 0.
    check_steps(values, grad, hinges, state)


def test_curves_with_hinges_in_half_precision():
    values, grad, hinges, state = draw_step("uniform rows", 3, 5)
    check_steps(values, grad, hinges.bfloat16(), state)


def test_a_curve_without_gradients_only_returns_to_its_start():
    values, grad, hinges, state = draw_step("uniform", 2, 5)
    state.direction.zero_()
    state.size.zero_()
    state.largest.zero_()
    moved, direction, size, _ = take_steps(values, 0 * grad, hinges, state, STEPS[1:])
    expected = values.double().lerp(state.start.double(), STEPS[1].pull).float()
    torch.testing.assert_close(moved, expected)
    assert direction.abs().max() == size.abs().max() == 0


def test_a_gradient_that_overflows_leaves_the_values_finite():
    values, grad, hinges, state = draw_step("uniform", 2, 5)
    for tensor in (state.direction, state.size, state.largest):
        tensor.zero_()
    moved, _, size, largest = take_steps(values, 0 * grad + 1e21, hinges, state, STEPS[1:])
    expected = values.double().lerp(state.start.double(), STEPS[1].pull).float()
    torch.testing.assert_close(moved, expected)
    assert size.isinf().all() and not largest.any()


def test_nan_in_a_gradient_spoils_only_its_channel():
    values, grad, hinges, state = draw_step("uniform", 4, 5)
    good = take_steps(values, grad, hinges, state)
    grad[2, 1] = torch.nan
    spoiled = take_steps(values, grad, hinges, state)
    kept = torch.tensor([0, 1, 3])
    for mine, other in zip(spoiled, good, strict=True):
        assert torch.equal(mine[kept], other[kept])
    assert spoiled[0][2].isnan().all() and spoiled[2][2].isnan()


@pytest.mark.parametrize("column", [-1, -2])
def test_nan_in_the_moments_is_not_hidden(column):
    values, grad, hinges, state = draw_step("uniform", 4, 5)
    state.moments[1, column] = torch.nan
    assert take_steps(values, grad, hinges, state)[0].isnan().all()
    assert take_exact_steps(values, grad, hinges, state)[0].isnan().all()


def test_two_runs_of_steps_are_bitwise_equal():
    case = draw_step("free rows", 40, 5)
    for once, again in zip(take_steps(*case), take_steps(*case), strict=True):
        assert torch.equal(once, again)


def measure(x, hinges, channels, step=1):
    """Return moments that the kernel computes, and the rows of inputs of each channel."""
    inner = x.stride(1) if channels > 1 else x.numel()
    layout = (x.numel() // (channels * inner), channels, inner)
    found = triton_metric_launch.input_moments(x.to(DEVICE), hinges.to(DEVICE), layout, step)
    if channels == 1:
        rows = x.as_strided((1, x.numel()), (x.numel(), 1))
    else:
        # In the order of memory, the channel is the second of three axes.
        rows = x.as_strided(layout, (channels * inner, inner, 1)).transpose(0, 1)
    return found.cpu(), rows.reshape(channels, -1)[:, ::step]


def check_moments(x, hinges, channels, step=1):
    found, rows = measure(x, hinges, channels, step)
    exact = metric.input_moments(rows.double(), hinges.double())
    assert found.dtype == torch.float32 and found.shape == exact.shape
    rows = rows.double().masked_fill(~rows.isfinite(), 0.0)
    reach = rows.abs().max() + hinges.abs().max()
    # A weight has an error of a few roundings of positions. The sums are trees.
    allowed = exact.new_full(exact.shape[1:], 8 * EPS * reach / hinges.double().diff().min())
    allowed[-2:] = 8 * EPS * torch.stack((rows.abs().max(), rows.square().max()))
    assert ((found.double() - exact).abs() <= allowed).all()


@pytest.mark.parametrize("channels, count, kind", CASES)
def test_moments_equal_the_reference(channels, count, kind):
    check_moments(2 * torch.randn(17, channels), draw_hinges(kind, channels, count), channels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("step", [1, 5])
def test_moments_of_every_layout(dtype, last, step):
    x = (2 * torch.randn(3, 4, 7, 7)).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    check_moments(x, draw_hinges("free", 4, 5), 4, step)
    x = torch.randn(3, 8, 4, dtype=dtype).transpose(1, 2)
    check_moments(x, draw_hinges("uniform rows", 4, 5), 4, step)


@pytest.mark.parametrize("shape", [(1,), (300,), (3, 31, 11), (4, 1000)])
def test_moments_of_one_curve_for_all_elements(shape):
    check_moments(2 * torch.randn(shape), draw_hinges("free", 1, 5), 1)


def test_moments_of_curves_with_many_hinges():
    check_moments(30 * torch.randn(50, 2), draw_hinges("free rows", 2, 129), 2)


def test_inputs_that_are_not_finite_are_left_out():
    x = torch.randn(40, 3)
    x[::3, 0], x[1, 1], x[2, 1], x[:, 2] = torch.nan, torch.inf, -torch.inf, torch.nan
    hinges = uniform_grid(5)
    check_moments(x, hinges, 3)
    assert measure(x, hinges, 3)[0][2].abs().max() == 0
    assert measure(torch.zeros(0, 3), hinges, 3)[0].abs().max() == 0


def test_inputs_on_hinges_give_their_hinge_the_weight_1():
    hinges = uniform_grid(9)
    found, _ = measure(hinges.view(-1, 1), hinges, 1)
    torch.testing.assert_close(found[0, :9], torch.full((9,), 1 / 9))
    assert found[0, 9:17].abs().max() < EPS


def test_long_offsets_are_the_same_offsets(monkeypatch):
    """The kernel for tensors of 2**31 elements and more, on a small tensor."""
    monkeypatch.setattr(triton_metric_launch, "LONG", 0)
    check_moments(torch.randn(3, 4, 7), draw_hinges("uniform", 4, 5), 4, 2)


@pytest.fixture
def triton_selected(monkeypatch):
    """Without a GPU, send calls for tensors on the CPU to the interpreter."""
    if DEVICE == "cpu":
        no_library = metric_kernel.load_cpu_library()._replace(handle=None)
        monkeypatch.setattr(metric_kernel, "load_cpu_library", lambda: no_library)
        monkeypatch.setattr(metric_kernel, "_triton_computes", lambda _x, _hinges: True)
        monkeypatch.setattr(metric_kernel, "metric", SimpleNamespace(FLOOR=metric.FLOOR))


@pytest.mark.usefixtures("triton_selected")
def test_calls_take_the_kernels():
    case = values, grad, hinges, state = draw_step("free rows", 3, 5)
    expected = take_steps(*case, steps=STEPS[:1])
    values, grad, hinges = values.to(DEVICE), grad.to(DEVICE), hinges.to(DEVICE)
    state = MetricState(*(tensor.to(DEVICE) for tensor in state))
    leaf = values.clone().requires_grad_()
    product = leaf * leaf
    with torch.no_grad():
        metric_kernel.LayerSteps(hinges, state).take(leaf, grad, STEPS[0])
    assert torch.equal(leaf.detach().cpu(), expected[0])
    # Autograd notices that the kernel has changed a tensor that it needs.
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()
    images = torch.randn(40, 3, 11, 11)[:, :, 1:]  # Not dense: it is copied.
    found = metric_kernel.input_moments(images.to(DEVICE), hinges, 3, 1)
    step = metric_kernel._sample_step(40 * 110)
    assert step > 1
    assert torch.equal(found.cpu(), measure(images.contiguous(), hinges, 3, step)[0])


def test_tensors_on_the_cpu_do_not_take_the_kernels():
    x = torch.zeros(3, 5)
    assert not metric_kernel._triton_computes(x, x)
