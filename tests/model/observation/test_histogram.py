import functools
import itertools

import numpy as np
import pytest
import torch
import torch.multiprocessing
from hypothesis import given
from hypothesis import strategies as st

from hinged import Curve, errors
from hinged.model import Histogram, LineCounts, Moments, merge_across_processes
from hinged.model.observation.channel_rows import channel_rows
from tests.processes import in_two_processes

magnitudes = st.floats(2.0**-40, 2.0**40, width=32)
numbers = st.one_of(st.just(0.0), magnitudes, magnitudes.map(lambda m: -m))


@st.composite
def batches(draw, channels=2):
    sizes = draw(st.lists(st.integers(0, 7), min_size=1, max_size=5))
    return [
        torch.tensor(
            draw(
                st.lists(
                    st.lists(numbers, min_size=channels, max_size=channels), min_size=n, max_size=n
                )
            )
        ).reshape(n, channels)
        for n in sizes
    ]


def merged(summaries):
    return functools.reduce(lambda first, second: first.merge(second), summaries)


def same(first, second):
    return all(torch.equal(getattr(first, name), getattr(second, name)) for name in vars(first))


@given(batches())
def test_merged_moments_are_those_of_all_numbers(parts):
    found = merged([Moments.of(part, 2) for part in parts])
    every = torch.cat(parts).double().numpy()
    assert found.count.tolist() == [len(every)] * 2
    if not len(every):
        assert found.mean.tolist() == found.std.tolist() == [0, 0]
        assert (found.low.tolist(), found.high.tolist()) == ([np.inf] * 2, [-np.inf] * 2)
        return
    size = np.abs(every).max(axis=0)
    assert (np.abs(found.mean.numpy() - every.mean(axis=0)) <= 1e-14 * size).all()
    assert (np.abs(found.std.numpy() - every.std(axis=0)) <= 1e-13 * size).all()
    np.testing.assert_array_equal(found.low, every.min(axis=0))
    np.testing.assert_array_equal(found.high, every.max(axis=0))


def test_moments_far_from_zero_do_not_cancel():
    x = 1e6 + torch.randn(40, 3, 25, dtype=torch.float64)
    found = merged([Moments.of(part, 3) for part in x.split(7)])
    expected = channel_rows(x, 3, 1, "call").numpy().std(axis=1)
    np.testing.assert_allclose(found.std, expected, rtol=1e-9)


def test_what_is_not_finite_is_counted_apart():
    x = torch.tensor([[1.0, 2.0], [torch.nan, 4.0], [torch.inf, -torch.inf], [3.0, 0.0]])
    found = Moments.of(x, 2)
    assert found.nonfinite.tolist() == [2, 1] and found.count.tolist() == [2, 3]
    assert found.mean.tolist() == [2, 2] and found.high.tolist() == [3, 4]
    assert Histogram.of(x, 2).counts.sum(dim=1).tolist() == [2, 3]
    assert LineCounts.of(x, torch.tensor([-1.0, 1.0]), 2).counts.tolist() == [[0, 0, 3], [1, 1, 2]]


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
    if len(x) and found.level > -60:
        width = found.width.item()
        span = (x.max() - x.min()).item()
        limit = 2.0 ** (np.frexp(x.abs().max().item())[1] - 40)
        assert span < 32 * width
        half = np.floor(x.max().item() / width * 2) - np.floor(x.min().item() / width * 2)
        assert half >= 32 or width <= limit


def test_zero_is_an_edge_wherever_it_is_within():
    for scale in (1e-3, 1.0, 37.0, 1e5):
        seen = Histogram.of(scale * torch.randn(500, 3), 3)
        assert (seen.edges() == 0).any(dim=1).all()


@given(batches(channels=1), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_quantiles_are_right_to_within_a_bin(parts, shares):
    x = torch.cat(parts)
    seen = Histogram.of(x, bins=64)
    found = seen.quantiles(shares)
    if not len(x):
        assert found.isnan().all()
        return
    ordered = np.sort(x.double().numpy().ravel())
    for share, value in zip(shares, found[0].tolist(), strict=True):
        # The numbers between which the quantile lies, whichever of the definitions is meant.
        place = share * len(ordered)
        below = ordered[max(int(np.ceil(place)) - 1, 0)]
        above = ordered[min(int(np.floor(place)), len(ordered) - 1)]
        slack = seen.width.item() * 1.000001
        assert min(below, above) - slack <= value <= max(below, above) + slack


def test_quantiles_of_many_numbers():
    x = torch.randn(200_000, dtype=torch.float64)[:, None] * 2 + 1
    seen = merged([Histogram.of(part) for part in x.split(10_000)])
    shares = [0.0, 0.001, 0.25, 0.5, 0.9, 1.0]
    expected = np.quantile(x.numpy(), shares)
    np.testing.assert_allclose(seen.quantiles(shares)[0], expected, atol=seen.width.item())
    assert seen.quantiles([0.0, 1.0])[0].tolist() == [x.min(), x.max()]


def test_points_are_a_distribution():
    x = torch.randn(5_000, 2) * torch.tensor([1.0, 5.0])
    positions, shares = Histogram.of(x, 2).points()
    assert (positions.diff(dim=1) > 0).all()
    torch.testing.assert_close(shares.sum(dim=1), torch.ones(2, dtype=torch.float64))
    means = (positions * shares).sum(dim=1)
    torch.testing.assert_close(means, x.double().mean(dim=0), atol=0.02, rtol=0)
    assert Histogram.of(torch.zeros(0, 2), 2).points()[1].sum() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype):
    x = torch.randn(64, 3, 5).to(dtype)
    for kind in (Moments, Histogram):
        assert same(kind.of(x, 3), kind.of(x.double(), 3))
    hinges = torch.tensor([-1.0, 0.0, 1.0], dtype=dtype)
    assert same(LineCounts.of(x, hinges, 3), LineCounts.of(x.double(), hinges.double(), 3))


@given(batches(), st.booleans())
def test_lines_are_those_of_evaluation(parts, per_channel):
    hinges = torch.tensor([-2.0, -0.5, 0.0, 3.0])
    rows = torch.stack((hinges, hinges + 1)) if per_channel else hinges.expand(2, -1)
    found = merged([LineCounts.of(part, rows if per_channel else hinges, 2) for part in parts])
    x = torch.cat(parts).numpy()
    for channel in range(2):
        lines = np.digitize(x[:, channel], rows[channel].numpy())
        assert found.counts[channel].tolist() == np.bincount(lines, minlength=5).tolist()
        outside = (lines == 0).sum() + (lines == 4).sum()
        assert found.share_outside[channel] == pytest.approx(outside / max(len(x), 1))
        assert found.never_hit[channel].tolist() == [k not in lines for k in range(5)]


@pytest.mark.parametrize("dim, shape", [(1, (4, 3, 3, 3)), (-1, (4, 3, 3)), (2, (5, 7, 3))])
def test_the_channel_axis_is_the_one_given(dim, shape):
    x = torch.randn(shape)
    moved = x.movedim(dim, 1)
    assert same(Moments.of(x, 3, dim), Moments.of(moved.contiguous(), 3))
    assert same(Histogram.of(x, 3, dim), Histogram.of(moved.contiguous(), 3))
    torch.testing.assert_close(
        Moments.of(x, 3, dim).mean.float(), moved.transpose(0, 1).flatten(1).mean(1)
    )


def test_one_channel_takes_any_shape():
    x = torch.randn(3, 4, 5)
    assert Moments.of(x).count.tolist() == [60]
    assert Histogram.of(torch.tensor(2.0)).counts.sum() == 1


def _watch(rank, folder):
    x = torch.load(f"{folder}/x.pt")[rank::2]
    found = [kind.of(x, 3) for kind in (Moments, Histogram)]
    found.append(LineCounts.of(x, torch.tensor([-1.0, 0.0, 1.0]), 3))
    torch.save([vars(merge_across_processes(each)) for each in found], f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_two_processes_see_what_one_sees(tmp_path):
    x = torch.randn(50, 3, 4)
    torch.save(x, tmp_path / "x.pt")
    in_two_processes(_watch, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert same(Histogram(**first[1]), Histogram.of(x, 3))
    assert same(LineCounts(**first[2]), LineCounts.of(x, torch.tensor([-1.0, 0.0, 1.0]), 3))
    torch.testing.assert_close(first[0]["mean"], Moments.of(x, 3).mean)
    torch.testing.assert_close(first[0]["squares"], Moments.of(x, 3).squares)


def test_one_process_needs_no_group():
    seen = Moments.of(torch.randn(4, 1))
    assert merge_across_processes(seen) is seen


def test_refusals():
    x = torch.randn(4, 3)
    with pytest.raises(errors.ArgumentError, match=r"got \(4, 3\) with dim=1; expected 5 channels"):
        Moments.of(x, 5)
    with pytest.raises(errors.ArgumentError, match=r"bins=\.\.\.\)`: got 100; expected a power of"):
        Histogram.of(x, 3, bins=100)
    with pytest.raises(errors.ArgumentError, match="expected shares from 0 to 1"):
        Histogram.of(x, 3).quantiles([0.5, 1.5])
    with pytest.raises(
        errors.ArgumentError, match=r"shapes \(3, 512\) and \(3, 64\); both must be"
    ):
        Histogram.of(x, 3).merge(Histogram.of(x, 3, bins=64))


def test_a_curve_is_watched_by_its_own_hinges():
    curve = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.randn(2, 3))
    assert LineCounts.of(torch.zeros(6, 2), curve.hinges, 2).counts.tolist() == [[0, 0, 6, 0]] * 2


@given(batches(channels=3))
def test_pooled_channels_are_as_one_channel_of_all_numbers(parts):
    x = torch.cat(parts)
    assert same(Histogram.of(x, 3, bins=32).pooled(), Histogram.of(x.reshape(-1, 1), bins=32))
    found, every = Moments.of(x, 3).pooled(), Moments.of(x.reshape(-1, 1))
    assert torch.equal(found.count, every.count) and torch.equal(found.high, every.high)
    size = x.abs().max().item() if len(x) else 0.0
    torch.testing.assert_close(found.mean, every.mean, atol=1e-14 * size, rtol=0)
    torch.testing.assert_close(found.std, every.std, atol=1e-13 * size, rtol=0)
