import pytest
import torch

from hinged.curve.evaluate import evaluate
from hinged.kernels import autograd
from hinged.kernels.cpu_kernel import available_cpu_kernels
from hinged.kernels.evaluate_curves import evaluate_curves
from hinged.kernels.kernel import curve_tensors
from hinged.kernels.select_kernel import use_kernel
from hinged.nn import PiecewiseLinear

KERNELS = available_cpu_kernels()
pytestmark = pytest.mark.skipif(not KERNELS, reason="built without a C++ compiler")
each_kernel = pytest.mark.parametrize("kernel", KERNELS.values(), ids=KERNELS)

LAYOUTS = {
    "images": lambda: torch.randn(3, 5, 7, 9),
    "images of many channels": lambda: torch.randn(5, 66, 8, 13),
    "channels last": lambda: torch.randn(3, 18, 7, 9).to(memory_format=torch.channels_last),
    "few, channels last": lambda: torch.randn(32, 6, 8, 9).to(memory_format=torch.channels_last),
    "features": lambda: torch.randn(1023, 17),
    "few features": lambda: torch.randn(1024, 24),
    "few features of an odd batch": lambda: torch.randn(1025, 8),
    "rows of one": lambda: torch.randn(2, 33, 1),
    "volumes": lambda: torch.randn(2, 3, 2, 3, 3),
    "turned": lambda: torch.randn(4, 9, 3).transpose(0, 2),
    "with gaps": lambda: torch.randn(3, 10, 8)[:, ::2, 1:],
    "expanded": lambda: torch.randn(1, 6, 1).expand(4, 6, 5),
    "empty": lambda: torch.randn(0, 4, 3),
}


def positions(kind, channels, count):
    if kind == "uniform":
        return torch.arange(count) * 0.75 - 0.75 * (count // 2)
    if kind == "nearly uniform":
        return torch.linspace(-3.1, 2.7, count)
    if kind == "free":
        return torch.randn(count).sort().values + torch.arange(count) * 1e-3
    rows = torch.randn(channels, count).sort(-1).values + torch.arange(count) * 1e-3
    if kind == "first uniform":
        rows[0] = torch.linspace(-2, 2, count)
    return rows


def case(make, kind, count, tails, dtype=torch.float32):
    torch.manual_seed(count)
    x = (2 * make()).to(dtype)
    channels = x.shape[1]
    hinges = positions(kind, channels, count)
    rows = hinges.expand(channels, count)
    if x.numel():  # Some inputs lie on hinges, and some one step left of them.
        on = rows[:, count // 2].to(dtype).view(1, -1, *[1] * (x.dim() - 2)).expand_as(x)
        choice = torch.randint(4, x.shape)
        left_of = torch.nextafter(on.float(), torch.tensor(-9.0)).to(dtype)
        x = torch.where(choice == 0, on, torch.where(choice == 1, left_of, x))
    values = torch.randn(channels, count)
    slopes = torch.randn(channels, 2) if tails == "free" else None
    return x, values, hinges, slopes


def both(kernel, x, values, hinges, slopes, tails, needs_grad=(True, True)):
    g = torch.randn(x.shape).to(x.dtype)
    curves = curve_tensors(values, hinges, slopes, tails, False)
    y = autograd.run_forward(kernel, x, curves, 1)
    return g, y, autograd.run_backward(kernel, g, x, curves, 1, needs_grad)


def reference_gradients(g, x, values, hinges, slopes, tails):
    given = [t.detach().requires_grad_() for t in (x, values, slopes) if t is not None]
    own = given[2] if slopes is not None else None
    y = evaluate(given[0], given[1], hinges, tails=tails, tail_slopes=own)
    return y.detach(), torch.autograd.grad(y, given, g)


def bound(g, x, hinges):
    """Return a bound on the rounding errors of the gradients of values, `(C, K)`.

    The error of a float32 sum of `n` terms is at most `(n + 8) eps` times the sum of their sizes.
    Here the size is |g| (1 + |t|) on each side of the input.
    """
    rows = hinges.double().expand(x.shape[1], -1)
    x, g = (tensor.double().movedim(1, 0).flatten(1) for tensor in (x, g.abs()))
    piece = (torch.searchsorted(rows.contiguous(), x.contiguous(), right=True) - 1).clamp(
        0, rows.shape[1] - 2
    )
    left, right = rows.gather(1, piece), rows.gather(1, piece + 1)
    size = g * (1 + ((x - left) / (right - left)).abs() + (x - left).abs())
    sums = torch.zeros_like(rows).scatter_add(1, piece, size).scatter_add(1, piece + 1, size)
    return (x.shape[1] + 8) * torch.finfo(torch.float32).eps * (sums + 1e-30)


@each_kernel
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "kind", ["uniform", "nearly uniform", "free", "by channel", "first uniform"]
)
@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_agrees_with_the_reference(kernel, layout, kind, tails, dtype, monkeypatch):
    empty_like = torch.empty_like
    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: empty_like(*a, **k).fill_(torch.nan))
    for count in (2, 3, 9, 18):
        x, values, hinges, slopes = case(LAYOUTS[layout], kind, count, tails, dtype)
        g, y, grads = both(kernel, x, values, hinges, slopes, tails)
        expected, (grad_x, *_) = reference_gradients(g, x, values, hinges, slopes, tails)
        assert y.dtype == x.dtype and y.stride() == torch.empty_like(x).stride()
        assert torch.equal(y, expected) and torch.equal(grads[0], grad_x)
        double = [None if t is None else t.double() for t in (g, x, values, hinges, slopes)]
        _, (_, *own) = reference_gradients(*double, tails)
        limit = bound(g, x, hinges)
        assert ((grads[1] - own[0]).abs() <= limit).all()
        if slopes is not None:
            assert ((grads[2] - own[1]).abs() <= limit.sum(1, keepdim=True)).all()


@each_kernel
@pytest.mark.parametrize("count", [4, 5, 16, 17, 32, 33, 34, 64, 65, 66, 129, 257, 500])
@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_every_way_to_find_a_line_agrees(kernel, count, tails):
    for kind in ("uniform", "free"):
        x, values, hinges, slopes = case(lambda: torch.randn(300, 3), kind, count, tails)
        g, y, grads = both(kernel, x, values, hinges, slopes, tails)
        expected, (grad_x, *_) = reference_gradients(g, x, values, hinges, slopes, tails)
        assert torch.equal(y, expected) and torch.equal(grads[0], grad_x)
        double = [None if t is None else t.double() for t in (g, x, values, hinges, slopes)]
        _, (_, grad_values, *_) = reference_gradients(*double, tails)
        assert ((grads[1] - grad_values).abs() <= bound(g, x, hinges)).all()


@each_kernel
@pytest.mark.parametrize("kind", ["linear", "constant", "free"])
def test_inputs_that_are_not_finite_have_the_gradients_of_the_reference(kernel, kind):
    special = [-torch.inf, torch.inf, torch.nan, 0.0, -0.0, 3e38, 1e-45]
    layer = PiecewiseLinear(1, tails=kind, init="silu")
    found = []
    for name in (kernel.name, "reference"):
        x = torch.tensor(special).requires_grad_()
        with use_kernel(name):
            layer(x).sum().backward()
        found.append(x.grad)
    assert torch.equal(*found) and found[0].isfinite().all()


@each_kernel
@pytest.mark.parametrize("kind", ["uniform", "free"])
def test_infinities_follow_the_tail_and_nan_gives_nan(kernel, kind):
    x = torch.tensor([-torch.inf, torch.inf, torch.nan, 0.0]).repeat(9).view(-1, 1)
    hinges = torch.tensor([-1.0, 0.0, 1.0 if kind == "uniform" else 5.0])
    for tails in ("linear", "constant"):
        y = autograd.run_forward(
            kernel, x, curve_tensors(hinges.relu()[None], hinges, None, tails, False), 1
        )
        top = torch.inf if tails == "linear" else hinges[-1].item()
        assert y[:2, 0].tolist() == [0.0, top] and y[2].isnan() and y[3] == 0


@each_kernel
@pytest.mark.parametrize("layout", ["planar", "channels last", "few, channels last", "shared"])
def test_the_same_bits_for_any_number_of_threads(kernel, layout):
    torch.manual_seed(0)
    x = torch.randn(32, 8, 24, 24) if layout.startswith("few") else torch.randn(8, 32, 24, 24)
    if layout.endswith("channels last"):
        x = x.to(memory_format=torch.channels_last)
    channels = 1 if layout == "shared" else x.shape[1]
    hinges, values = torch.linspace(-3, 3, 9), torch.randn(channels, 9)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            torch.manual_seed(1)
            _, y, grads = both(kernel, x, values, hinges, None, "linear")
            results.append((y, *grads[:2]))
    finally:
        torch.set_num_threads(before)
    assert all(
        torch.equal(a, b) for other in results[1:] for a, b in zip(results[0], other, strict=True)
    )


@each_kernel
def test_gradients_that_are_not_needed_are_not_computed(kernel):
    x, values, hinges, slopes = case(LAYOUTS["channels last"], "uniform", 9, "free")
    torch.manual_seed(5)
    _, _, every = both(kernel, x, values, hinges, slopes, "free")
    for needs_grad in ((True, False), (False, True)):
        torch.manual_seed(5)
        _, _, grads = both(kernel, x, values, hinges, slopes, "free", needs_grad)
        expected = [needs_grad[0], needs_grad[1], needs_grad[1]]
        assert [grad is not None for grad in grads] == expected
        assert all(g is None or torch.equal(g, e) for g, e in zip(grads, every, strict=True))


@each_kernel
def test_exact_starts_are_bitwise(kernel):
    hinges = torch.linspace(-3, 3, 9)
    x = torch.cat((torch.randn(5000), torch.tensor([1e-45, -1e-45, 0.0, -0.0, 3e38, -3e38])))
    for function in (torch.relu, torch.abs, torch.clone):
        with use_kernel(kernel.name):
            y = evaluate_curves(x.view(-1, 1), function(hinges)[None], hinges).flatten()
        assert torch.equal(y, function(x))
