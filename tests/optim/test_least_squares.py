import numpy as np
import pytest
import torch

from hinged.optim.least_squares import least_squares, rank, reduce_rows, solve_normal


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_it_is_numpys():
    a, b = draw(40, 6), draw(40, 3, seed=1)
    expected = np.linalg.lstsq(a.numpy(), b.numpy(), rcond=None)[0]
    np.testing.assert_allclose(least_squares(a, b).numpy(), expected, rtol=1e-10)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_units_of_measurement_do_not_matter(scale):
    a, b = draw(40, 6), draw(40, 2, seed=1)
    scales = torch.tensor([1.0, scale, 1.0, 1.0, 1.0 / scale, 1.0], dtype=torch.float64)
    scaled = least_squares(a * scales, b) * scales[:, None]
    torch.testing.assert_close(scaled, least_squares(a, b), rtol=1e-9, atol=0)


def test_columns_that_repeat_others_leave_the_residual_as_it_is():
    a, b = draw(40, 6), draw(40, 2, seed=1)
    more = torch.cat((a, a[:, :1] - 2 * a[:, 1:2], torch.zeros(40, 1, dtype=torch.float64)), dim=1)
    for _ in range(50):  # What reads memory that was never written is right now and then.
        solved = least_squares(more, b)
        torch.testing.assert_close(more @ solved, a @ least_squares(a, b))
        assert solved.abs().max() < 10 and not solved[-1].any()


@pytest.mark.parametrize("size", [1, 3, 40])
@pytest.mark.parametrize("rows", [2, 6, 40])
def test_reduced_rows_have_the_same_solution(rows, size):
    a, b = draw(rows, 6), draw(rows, 3, seed=1)
    a[:, 5] = a[:, 0] - 2 * a[:, 1]
    small, right = reduce_rows(zip(a.split(size), b.split(size), strict=True))
    assert small.shape == (min(rows, 6), 6) and right.shape == (min(rows, 6), 3)
    torch.testing.assert_close(least_squares(small, right), least_squares(a, b))
    assert rank(small) == min(rows, 5)


def test_reduced_rows_do_not_square_the_condition_number():
    """The columns are almost dependent, and the normal equations are wrong by about 1e-6."""
    a = draw(40, 6)
    a[:, 1] = a[:, 0] + 1e-5 * a[:, 1]
    exact = torch.arange(6, dtype=torch.float64)[:, None]
    b = a @ exact
    found = least_squares(*reduce_rows(zip(a.split(7), b.split(7), strict=True)))
    torch.testing.assert_close(found, exact, rtol=1e-8, atol=1e-8)
    normal = torch.linalg.solve(a.T @ a, a.T @ b)
    assert (normal - exact).abs().max() > 1e-7


def test_normal_equations_have_the_solution_of_least_squares():
    a, b = draw(40, 6), draw(40, 1, seed=1)
    solved = solve_normal(a.T @ a, (a.T @ b)[:, 0])
    torch.testing.assert_close(solved, least_squares(a, b)[:, 0])


def test_normal_equations_of_too_few_patterns_are_solved_all_the_same():
    a, b = draw(4, 6), draw(4, 1, seed=1)
    solved = solve_normal(a.T @ a, (a.T @ b)[:, 0])
    torch.testing.assert_close(a @ solved[:, None], b, rtol=1e-5, atol=1e-5)
    assert solved.abs().max() < 100
