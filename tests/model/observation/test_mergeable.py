import pytest
import torch
import torch.multiprocessing

from hinged.model import Histogram, LineCounts, Moments, merge_across_processes
from tests.model.observation.number_batches import same
from tests.processes import in_two_processes

HINGES = torch.tensor([-1.0, 0.0, 1.0])


def save_merged_statistics(rank, folder):
    x = torch.load(f"{folder}/x.pt")[rank::2]
    found = [Moments.of(x, 3), Histogram.of(x, 3), LineCounts.of(x, HINGES, 3)]
    torch.save([vars(merge_across_processes(each)) for each in found], f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_two_processes_find_the_statistics_of_all_numbers(tmp_path):
    x = torch.randn(50, 3, 4)
    torch.save(x, tmp_path / "x.pt")
    in_two_processes(save_merged_statistics, tmp_path)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert same(Histogram(**first[1]), Histogram.of(x, 3))
    assert same(LineCounts(**first[2]), LineCounts.of(x, HINGES, 3))
    torch.testing.assert_close(first[0]["mean"], Moments.of(x, 3).mean)
    torch.testing.assert_close(first[0]["squares"], Moments.of(x, 3).squares)


def test_one_process_needs_no_group():
    found = Moments.of(torch.randn(4, 1))
    assert merge_across_processes(found) is found


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(dtype):
    x = torch.randn(64, 3, 5).to(dtype)
    for kind in (Moments, Histogram):
        assert same(kind.of(x, 3), kind.of(x.double(), 3))
    hinges = HINGES.to(dtype)
    assert same(LineCounts.of(x, hinges, 3), LineCounts.of(x.double(), hinges.double(), 3))


@pytest.mark.parametrize("dim, shape", [(1, (4, 3, 3, 3)), (-1, (4, 3, 3)), (2, (5, 7, 3))])
def test_the_channel_axis_is_the_one_given(dim, shape):
    x = torch.randn(shape)
    moved = x.movedim(dim, 1)
    assert same(Moments.of(x, 3, dim), Moments.of(moved.contiguous(), 3))
    assert same(Histogram.of(x, 3, dim), Histogram.of(moved.contiguous(), 3))
    assert same(LineCounts.of(x, HINGES, 3, dim), LineCounts.of(moved.contiguous(), HINGES, 3))
    torch.testing.assert_close(
        Moments.of(x, 3, dim).mean.float(), moved.transpose(0, 1).flatten(1).mean(1)
    )


def test_one_channel_takes_any_shape():
    assert Moments.of(torch.randn(3, 4, 5)).count.tolist() == [60]
    assert Histogram.of(torch.tensor(2.0)).counts.sum() == 1
