import torch

from hinged.model.observation.subsample import subsample


def test_small_tensors_are_returned_whole():
    x = torch.zeros(3, 1000)
    assert subsample(x) is x
    assert subsample(torch.tensor(1.0)) == 1.0


def test_flattened_maps_are_sampled_in_every_row_and_column():
    positions = torch.arange(256 * 1024).view(256, 1024)
    taken = subsample(positions.flatten())
    assert 2**15 < len(taken) <= 2**16
    assert len((taken // 1024).unique()) == 256 and len((taken % 1024).unique()) == 1024


def test_whole_samples_are_taken_from_a_batch():
    x = torch.arange(64.0)[:, None].expand(64, 4096)
    assert subsample(x)[:, 0].tolist() == list(range(0, 64, 5))
