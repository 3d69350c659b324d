import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import errors
from hinged.curve import TAILS, evaluate, is_uniform, uniform_grid
from hinged.curve.evaluate import (
    _line_by_arithmetic,
    _line_by_comparing,
    _line_by_halving,
    per_channel,
)
from tests import oracles
from tests.curve.strategies import curve_arguments, inputs


@given(st.data())
def test_agrees_with_numpy_interp_and_closed_form_tails(data):
    hinges, values, tails, slopes, uniform = data.draw(curve_arguments())
    x, dim = data.draw(inputs(values.shape[0]))
    y = evaluate(x, values, hinges, dim=dim, tails=tails, tail_slopes=slopes, uniform=uniform)
    expected = oracles.per_channel(x, hinges, values, dim, tails, slopes)
    assert y.shape == x.shape and y.dtype == x.dtype
    # Slopes are steep between close hinges; the bound is relative to the largest possible output.
    steepest = values.diff(dim=-1).abs().max() / hinges.diff(dim=-1).min()
    size = max(1.0, float(steepest)) * max(1.0, float(x.abs().max()) if x.numel() else 1.0)
    np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=0, atol=1e-14 * size)


@pytest.mark.parametrize("tails", TAILS)
def test_error_below_1e12_for_common_settings(tails):
    values = torch.randn(7, 9, dtype=torch.float64)
    slopes = torch.randn(7, 2, dtype=torch.float64) if tails == "free" else None
    hinges = uniform_grid(9, dtype=torch.float64)
    x = 4 * torch.randn(16, 7, 7, 7, dtype=torch.float64)
    expected = oracles.per_channel(x, hinges, values, 1, tails, slopes)
    for uniform in (True, False):
        y = evaluate(x, values, hinges, tails=tails, tail_slopes=slopes, uniform=uniform)
        assert (y - expected).abs().max() < 1e-12


@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("shape, dim", [((4, 3), 1), ((2, 3, 3), -1), ((3, 2, 2, 2), 0)])
def test_gradients_of_first_and_second_order(tails, uniform, shape, dim):
    hinges = uniform_grid(5, (-2, 2), dtype=torch.float64)
    values = torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    slopes = torch.randn(3, 2, dtype=torch.float64, requires_grad=True) if tails == "free" else None
    x = (3 * torch.randn(shape, dtype=torch.float64)).requires_grad_()

    def call(x, values, slopes):
        return evaluate(
            x, values, hinges, dim=dim, tails=tails, tail_slopes=slopes, uniform=uniform
        )

    assert torch.autograd.gradcheck(call, (x, values, slopes))
    assert torch.autograd.gradgradcheck(call, (x, values, slopes))


def test_value_gradients_are_the_hat_functions():
    hinges = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64)
    values = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)
    x = torch.tensor([0.5, -0.25, 3.0], dtype=torch.float64)
    g = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    evaluate(x, values, hinges).backward(g)
    # t = 0.25 on (0, 2); t = 0.75 on (-1, 0); t = 1.5 on the linear tail that continues (0, 2).
    expected = [10 * 0.25, 0.75 + 10 * 0.75 - 100 * 0.5, 0.25 + 100 * 1.5]
    torch.testing.assert_close(values.grad, torch.tensor([expected], dtype=torch.float64))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_line_is_in_range_and_right_at_every_edge(dtype):
    for count in range(2, 258):
        for ends in ((-3.0, 3.0), (0.0, 2.9), (-2.5, 0.0), (-0.7, 5.1)):
            for kinks in ((), (0.0,)) if count > 2 else ((),):
                hinges = uniform_grid(count, ends, kinks=kinks, dtype=dtype)
                near = [oracles.ulps(hinges, n).float() for n in (-1, 0, 1)]
                extreme = torch.tensor([-torch.inf, torch.inf, 1e30, -1e30, 0.0, -0.0])
                x = torch.cat([*near, extreme])
                line = _line_by_arithmetic(x, hinges.float())
                assert line.min() >= 0 and line.max() <= count
                assert_same_line(x, hinges.float(), line)


@pytest.mark.parametrize("count", [2, 3, 9, 64, 257])
def test_comparing_counts_the_hinges_at_or_left_of_the_input(count):
    hinges = uniform_grid(count)
    x = torch.cat([4 * torch.randn(200), hinges, torch.tensor([torch.nan, torch.inf, -torch.inf])])
    expected = (x.unsqueeze(-1) >= hinges).sum(dim=-1, dtype=torch.int32)
    assert torch.equal(_line_by_comparing(x, hinges), expected)


@pytest.mark.parametrize("count", [2, 3, 4, 9, 17, 64, 100, 257])
@pytest.mark.parametrize("rows", [None, 1, 3])
def test_halving_counts_the_hinges_at_or_left_of_the_input(count, rows):
    shape = (count,) if rows is None else (rows, count)
    hinges = (4 * torch.randn(shape)).sort(dim=-1).values
    special = torch.tensor([torch.nan, torch.inf, -torch.inf]).expand(3, 3)
    x = torch.cat([4 * torch.randn(3, 200), hinges.expand(3, count), special], dim=1)
    expected = (x.unsqueeze(-1) >= hinges.unsqueeze(-2)).sum(dim=-1, dtype=torch.int32)
    assert torch.equal(_line_by_halving(x, hinges, 0), expected)


def assert_same_line(x, hinges, line):
    """Compare a line found by arithmetic with the count of the hinges at or left of the input.

    Without a hinge at 0, `x - anchor` may round. An input one unit in the last place off a hinge
    may then get the line on the other side of the hinge, which has the same value there.
    """
    expected = torch.searchsorted(hinges, x, right=True)
    off = line != expected
    if (hinges == 0).any():
        assert not off.any()
    gap = (x[off].unsqueeze(-1) - hinges).abs().amin(dim=-1)
    assert (gap <= 2 * torch.finfo(hinges.dtype).eps * hinges.abs().max()).all()


@pytest.mark.slow
@given(
    st.integers(3, 257),
    st.floats(-50, 50),
    st.floats(1e-3, 100),
    st.sampled_from([(), (0.0,)]),
    st.integers(0, 2**31),
)
def test_arithmetic_and_comparing_find_the_same_line(count, low, width, kinks, seed):
    hinges = uniform_grid(count, (low, low + width), kinks=kinks)
    assert is_uniform(hinges) and is_uniform(hinges.double())
    generator = torch.Generator().manual_seed(seed)
    random = low + width * (1.5 * torch.rand(500, generator=generator) - 0.25)
    x = torch.cat([random, *(oracles.ulps(hinges, n) for n in (-2, -1, 0, 1, 2))])
    for wide in (x, x.double()):
        positions = hinges.to(wide.dtype)
        assert_same_line(wide, positions, _line_by_arithmetic(wide, positions))


@pytest.mark.parametrize("uniform", [True, False])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_nan_gives_nan_and_infinity_follows_the_tail(uniform, dtype):
    hinges = uniform_grid(3, (-1, 1), dtype=dtype)
    x = torch.tensor([torch.nan, -torch.inf, torch.inf], dtype=dtype)

    def call(values, **kwargs):
        values = torch.tensor([values], dtype=dtype)
        return evaluate(x, values, hinges, uniform=uniform, **kwargs).tolist()

    nan, *relu = call([0.0, 0.0, 1.0])
    assert np.isnan(nan) and relu == [0.0, float("inf")]
    assert call([1.0, 0.0, 1.0])[1:] == [float("inf")] * 2
    assert call([2.0, 0.0, 4.0], tails="constant")[1:] == [2.0, 4.0]
    slopes = torch.tensor([[1.0, 0.0]], dtype=dtype)
    assert call([2.0, 0.0, 4.0], tails="free", tail_slopes=slopes)[1:] == [float("-inf"), 4.0]


def test_infinite_inputs_do_not_poison_gradients_on_flat_tails():
    values = torch.tensor([[0.0, 0.0, 1.0]], requires_grad=True)
    x = torch.tensor([-torch.inf, 0.5], requires_grad=True)
    evaluate(x, values, torch.tensor([-1.0, 0.0, 1.0])).sum().backward()
    assert values.grad.isfinite().all()
    assert x.grad.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("x", [torch.arange(3), torch.tensor([True]), torch.tensor([1j])])
def test_inputs_that_are_not_floating_point_are_refused(x):
    with pytest.raises(
        errors.DtypeError,
        match=r"`hinged\.curve\.evaluate\(x\)`: .* point: convert it with x\.float",
    ):
        evaluate(x, torch.zeros(1, 3), torch.tensor([-1.0, 0.0, 1.0]))


def test_wrong_channel_count_is_refused():
    with pytest.raises(
        errors.ArgumentError, match=r"of shape \(2, 5\) with dim=1; expected 3 channels"
    ):
        evaluate(torch.zeros(2, 5), torch.zeros(3, 3), torch.tensor([-1.0, 0.0, 1.0]))


def test_computes_in_float32_for_half_inputs_and_float64_for_float64():
    hinges = torch.tensor([0.0, 1.0])
    steep = torch.tensor([[0.0, 1.0 / 3.0]])
    for dtype in oracles.HALF:
        x = torch.linspace(-2, 2, 101).to(dtype)
        expected = (x.float() * steep[0, 1]).to(dtype)
        assert torch.equal(evaluate(x, steep, hinges), expected)
    x = torch.linspace(-2, 2, 101, dtype=torch.float64)
    assert torch.equal(evaluate(x, steep, hinges), x * steep[0, 1].double())


@pytest.mark.parametrize("rows", [torch.zeros(3), torch.zeros(1, 3)])
def test_shared_rows_need_no_channel_axis(rows):
    assert per_channel(rows, 0, 1).shape == (3,)
