import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.isotonic import isotonic_regression
from torch.utils._python_dispatch import TorchDispatchMode

from hinged import Curve, errors
from hinged.curve import Constraint, project, satisfies, uniform_grid
from hinged.curve.constraints.constraint import rounded_up
from tests import oracles
from tests.curve.constraints.constraint_cases import CONSTRAINTS, SYMMETRIC, assert_satisfies

TAILS = ("linear", "constant", "free")
FREE = torch.tensor([-2.0, -1.1, -0.4, 0.1, 0.7, 2.1])
EVEN = uniform_grid(9, kinks=[0.0])
FIRST_ORDER = [name for name in CONSTRAINTS if "con" not in name]


def possible(name, tails):
    return tails != "constant" or "con" not in name


CASES = [case for case in itertools.product(CONSTRAINTS, TAILS) if possible(*case)]


def random_curve(name, tails, hinges=None, channels=7, scale=1.0, dtype=torch.float32):
    if hinges is None:
        hinges = SYMMETRIC if "odd" in name else FREE
    hinges = hinges.to(dtype)
    values = (scale * torch.randn(channels, hinges.shape[-1])).to(dtype)
    slopes = (scale * torch.randn(channels, 2)).to(dtype) if tails == "free" else None
    return Curve(hinges, values, tails, slopes)


def parameters(curve, channel):
    ends = [] if curve.tail_slopes is None else curve.tail_slopes[channel].double().tolist()
    return np.array(curve.values[channel].double().tolist() + ends)


def inequalities(constraint, hinges, tails):
    """Rows `A z >= b` and equalities `E z = 0` written down one by one, for values and slopes z."""
    count = len(hinges)
    size = count + (2 if tails == "free" else 0)
    pieces = [np.zeros(size) for _ in range(count - 1)]
    for k, piece in enumerate(pieces):
        piece[k + 1], piece[k] = np.array([1, -1]) / (hinges[k + 1] - hinges[k])
    ends = {"linear": (pieces[0], pieces[-1]), "constant": (0 * pieces[0], 0 * pieces[0])}
    unit = np.eye(size)
    left, right = (unit[-2], unit[-1]) if tails == "free" else ends[tails]
    lines = [left, *pieces, right]
    rows, same = [], []
    for line in lines:
        if constraint.monotone:
            rows.append((line if constraint.monotone == "increasing" else -line, 0.0))
        if constraint.lipschitz:
            rows += [(line, -constraint.lipschitz), (-line, -constraint.lipschitz)]
    for one, other in itertools.pairwise(lines):
        if constraint.convex:
            rows.append((other - one if constraint.convex == "convex" else one - other, 0.0))
    for sign, bound in ((1, constraint.low), (-1, -constraint.high)):
        if bound > -np.inf:
            rows += [(sign * unit[k], bound) for k in range(count)]
            rows += [(-sign * left, 0.0), (sign * right, 0.0)]
    if constraint.odd:
        same = [unit[k] + unit[count - 1 - k] for k in range((count + 1) // 2)]
        same += [left - right] if tails == "free" else []
    return rows, same


def closest(z, rows, same):
    """The same problem by SciPy's sequential quadratic programming."""
    conditions = [
        {"type": "ineq", "fun": lambda v, a=a, b=b: a @ v - b, "jac": lambda v, a=a: a}
        for a, b in rows
    ]
    conditions += [
        {"type": "eq", "fun": lambda v, a=a: a @ v, "jac": lambda v, a=a: a} for a in same
    ]
    found = minimize(
        lambda v: ((v - z) ** 2).sum() / 2, np.zeros_like(z), jac=lambda v: v - z,
        constraints=conditions, method="SLSQP", options={"ftol": 1e-15, "maxiter": 1000},
    )  # fmt: skip
    return found.x


def rounding(curve):
    """What rounding to float32 costs: units of the largest value, a hinge, over the least piece."""
    eps, hinges = torch.finfo(torch.float32).eps, curve.hinges
    size = curve.values.abs().max() / hinges.diff().min().clamp(max=1.0)
    return 4 * len(hinges) * eps * size.item()


@pytest.mark.parametrize("name, tails", CASES)
def test_no_allowed_curve_is_closer(name, tails):
    if tails == "free" and name not in FIRST_ORDER:
        pytest.skip("measured in other units, see the next test")
    constraint, curve = Constraint(**CONSTRAINTS[name]), random_curve(name, tails, channels=3)
    found = project(curve, constraint)
    rows, same = inequalities(constraint, curve.hinges.double().numpy(), tails)
    for channel in range(curve.channels):
        expected = closest(parameters(curve, channel), rows, same)
        np.testing.assert_allclose(
            parameters(found, channel), expected, rtol=0, atol=rounding(curve)
        )


@pytest.mark.parametrize("name", [name for name in CONSTRAINTS if name not in FIRST_ORDER])
def test_no_allowed_curve_with_free_tails_is_closer_over_a_mean_piece(name):
    constraint, curve = Constraint(**CONSTRAINTS[name]), random_curve(name, "free", channels=3)
    found = project(curve, constraint)
    rows, same = inequalities(constraint, curve.hinges.double().numpy(), "free")
    weight = np.ones(curve.hinges.numel() + 2)
    weight[-2:] = curve.hinges.double().diff().mean().item()
    rows = [(a / weight, b) for a, b in rows]
    for channel in range(curve.channels):
        expected = closest(weight * parameters(curve, channel), rows, same) / weight
        np.testing.assert_allclose(
            parameters(found, channel), expected, rtol=0, atol=rounding(curve)
        )


def test_monotone_is_isotonic_regression():
    curve = random_curve("increasing", "linear", EVEN, channels=50)
    found = project(curve, Constraint(monotone=True)).values
    for row, result in zip(curve.values, found, strict=True):
        np.testing.assert_allclose(result, isotonic_regression(row.double()), rtol=0, atol=1e-7)


class LargestTensor(TorchDispatchMode):
    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.entries = max(self.entries, result.numel())
        return result


def test_many_curves_need_no_more_memory_at_a_time_than_few():
    values = torch.randn(3000, 60)
    with LargestTensor() as largest:
        found = project(Curve(torch.arange(60.0), values), Constraint(monotone=True)).values
    assert largest.entries <= 2**20
    np.testing.assert_allclose(found[-1], isotonic_regression(values[-1].double()), atol=1e-6)


@st.composite
def any_case(draw):
    name, tails = draw(st.sampled_from(CASES))
    count = draw(st.integers(4, 40))
    even = draw(st.booleans())
    torch.manual_seed(draw(st.integers(0, 2**31)))
    if even:
        hinges = uniform_grid(count, kinks=[0.0] if count % 2 else [])
    else:
        hinges = (torch.rand(count) ** 3).clamp(min=1e-3).cumsum(0)
    if "odd" in name:
        right = hinges[hinges > 0]
        hinges = torch.cat((-right.flip(0), right))
    scale = draw(st.sampled_from([1e-6, 0.1, 1.0, 30.0, 1e5]))
    dtype = draw(st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
    if dtype in oracles.HALF:
        hinges, scale = EVEN if "odd" not in name else SYMMETRIC, min(max(scale, 0.1), 30.0)
    return name, random_curve(name, tails, hinges, 5, scale, dtype)


@pytest.mark.slow
@given(any_case())
def test_the_closest_curve_keeps_to_it_exactly_and_is_its_own_closest(case):
    name, curve = case
    constraint = Constraint(**CONSTRAINTS[name])
    found = project(curve, constraint)
    assert_satisfies(constraint, found)
    assert satisfies(found, constraint).all()
    assert project(found, constraint) is found


@pytest.mark.parametrize("name, tails", CASES)
def test_few_units_in_the_last_place_separate_float32_from_float64(name, tails):
    constraint, curve = Constraint(**CONSTRAINTS[name]), random_curve(name, tails, channels=200)
    if "odd" not in name:
        curve = random_curve(name, tails, EVEN, channels=200)
    wide = Curve(curve.hinges.double(), curve.values.double(), tails,
                 None if curve.tail_slopes is None else curve.tail_slopes.double())  # fmt: skip
    gap = project(curve, constraint).values - project(wide, constraint).values
    assert gap.abs().max() < 40 * torch.finfo(torch.float32).eps * curve.values.abs().max()


def test_channels_that_keep_to_it_do_not_move_a_bit():
    values = torch.stack([EVEN.relu(), EVEN, -EVEN, 0.5 * EVEN])
    found = project(Curve(EVEN, values), Constraint(convex=True, monotone=True))
    assert torch.equal(found.values[[0, 1, 3]], values[[0, 1, 3]])
    torch.testing.assert_close(found.values[2], torch.zeros(9), atol=1e-6, rtol=0)


def test_channels_with_nan_stay_as_they_are():
    curve = random_curve("increasing", "linear")
    curve.values[2, 3] = torch.nan
    found = project(curve, Constraint(monotone=True))
    assert torch.equal(found.values[2].isnan(), curve.values[2].isnan())
    assert (found.values[[0, 1, 3]].diff() >= 0).all()


def test_each_channel_has_its_own_hinges():
    rows = FREE * torch.tensor([[0.5], [1.0], [2.0]])
    values, constraint = torch.randn(3, 6), Constraint(convex=True, lipschitz=0.5)
    found = project(Curve(rows, values), constraint).values
    for channel in range(3):
        alone = project(Curve(rows[channel], values[channel, None]), constraint).values[0]
        torch.testing.assert_close(found[channel], alone)


REFUSED = [
    ({"lipschitz": 0.0}, "got 0.0; expected a largest slope above 0"),
    ({"lipschitz": float("nan")}, "got nan; expected"),
    ({"monotone": "up"}, "got 'up'; .*decreasing, increasing"),
    ({"bounds": (1.0, 0.0)}, r"got \(1.0, 0.0\); expected \(low, high\)"),
    ({"bounds": 3}, "got 3; expected"),
    ({"odd": True, "bounds": (0.0, 1.0)}, "an odd curve is 0 at 0"),
    ({"odd": True, "convex": True}, "only a straight line is both"),
    ({"convex": True, "bounds": (0.0, 1.0)}, "leave it unbounded above"),
    ({"convex": "concave", "bounds": (0.0, None)}, "leave it unbounded below"),
]


@pytest.mark.parametrize("constraint, message", REFUSED)
def test_what_contradicts_itself_is_refused(constraint, message):
    with pytest.raises(errors.ArgumentError, match=message):
        Constraint(**constraint)


@pytest.mark.parametrize(
    "constraint, curve, message",
    [
        ({"odd": True}, random_curve("", "linear", FREE), "hinges that lie symmetrically"),
        ({"convex": True}, random_curve("", "constant"), 'use tails="linear"'),
        ({"bounds": (0, 1)}, random_curve("", "linear", FREE[:3]), "got 3 hinges .* give 4 hinges"),
        (
            {"bounds": (1.0001, 1.0002)},
            random_curve("", "free", dtype=torch.bfloat16),
            "no number of that",
        ),
    ],
)
def test_what_the_hinges_cannot_carry_is_refused(constraint, curve, message):
    with pytest.raises(errors.ArgumentError, match=message):
        project(curve, Constraint(**constraint))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bound", [0.1, -0.1, 1.0, -1.0, 0.0, 1e-3, -1 / 3, 3.0001, -4.00001])
def test_bounds_are_rounded_inwards_to_the_next_number(dtype, bound):
    found = torch.tensor(rounded_up(bound, dtype), dtype=dtype)
    assert found.item() >= bound
    assert oracles.ulps(found, -1).item() < bound


def test_values_far_below_a_bound_become_exactly_convex():
    constraint = Constraint(convex=True, monotone=True, bounds=(0.1, None))
    for count in range(4, 16):
        hinges = (torch.rand(count) ** 3).clamp(min=1e-3).cumsum(0).double()
        curve = Curve(hinges, 1e-6 * torch.randn(5, count, dtype=torch.float64))
        assert_satisfies(constraint, project(curve, constraint))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_bound_far_below_the_values_changes_nothing(dtype):
    hinges = uniform_grid(9, (-3.0, 3.0), dtype=dtype)
    curve = Curve(hinges, (hinges.square() / 9 + 0.1 * torch.randn(5, 9)).to(dtype))
    unbounded = project(curve, Constraint(convex=True))
    for low in (-10.0, -1e6):
        bounded = project(curve, Constraint(convex=True, bounds=(low, None)))
        assert (bounded.values - unbounded.values).abs().max() <= 4 * torch.finfo(dtype).eps


def test_a_falling_curve_that_is_nearly_convex_moves_little():
    curve = Curve(torch.arange(4.0), torch.tensor([[3.0, 1.0, 0.6, 0.0]]))
    constraint = Constraint(convex=True, monotone="decreasing", lipschitz=2.0)
    assert (project(curve, constraint).values - curve.values).abs().max() < 0.1


def test_a_bound_holds_at_the_last_hinge_of_a_convex_curve_with_free_tails():
    curve = Curve(
        torch.arange(3.0), torch.tensor([[3.0, 1.0, -1.0]]), "free", torch.tensor([[-2.0, 0.0]])
    )
    closest = project(curve, Constraint(convex=True, bounds=(0.0, None)))
    rows = [each.double().tolist() for each in (closest.values[0], closest.tail_slopes[0])]
    assert rows == [pytest.approx([3.0, 1.0, 0.0], abs=0.35), pytest.approx([-2.5, 0.0], abs=0.6)]
    assert closest.values[0, 2].item() == pytest.approx(0.0, abs=1e-5)
