import numpy as np
import pytest
import torch
from hypothesis import given

from hinged import errors
from hinged.model import Moments
from tests.model.observation.number_batches import batches, merged


@given(batches())
def test_merged_moments_are_those_of_all_numbers(parts):
    found = merged([Moments.of(part, 2) for part in parts])
    every = torch.cat(parts).double().numpy()
    assert found.count.tolist() == [len(every)] * 2
    size = np.abs(every).max(axis=0)
    assert (np.abs(found.mean.numpy() - every.mean(axis=0)) <= 1e-14 * size).all()
    assert (np.abs(found.std.numpy() - every.std(axis=0)) <= 1e-13 * size).all()
    np.testing.assert_array_equal(found.low, every.min(axis=0))
    np.testing.assert_array_equal(found.high, every.max(axis=0))


def test_moments_without_numbers():
    found = merged([Moments.of(torch.zeros(0, 2), 2), Moments.of(torch.zeros(0, 2), 2)])
    assert found.count.tolist() == found.mean.tolist() == found.std.tolist() == [0, 0]
    assert (found.low.tolist(), found.high.tolist()) == ([np.inf] * 2, [-np.inf] * 2)
    assert found.pooled().mean.tolist() == [0]


def test_moments_far_from_zero_do_not_cancel():
    x = 1e6 + torch.randn(40, 3, 25, dtype=torch.float64)
    found = merged([Moments.of(part, 3) for part in x.split(7)])
    np.testing.assert_allclose(found.std, x.numpy().std(axis=(0, 2)), rtol=1e-9)


def test_numbers_that_are_not_finite_are_counted_separately():
    x = torch.tensor([[1.0, 2.0], [torch.nan, 4.0], [torch.inf, -torch.inf], [3.0, 0.0]])
    found = Moments.of(x, 2)
    assert found.nonfinite.tolist() == [2, 1] and found.count.tolist() == [2, 3]
    assert found.mean.tolist() == [2, 2] and found.high.tolist() == [3, 4]


@given(batches(channels=3))
def test_pooled_moments_are_those_of_one_channel_with_all_numbers(parts):
    x = torch.cat(parts)
    found, every = Moments.of(x, 3).pooled(), Moments.of(x.reshape(-1, 1))
    assert torch.equal(found.count, every.count) and torch.equal(found.high, every.high)
    size = x.abs().max().item()
    torch.testing.assert_close(found.mean, every.mean, atol=1e-14 * size, rtol=0)
    torch.testing.assert_close(found.std, every.std, atol=1e-13 * size, rtol=0)


def test_wrong_number_of_channels():
    with pytest.raises(
        errors.ArgumentError,
        match=r"hinged.model.Moments.of\(x\)`: got a tensor of .*\(4, 3\) with dim=1; expected 5",
    ):
        Moments.of(torch.randn(4, 3), 5)
