import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import errors
from hinged.curve import TAILS, is_uniform, uniform_grid
from hinged.curve.placement.uniform_grid import _uneven_positions

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
RANGES = (
    (-3.0, 3.0), (0.0, 2.9), (-2.5, 0.0), (-0.1, 7.3), (-9.7, 0.01), (-1 / 3, 2 / 7), (1.0, 5.0)
)  # fmt: skip


def smallest_step(count, low, high, kink, margin):
    """Return the shortest step that covers the range, by trying all indices for the kink."""
    low, high = min(low, kink), max(high, kink)
    steps = []
    for before in range(margin, count - margin):
        after = count - 1 - before
        if (before == 0 and low < kink) or (after == 0 and high > kink):
            continue
        left = (kink - low) / before if before else 0.0
        right = (high - kink) / after if after else 0.0
        steps.append(max(left, right))
    return min(steps, default=None)


def units(hinges, dtype):
    """Return the distance of neighbouring numbers of `dtype` at the farthest hinge."""
    return torch.finfo(dtype).eps * 2.0 ** math.floor(math.log2(float(hinges.abs().max())))


@given(
    st.integers(3, 257),
    st.floats(-100, 100),
    st.floats(1e-2, 200),
    st.sampled_from([0.0, 0.5, -1.0]),
    st.sampled_from(TAILS),
    st.sampled_from(DTYPES[:2]),
)
def test_one_kink_lies_on_a_hinge_and_the_range_is_widened_least(
    count, low, width, kink, tails, dtype
):
    high = low + width
    grid = uniform_grid(count, (low, high), kinks=[kink], tails=tails, dtype=dtype)
    assert grid.dtype == dtype
    assert grid.shape == (count,)
    assert (grid == kink).any()
    margin = 1 if tails == "linear" else 0
    place = int((grid == kink).nonzero())
    assert margin <= place < count - margin
    unit = units(grid, dtype)
    # Float ends need not be numbers of the dtype.
    assert float(grid[0]) <= low + unit
    assert float(grid[-1]) >= high - unit
    assert is_uniform(grid)
    step = float(grid[1].double() - grid[0].double())
    least = smallest_step(count, low, high, kink, margin)
    # The step is longer only as far as an exact spacing needs: see `_spacings`.
    assert least * (1 - 1e-9) <= step <= least + 4 * unit


@pytest.mark.slow
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kinks", [(), (0.0,)])
def test_grids_are_uniform_to_the_last_bit_and_cover_the_range(dtype, kinks):
    # In bfloat16 there are not 257 equally spaced numbers from 1 to 5.
    counts = (*range(3, 66), *(() if dtype == torch.bfloat16 else (128, 129, 257)))
    for ends, tails in itertools.product(RANGES, TAILS):
        low, high = torch.tensor(ends, dtype=torch.float64).to(dtype).double()
        for count in counts:
            grid = uniform_grid(count, ends, kinks=kinks, tails=tails, dtype=dtype)
            assert is_uniform(grid), (ends, count)
            wide = grid.double()
            assert is_uniform(wide)
            assert all((grid == kink).sum() == 1 for kink in kinks)
            if tails == "linear" and count < 66:
                unit = units(wide, dtype)
                assert wide[0] <= low + unit
                assert wide[-1] >= high - unit


@pytest.mark.parametrize("dtype", DTYPES[:2])
def test_without_kinks_the_range_changes_by_a_few_last_places_only(dtype):
    for ends, count in itertools.product(RANGES, (2, 3, 9, 10, 64, 257)):
        grid = uniform_grid(count, ends, dtype=dtype).double()
        slack = 8 * count * units(grid, dtype)
        assert abs(float(grid[0]) - ends[0]) <= slack
        assert abs(float(grid[-1]) - ends[1]) <= slack


@pytest.mark.parametrize(
    ("count", "ends", "tails", "expected"),
    [
        (9, (-3.0, 3.0), "linear", [-3.0, -2.25, -1.5, -0.75, 0.0, 0.75, 1.5, 2.25, 3.0]),
        (5, (-1.0, 2.0), "linear", [-1.0, 0.0, 1.0, 2.0, 3.0]),
        (3, (0.0, 3.0), "linear", [-3.0, 0.0, 3.0]),
        (3, (0.0, 3.0), "constant", [0.0, 1.5, 3.0]),
        (2, (0.0, 3.0), "free", [0.0, 3.0]),
        (4, (-3.0, 0.0), "free", [-3.0, -2.0, -1.0, 0.0]),
        (3, (2.0, 8.0), "linear", [-8.0, 0.0, 8.0]),
        (4, (-8.0, -2.0), "linear", [-8.0, -4.0, 0.0, 4.0]),
    ],
)
def test_grids_worked_out_by_hand(count, ends, tails, expected):
    assert uniform_grid(count, ends, kinks=[0.0], tails=tails).tolist() == expected


@pytest.mark.parametrize(
    ("kinks", "ends", "count", "expected"),
    [
        ((0.0, 6.0), (-3.0, 3.0), 9, [-4.5, -3.0, -1.5, 0.0, 1.5, 3.0, 4.5, 6.0, 7.5]),
        ((0.0, 6.0), (-3.0, 3.0), 5, [-3.0, 0.0, 3.0, 6.0, 9.0]),
        ((0.0, 6.0), (0.0, 6.0), 4, [-6.0, 0.0, 6.0, 12.0]),
        ((-1.0, 1.0), (-3.0, 3.0), 9, [-4.0, -3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0, 4.0]),
        ((-1.0, 1.0), (-3.0, 3.0), 4, [-3.0, -1.0, 1.0, 3.0]),
    ],
)
def test_two_kinks_lie_on_hinges_of_a_uniform_grid(kinks, ends, count, expected):
    assert uniform_grid(count, ends, kinks=kinks).tolist() == expected


@pytest.mark.parametrize("tails", TAILS)
@pytest.mark.parametrize(
    "kinks", [(0.0, 6.0), (-1.0, 1.0), (-3.0, 3.0), (-0.7, 1.1), (-1.0, 0.1, 1.0)]
)
def test_several_kinks_lie_on_hinges_whatever_the_count(kinks, tails):
    margin = 2 if tails == "linear" else 0
    for ends in ((-3.0, 3.0), (0.0, 2.9), (-9.7, 0.01), (2.0, 5.0)):
        for count in range(len(kinks) + 2, 40):
            grid = uniform_grid(count, ends, kinks=kinks, tails=tails)
            assert len(grid) == count
            assert all((grid == torch.tensor(kink)).sum() == 1 for kink in kinks)
            assert (grid.diff() > 0).all()
            outside = (grid < kinks[0] - 1e-6).any() and (grid > kinks[-1] + 1e-6).any()
            assert outside or not margin
            # A free position may round by half a unit in the last place.
            assert grid[0] <= ends[0] + 1e-6
            assert grid[-1] >= ends[1] - 1e-6


def test_kinks_that_no_uniform_grid_has_give_an_uneven_grid():
    grid = uniform_grid(4, (-3.0, 3.0), kinks=[-0.7, 1.1])
    torch.testing.assert_close(grid, torch.tensor([-3.0, -0.7, 1.1, 3.0]))
    assert not is_uniform(grid)
    grid = uniform_grid(6, (-3.0, 3.0), kinks=[-0.7, 1.1])
    # The widest gaps are halved: (-3, -0.7), then (1.1, 3).
    torch.testing.assert_close(grid, torch.tensor([-3.0, -1.85, -0.7, 1.1, 2.05, 3.0]))


@pytest.mark.parametrize("tails", ["constant", "free"])
def test_a_grid_has_the_given_number_of_hinges_or_is_refused(tails):
    for kinks in ((0.0,), (0.0, 6.0), (-1.0, 1.0), (-0.7, 1.1)):
        for count, ends in itertools.product(range(2, 8), RANGES):
            try:
                grid = uniform_grid(count, ends, kinks=kinks, tails=tails)
            except errors.ArgumentError as error:
                assert f"got {count} hinges" in str(error)  # noqa: PT017
                continue
            assert len(grid) == count, (kinks, ends)


def test_order_and_repetition_of_kinks_do_not_matter():
    expected = uniform_grid(9, kinks=[-1.0, 1.0])
    assert torch.equal(uniform_grid(9, kinks=[1.0, -1.0, 1.0]), expected)


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, "got 1 hinge; a curve needs at least 2"),
        (0, "got 0 hinges; a curve needs at least 2"),
        (-3, "got -3 hinges; a curve needs at least 2"),
        (2, "got 2 hinges; a function with a kink at 0 needs at least 3: one at each kink"),
        (9.0, "got 9.0; expected a whole number of hinges, or the positions as a tensor"),
        (True, "got True; expected a whole number of hinges"),
    ],
)
def test_counts_that_cannot_work_are_refused(count, message):
    with pytest.raises(errors.ArgumentError, match=message):
        uniform_grid(count, kinks=[0.0])


@pytest.mark.parametrize(
    "ends", [(1, 1), (2, 1), (math.nan, 1), (0, math.inf), (1,), 3, "ab", None]
)
def test_ranges_without_width_are_refused(ends):
    message = (
        r"`hinged\.curve\.uniform_grid\(range=\.\.\.\)`: got .*"
        "(expected finite numbers with low < high|expected two numbers)"
    )
    with pytest.raises(errors.ArgumentError, match=message):
        uniform_grid(9, ends)


def test_hinges_that_a_dtype_cannot_tell_apart_are_refused():
    message = r"got 257 hinges from 1 to 1\.01 in torch\.bfloat16; that dtype cannot tell them"
    with pytest.raises(errors.ArgumentError, match=message):
        uniform_grid(257, (1.0, 1.01), dtype=torch.bfloat16)


def test_ranges_that_a_dtype_cannot_represent_are_refused():
    message = (
        r"got a range from -100000 to 200000 in torch\.float16; that dtype has no numbers this"
    )
    with pytest.raises(errors.ArgumentError, match=message):
        uniform_grid(9, (-1e5, 2e5), dtype=torch.float16)


def test_a_kink_at_an_end_of_the_range_gets_a_hinge_one_even_gap_outside():
    ends = Fraction(0), Fraction(4)
    assert _uneven_positions(5, *ends, [Fraction(0), Fraction(1)], 1)[0] == -1
    assert _uneven_positions(5, *ends, [Fraction(1), Fraction(4)], 1)[-1] == 5
