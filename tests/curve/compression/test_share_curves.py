import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import Curve, errors
from hinged.curve import distance, uniform_grid
from hinged.curve.compression.share_curves import share_curves

HINGES = uniform_grid(3, dtype=torch.float64)
rows = st.lists(st.integers(-3, 3), min_size=3, max_size=3)


def fewest_groups(values, tolerance):
    """Fewest sets of rows, each within the tolerance of one row of its own, by trying."""
    near = (values[:, None] - values[None]).abs().amax(dim=-1) <= tolerance
    for count in range(1, len(values) + 1):
        for centres in itertools.combinations(range(len(values)), count):
            if near[list(centres)].any(dim=0).all():
                return count
    raise AssertionError("every row is near itself")


@given(st.lists(rows, min_size=1, max_size=6), st.sampled_from([0.0, 1.0, 2.5]))
def test_groups_keep_the_bound_and_are_few(values, tolerance):
    values = torch.tensor(values, dtype=torch.float64)
    found = share_curves(Curve(HINGES, values), tolerance)
    assert (found.error <= tolerance).all()
    torch.testing.assert_close(found.error, distance(Curve(HINGES, values), found.expand()))
    best = fewest_groups(values, tolerance)
    harmonic = sum(1 / k for k in range(1, len(values) + 1))
    assert found.curve.channels <= best * harmonic
    if best == 1:
        assert found.curve.channels == 1


def test_with_no_tolerance_equal_channels_share():
    values = torch.randn(4, 3)[[0, 1, 1, 3, 0, 1]]
    found = share_curves(Curve(HINGES, values.double()), 0.0)
    assert found.group.tolist() == [1, 0, 0, 2, 1, 0]
    assert torch.equal(found.expand().values, values.double())


def test_free_tails_take_part():
    values = torch.zeros(2, 3, dtype=torch.float64)
    slopes = torch.tensor([[0.0, 1.0], [0.0, 3.0]], dtype=torch.float64)
    curve = Curve(HINGES, values, "free", slopes)
    assert share_curves(curve, 0.5).curve.channels == 2
    together = share_curves(curve, 2.0)
    assert together.curve.tail_slopes.tolist() == [[0.0, 2.0]]
    assert together.expand().tail_slopes.shape == (2, 2)


def test_groups_in_noise_are_found():
    centres = torch.randn(5, 9) * 3
    member = torch.arange(200) % 5
    values = centres[member] + 0.05 * (2 * torch.rand(200, 9) - 1)
    found = share_curves(Curve(uniform_grid(9), values), 0.1)
    assert found.curve.channels == 5
    assert all(len(set(found.group[member == m].tolist())) == 1 for m in range(5))
    # Half-way between the extremes no channel is further off than the noise.
    assert found.error.max() <= 0.0501


def test_refusals():
    curve = Curve(HINGES, torch.zeros(2, 3, dtype=torch.float64))
    with pytest.raises(errors.ArgumentError, match="got -1; expected 0 or more"):
        share_curves(curve, -1)
    apart = Curve(torch.stack((HINGES, HINGES + 1)), curve.values)
    with pytest.raises(errors.ArgumentError, match=r"share their hinges: expected \(K,\)"):
        share_curves(apart, 1.0)


def test_one_group_is_found_wherever_one_will_do():
    values = torch.tensor([[0.0, 0.0], [2.0, 2.0], [0.0, 2.0]])
    shared = share_curves(Curve(torch.tensor([0.0, 1.0]), values), 1.0)
    assert shared.group.tolist() == [0, 0, 0] and shared.curve.values.tolist() == [[1, 1]]
    assert share_curves(Curve(torch.tensor([0.0, 1.0]), values), 0.99).curve.channels > 1
