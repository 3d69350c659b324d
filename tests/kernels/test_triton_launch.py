"""The Triton kernels against NumPy in float64 and the reference."""

import itertools

import pytest
import torch

from hinged.curve import TAILS, evaluate, uniform_grid
from hinged.kernels import triton_launch
from tests import oracles

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
EPS = torch.finfo(torch.float32).eps
SHAPES = {
    "NCHW": (3, 5, 7, 7),
    "channels_last": (3, 5, 7, 7),
    "features": (17, 5),
    "3-D": (2, 5, 33),
    "5-D": (2, 3, 2, 4, 2),
    "aligned": (2, 4, 8, 8),
    "aligned channels_last": (2, 8, 3, 3),
}
KINDS = ("uniform", "uniform rows", "free", "free rows")
COUNTS = (2, 3, 5, 9, 17, 33)

# The interpreter computes in NumPy, which warns of NaN and infinity; a GPU does not.
pytestmark = [
    pytest.mark.usefixtures("without_ignored_checks", "poisoned"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]


def layout_of(x, channels):
    if channels == 1:
        return 1, 1, x.numel()
    inner = x.stride(1)
    return x.numel() // (channels * inner), channels, inner


def draw_x(layout, dtype=torch.float32):
    x = (2 * torch.randn(SHAPES[layout])).to(dtype)
    last = "channels_last" in layout
    return x.contiguous(memory_format=torch.channels_last) if last else x


def draw_curve(kind, count, channels, tails):
    rows = (channels,) if "rows" in kind else ()
    if "free" in kind:
        hinges = (torch.rand(*rows, count) + 0.1).cumsum(-1)
        hinges = hinges * 6 / hinges[..., -1:] - 3
    else:
        scale = 2.0 ** torch.arange(channels).view(-1, 1) if rows else 1.0
        hinges = uniform_grid(count) * scale
    values = torch.randn(channels, count)
    return hinges, values, torch.randn(channels, 2) if tails == "free" else None


def run(x, values, hinges, slopes, tails, uniform, g=None, needs_grad=(True, True)):
    """Return forward or, with `g`, backward on the device under test; results are on the CPU."""
    there = [None if t is None else t.to(DEVICE) for t in (x, values, hinges, slopes)]
    settings = (*there, tails, uniform, layout_of(x, values.shape[0]))
    if g is None:
        return triton_launch.forward(*settings).cpu()
    grads = triton_launch.backward(g.to(DEVICE), *settings, needs_grad)
    return [None if grad is None else grad.cpu() for grad in grads]


def gradients(g, x, values, hinges, slopes, tails):
    """Return the gradients of the reference in float64."""
    leaves = [None if t is None else t.double().requires_grad_() for t in (x, values, slopes)]
    x, values, slopes = leaves
    y = evaluate(x, values, hinges.double(), tails=tails, tail_slopes=slopes)
    y.backward(g.double())
    return [None if leaf is None else leaf.grad for leaf in leaves]


def check_forward(x, hinges, values, slopes, tails, uniform):
    y = run(x, values, hinges, slopes, tails, uniform)
    assert y.dtype == x.dtype and y.stride() == x.stride()
    same = evaluate(x, values, hinges, tails=tails, tail_slopes=slopes, uniform=uniform)
    # The interpreter truncates to bfloat16; a GPU rounds.
    if x.dtype != torch.bfloat16 or DEVICE == "cuda":
        assert torch.equal(y, same)
    # Slope, product, intercept and sum are each rounded, relative to the steepest line's height.
    steep = values.abs().max() / hinges.diff(dim=-1).min() + (
        0 if slopes is None else slopes.abs().max()
    )
    height = steep * (x.abs().max() + hinges.abs().max()).float()
    exact = oracles.per_channel(x, hinges, values, 1, tails, slopes)
    error = (y.double() - exact).abs()
    assert (error <= 8 * EPS * height + torch.finfo(x.dtype).eps * exact.abs()).all()


def check_backward(x, hinges, values, slopes, tails, uniform):
    g = torch.randn_like(x)
    found = run(x, values, hinges, slopes, tails, uniform, g)
    exact = gradients(g, x, values, hinges, slopes, tails)
    assert found[0].dtype == x.dtype and found[0].stride() == x.stride()
    # The gradient is g s. The slope s is a rounded difference of values over a gap. The product is
    # rounded to the dtype of x.
    steep = values.abs().max() / hinges.diff(dim=-1).min() + (
        0 if slopes is None else slopes.abs().max()
    )
    allowed = 8 * EPS * steep * g.abs().max() + torch.finfo(x.dtype).eps * exact[0].abs()
    assert ((found[0].double() - exact[0]).abs() <= allowed).all()
    check_sums(g, x, hinges, found[1:], exact[1:])


def check_sums(g, x, hinges, found, exact):
    """Compare sums with a bound on rounding, relative to the sum of `|g|` times the largest weight.

    A weight has at most `K` roundings, because `x` is up to `K` steps from the middle hinge. A sum
    has as many as its longest chain of additions: here fewer than 16 tiles, a tree of depth 10, and
    one difference of two sums.
    """
    count = hinges.shape[-1]
    reach = 1 + (x.abs().max() + hinges.abs().max()).float() / hinges.diff(dim=-1).min()
    size = g.float().abs().sum() * reach
    for mine, reference in zip(found, exact, strict=True):
        assert (mine is None) == (reference is None)
        if mine is not None:
            assert mine.dtype == torch.float32 and mine.shape == reference.shape
            assert mine.is_contiguous()
            assert (mine.double() - reference).abs().max() <= (count + 32) * EPS * size


@pytest.mark.slow
@pytest.mark.parametrize("layout", SHAPES)
@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize("kind", KINDS)
def test_agrees_on_every_layout(layout, tails, kind):
    x = draw_x(layout)
    # The count changes from case to case: all counts meet all kinds without all combinations.
    index = list(itertools.product(SHAPES, TAILS, KINDS)).index((layout, tails, kind))
    curve = draw_curve(kind, COUNTS[index % 5], x.shape[1], tails)
    check_forward(x, *curve, tails, "uniform" in kind)
    check_backward(x, *curve, tails, "uniform" in kind)


@pytest.mark.slow
@pytest.mark.parametrize("count", [*COUNTS, 40])
@pytest.mark.parametrize("kind", ["uniform", "free"])
def test_agrees_for_every_count(count, kind):
    x = 2 * torch.randn(17, 3)
    for tails in TAILS:
        curve = draw_curve(kind, count, x.shape[1], tails)
        check_forward(x, *curve, tails, kind == "uniform")
        check_backward(x, *curve, tails, kind == "uniform")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", oracles.HALF)
@pytest.mark.parametrize("layout", ["NCHW", "channels_last", "aligned"])
def test_agrees_in_half_precision(dtype, layout):
    x = draw_x(layout, dtype)
    for tails in TAILS:
        curve = draw_curve("uniform", 9, x.shape[1], tails)
        check_forward(x, *curve, tails, True)
        check_backward(x, *curve, tails, True)


@pytest.mark.parametrize("shape", [(1,), (3,), (17,), (1023,), (3, 31, 11), (2, 4, 8, 8)])
def test_one_curve_for_all_elements(shape):
    x = 2 * torch.randn(shape)
    curve = draw_curve("uniform", 9, 1, "free")
    hinges, values, slopes = curve
    g = torch.randn_like(x)
    flat = x.reshape(-1, 1)
    y = run(x, values, hinges, slopes, "free", True)
    same = evaluate(x, values, hinges, dim=0, tails="free", tail_slopes=slopes, uniform=True)
    assert torch.equal(y, same)
    found = run(x, values, hinges, slopes, "free", True, g)
    exact = gradients(g.reshape(-1, 1), flat, values, hinges, slopes, "free")
    torch.testing.assert_close(found[0].double(), exact[0].view(shape), rtol=1e-5, atol=1e-5)
    check_sums(g, x, hinges, found[1:], exact[1:])


@pytest.mark.slow
@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 3), (300, 2), (2, 67), (3, 1), (40, 3, 1, 2), (2, 3, 257), (1, 2, 1025)]
)
def test_odd_sizes(shape):
    x = 2 * torch.randn(shape)
    curve = draw_curve("uniform", 5, shape[1], "linear")
    check_forward(x, *curve, "linear", True)
    check_backward(x, *curve, "linear", True)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
def test_several_tiles_and_parts(monkeypatch, layout):
    """Lower limits make a small tensor take the path of a large one."""
    monkeypatch.setattr(triton_launch, "LEAST_ELEMENTS", 256)
    monkeypatch.setattr(triton_launch, "FORWARD_TILE", 256)
    monkeypatch.setattr(triton_launch, "BACKWARD_TILE", 256)
    x = 2 * torch.randn(9, 3, 10, 10)
    if layout == "channels_last":
        x = x.contiguous(memory_format=torch.channels_last)
    plan = triton_launch.plan_tiles(layout_of(x, 3), 256, 16 * 7, 2)
    assert plan.grid[1] > 1 and plan.count > 1
    curve = draw_curve("free rows", 5, 3, "free")
    check_forward(x, *curve, "free", False)
    check_backward(x, *curve, "free", False)


def test_every_element_is_in_one_tile():
    sizes = (1, 2, 3, 16, 49, 100, 1024)
    for outer, channels, inner in itertools.product(sizes, sizes, sizes):
        plan = triton_launch.plan_tiles((outer, channels, inner), 512, 16 * 9, 4)
        groups, parts = plan.grid
        tiles = -(-outer // plan.rows) * (plan.tiles_across if plan.planar else 1)
        assert parts * plan.count >= tiles > (parts - 1) * plan.count
        assert plan.count % 4 == 0 and parts < 2**16 and plan.rows * plan.columns == 512
        columns = plan.tiles_across * plan.columns
        assert columns >= plan.width
        assert groups == (channels if plan.planar else plan.tiles_across)
        # Most lanes have work, for images and for widths of 16 and 49.
        if outer >= 128 and plan.width >= 16:
            assert plan.width / columns > 0.5


def test_inputs_on_hinges_and_next_to_them():
    for count, kind in itertools.product((2, 5, 17, 33), ("uniform", "free")):
        hinges, values, _ = draw_curve(kind, count, 1, "linear")
        near = [oracles.ulps(hinges, n) for n in (-1, 0, 1)]
        x = torch.cat([*near, torch.tensor([0.0, -0.0, 1e-30, -1e-30, 1e30, -1e30])])
        y = run(x, values, hinges, None, "linear", kind == "uniform")
        # The reference compares with the hinges, which is exact; counting steps may round.
        assert torch.equal(y, evaluate(x, values, hinges, dim=0))


@pytest.mark.slow
def test_offsets_beyond_32_bits_are_the_same_offsets(monkeypatch):
    """The kernels for tensors of 2**31 elements and more, on small tensors."""
    arguments = triton_launch.TilePlan.arguments
    monkeypatch.setattr(
        triton_launch.TilePlan, "arguments", lambda plan: {**arguments(plan), "LONG_OFFSETS": True}
    )
    for layout in ("NCHW", "channels_last"):
        x = draw_x(layout)
        curve = draw_curve("uniform", 5, 5, "linear")
        check_forward(x, *curve, "linear", True)
        check_backward(x, *curve, "linear", True)


def test_nearly_uniform_hinges_give_the_exact_line():
    hinges = uniform_grid(33) + (torch.rand(33) - 0.5) * 0.015 * 6 / 32
    x = torch.cat([3.3 * torch.randn(500), *(oracles.ulps(hinges, n) for n in (-1, 0, 1))])
    values = torch.randn(1, 33)
    y = run(x, values, hinges, None, "linear", True)
    assert torch.equal(y, evaluate(x, values, hinges, dim=0))


@pytest.mark.parametrize("dtype", [torch.float32, *oracles.HALF])
@pytest.mark.parametrize("uniform", [True, False])
def test_nan_gives_nan_and_infinity_follows_the_tail(dtype, uniform):
    hinges = torch.tensor([-1.0, 0.0, 1.0])
    x = torch.tensor([torch.nan, -torch.inf, torch.inf], dtype=dtype)
    flat_and_steep = torch.tensor([[1.0, 0.0]])
    cases = {
        (0.0, 0.0, 1.0, "linear"): [0.0, torch.inf],
        (1.0, 0.0, 1.0, "linear"): [torch.inf] * 2,
        (2.0, 0.0, 4.0, "constant"): [2.0, 4.0],
        (2.0, 0.0, 4.0, "free"): [-torch.inf, 4.0],
    }
    for (*heights, tails), expected in cases.items():
        slopes = flat_and_steep if tails == "free" else None
        y = run(x, torch.tensor([heights]), hinges, slopes, tails, uniform)
        assert y[0].isnan() and y[1:].tolist() == expected


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_infinite_inputs_do_not_poison_gradients(uniform, tails):
    hinges = torch.tensor([-1.0, 0.0, 1.0])
    values = torch.tensor([[0.0, 0.0, 1.0]])
    x = torch.tensor([-torch.inf, 0.5, torch.inf])
    slopes = torch.tensor([[0.0, 1.0]]) if tails == "free" else None
    # A loss that ignores the infinite outputs has no gradient there.
    g = torch.tensor([0.0, 1.0, 0.0])
    grad_x, grad_values, grad_slopes = run(x, values, hinges, slopes, tails, uniform, g)
    assert grad_x.tolist() == [0.0, 1.0, 0.0]
    assert grad_values.tolist() == [[0.0, 0.5, 0.5]]
    assert grad_slopes is None or grad_slopes.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("name", ["relu", "identity", "abs"])
@pytest.mark.parametrize("dtype", [torch.float32, *oracles.HALF])
def test_exact_starts_are_bitwise_the_function(name, dtype):
    function = {"relu": torch.relu, "identity": torch.clone, "abs": torch.abs}[name]
    hinges = uniform_grid(9, (-2.5, 3.1), kinks=(0.0,))
    x = torch.cat([4 * torch.randn(300), torch.tensor([1e-9, -1e-9, 1e30, -1e30, 0.0])]).to(dtype)
    y = run(x, function(hinges)[None], hinges, None, "linear", True)
    assert torch.equal(y, function(x))


@pytest.mark.slow
def test_value_gradients_of_pieces_without_inputs_are_exactly_zero():
    hinges = uniform_grid(17, (-4.0, 4.0))
    values = torch.randn(1, 17)
    x = torch.rand(900) - 0.5
    for uniform in (True, False):
        _, grad, _ = run(x, values, hinges, None, "linear", uniform, torch.randn(900))
        assert grad[0, 7:10].abs().min() > 0
        assert grad[0, :7].abs().max() == 0 and grad[0, 10:].abs().max() == 0


@pytest.mark.slow
@pytest.mark.parametrize("tails", ["linear", "free"])
def test_only_the_needed_gradients_are_computed(tails):
    x = draw_x("NCHW")
    hinges, values, slopes = draw_curve("uniform", 9, 5, tails)
    g = torch.randn_like(x)
    both = run(x, values, hinges, slopes, tails, True, g)
    only_x = run(x, values, hinges, slopes, tails, True, g, (True, False))
    only_values = run(x, values, hinges, slopes, tails, True, g, (False, True))
    assert torch.equal(only_x[0], both[0]) and only_x[1:] == [None, None]
    assert only_values[0] is None and torch.equal(only_values[1], both[1])
    assert (both[2] is None) == (tails == "linear")
    assert only_values[2] is both[2] is None or torch.equal(only_values[2], both[2])


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["NCHW", "channels_last"])
def test_two_runs_are_bitwise_equal(layout):
    x = draw_x(layout)
    hinges, values, slopes = draw_curve("free", 9, 5, "free")
    g = torch.randn_like(x)
    once, again = (run(x, values, hinges, slopes, "free", False, g) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))


@pytest.mark.parametrize("shape", [(0, 5), (3, 5, 0)])
def test_empty_tensors(shape):
    x = torch.zeros(shape)
    hinges, values, slopes = draw_curve("uniform", 3, 5, "free")
    settings = (values, hinges, slopes, "free", True, (shape[0], 5, 1))
    assert triton_launch.forward(x, *settings).shape == shape
    grad_x, grad_values, grad_slopes = triton_launch.backward(x, x, *settings, (True, True))
    assert grad_x.shape == shape
    assert torch.equal(grad_values, torch.zeros(5, 3))
    assert torch.equal(grad_slopes, torch.zeros(5, 2))
