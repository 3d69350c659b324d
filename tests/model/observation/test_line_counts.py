import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged.model import LineCounts
from tests.model.observation.number_batches import batches, merged, same


@given(batches(), st.booleans())
def test_inputs_are_counted_on_the_lines_that_evaluation_uses(parts, per_channel):
    hinges = torch.tensor([-2.0, -0.5, 0.0, 3.0])
    rows = torch.stack((hinges, hinges + 1)) if per_channel else hinges.expand(2, -1)
    found = merged([LineCounts.of(part, rows if per_channel else hinges, 2) for part in parts])
    x = torch.cat(parts).numpy()
    for channel in range(2):
        lines = np.digitize(x[:, channel], rows[channel].numpy())
        assert found.counts[channel].tolist() == np.bincount(lines, minlength=5).tolist()
        outside = (lines == 0).sum() + (lines == 4).sum()
        assert found.share_outside[channel] == pytest.approx(outside / len(x))
        assert found.never_hit[channel].tolist() == [k not in lines for k in range(5)]


def test_pooled_counts_are_those_of_one_channel_with_all_numbers():
    x, hinges = torch.randn(50, 3), torch.tensor([-1.0, 0.0, 1.0])
    assert same(LineCounts.of(x, hinges, 3).pooled(), LineCounts.of(x.reshape(-1, 1), hinges))


def test_infinities_fall_on_the_tails_and_nan_is_not_counted():
    x = torch.tensor([[1.0, 2.0], [torch.nan, 4.0], [torch.inf, -torch.inf], [3.0, 0.0]])
    assert LineCounts.of(x, torch.tensor([-1.0, 1.0]), 2).counts.tolist() == [[0, 0, 3], [1, 1, 2]]


def test_an_input_at_a_hinge_is_on_the_line_to_its_right():
    found = LineCounts.of(torch.zeros(6, 2), torch.tensor([-1.0, 0.0, 1.0]), 2)
    assert found.counts.tolist() == [[0, 0, 6, 0]] * 2


def test_shares_without_inputs_are_zero():
    found = LineCounts.of(torch.zeros(0, 2), torch.tensor([-1.0, 1.0]), 2)
    assert found.shares.tolist() == [[0, 0, 0]] * 2 and found.never_hit.all()
