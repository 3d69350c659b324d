import functools
import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from hinged import errors
from hinged.model import Histogram
from tests.model.observation.number_batches import batches, merged, same


@given(batches(), st.sampled_from([2, 8, 64]), st.randoms())
def test_histograms_merge_exactly_in_any_order(parts, bins, order):
    whole = Histogram.of(torch.cat(parts), 2, bins=bins)
    order.shuffle(parts)
    summaries = [Histogram.of(part, 2, bins=bins) for part in parts]
    assert same(merged(summaries), whole)
    right = functools.reduce(lambda second, first: first.merge(second), reversed(summaries))
    assert same(right, whole)


@given(batches(channels=1), st.sampled_from([8, 64]))
def test_histograms_count_what_numpy_counts(parts, bins):
    x = torch.cat(parts)
    found = Histogram.of(x, bins=bins)
    edges = found.edges()[0].numpy()
    inside = [int(((x.numpy() >= a) & (x.numpy() < b)).sum()) for a, b in itertools.pairwise(edges)]
    assert found.counts[0].tolist() == inside
    assert found.counts.sum() == len(x)


@given(batches(channels=1))
def test_bins_are_as_fine_as_the_count_allows(parts):
    x = torch.cat(parts).double()
    found = Histogram.of(x, bins=32)
    assume(found.level > -60)
    width = found.width.item()
    span = (x.max() - x.min()).item()
    limit = 2.0 ** (np.frexp(x.abs().max().item())[1] - 40)
    assert span < 32 * width
    half = np.floor(x.max().item() / width * 2) - np.floor(x.min().item() / width * 2)
    assert half >= 32 or width <= limit


def test_zero_is_an_edge_wherever_the_range_contains_it():
    for scale in (1e-3, 1.0, 37.0, 1e5):
        histogram = Histogram.of(scale * torch.randn(500, 3), 3)
        assert (histogram.edges() == 0).any(dim=1).all()


@given(batches(channels=1), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_quantiles_are_accurate_to_the_width_of_a_bin(parts, shares):
    x = torch.cat(parts)
    histogram = Histogram.of(x, bins=64)
    found = histogram.quantiles(shares)
    ordered = np.sort(x.double().numpy().ravel())
    for share, value in zip(shares, found[0].tolist(), strict=True):
        # The quantile lies between these numbers under any of its definitions.
        place = share * len(ordered)
        below = ordered[max(int(np.ceil(place)) - 1, 0)]
        above = ordered[min(int(np.floor(place)), len(ordered) - 1)]
        slack = histogram.width.item() * 1.000001
        assert min(below, above) - slack <= value <= max(below, above) + slack


def test_quantiles_of_many_numbers():
    x = torch.randn(200_000, dtype=torch.float64)[:, None] * 2 + 1
    histogram = merged([Histogram.of(part) for part in x.split(10_000)])
    shares = [0.0, 0.001, 0.25, 0.5, 0.9, 1.0]
    expected = np.quantile(x.numpy(), shares)
    np.testing.assert_allclose(
        histogram.quantiles(shares)[0], expected, atol=histogram.width.item()
    )
    assert histogram.quantiles([0.0, 1.0])[0].tolist() == [x.min(), x.max()]


def test_points_are_a_distribution():
    x = torch.randn(5_000, 2) * torch.tensor([1.0, 5.0])
    positions, shares = Histogram.of(x, 2).points()
    assert (positions.diff(dim=1) > 0).all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, dtype=torch.float64))
    means = (positions * shares).sum(dim=1)
    torch.testing.assert_close(means, x.double().mean(dim=0), atol=0.02, rtol=0)


@given(batches(channels=3))
def test_pooled_channels_equal_one_channel_with_all_numbers(parts):
    x = torch.cat(parts)
    assert same(Histogram.of(x, 3, bins=32).pooled(), Histogram.of(x.reshape(-1, 1), bins=32))


def test_numbers_that_are_not_finite_are_not_counted():
    x = torch.tensor([[1.0, 2.0], [torch.nan, 4.0], [torch.inf, -torch.inf], [3.0, 0.0]])
    assert Histogram.of(x, 2).counts.sum(dim=1).tolist() == [2, 3]


def test_a_histogram_without_numbers():
    found = Histogram.of(torch.zeros(0, 2), 2)
    assert found.points()[1].sum() == found.counts.sum() == 0
    assert found.quantiles([0.0, 0.5]).isnan().all()
    other = Histogram.of(torch.randn(9, 2), 2)
    assert same(found.merge(other), other)


def test_refusals():
    x = torch.randn(4, 3)
    with pytest.raises(errors.ArgumentError, match=r"bins=\.\.\.\)`: got 100; expected a power of"):
        Histogram.of(x, 3, bins=100)
    with pytest.raises(errors.ArgumentError, match="expected fractions from 0 to 1"):
        Histogram.of(x, 3).quantiles([0.5, 1.5])
    with pytest.raises(
        errors.ArgumentError, match=r"shapes \(3, 512\) and \(3, 64\); expected statistics"
    ):
        Histogram.of(x, 3).merge(Histogram.of(x, 3, bins=64))
