import pytest
import torch
from sklearn import datasets

from hinged import errors
from hinged.lab import data


@pytest.mark.parametrize("name", data.DATA_SETS)
def test_shapes_kinds_and_scaling(name):
    loaded = data.load(name)
    assert len(loaded.x_train) == len(loaded.y_train) and len(loaded.x_test) == len(loaded.y_test)
    assert loaded.x_train.dtype == torch.float32 and loaded.x_train.isfinite().all()
    assert loaded.x_train.mean().abs() < 1e-5
    if loaded.classes is None:
        assert loaded.y_train.dtype == torch.float32 and loaded.y_train.shape[1] == loaded.outputs
    else:
        assert loaded.y_train.dtype == torch.int64
        assert loaded.y_train.unique().tolist() == list(range(loaded.classes))


def test_digits_are_all_there_and_no_image_is_in_both_halves():
    loaded = data.load("digits")
    assert len(loaded.x_train) + len(loaded.x_test) == 1797
    assert loaded.x_train.shape[1:] == (1, 8, 8)
    train = {image.numpy().tobytes() for image in loaded.x_train}
    assert not train & {image.numpy().tobytes() for image in loaded.x_test}
    original = torch.from_numpy(datasets.load_digits().images[:898]).float()
    restored = loaded.x_train.squeeze(1) * original.std() + original.mean()
    torch.testing.assert_close(restored, original, rtol=1e-5, atol=1e-5)


def test_scaling_uses_the_training_split_alone():
    loaded = data.load("wine")
    torch.testing.assert_close(loaded.x_train.std(dim=0), torch.ones(13))
    assert (loaded.x_test.mean(dim=0).abs() > 1e-3).any()


def test_digest_changes_with_one_pixel():
    first, second = data.load("digits"), data.load("digits")
    assert first.digest == second.digest
    second.x_test[0, 0, 0, 0] += 1
    assert first.digest != second.digest


def test_order_depends_on_seed_and_epoch_alone():
    def order(seed, epoch):
        loader = data.train_loader(data.load("iris"), 16, seed)
        loader.sampler.set_epoch(epoch)
        return torch.cat([x for x, _ in loader])

    assert torch.equal(order(3, 5), order(3, 5))
    assert not torch.equal(order(3, 5), order(3, 6))
    assert not torch.equal(order(3, 5), order(4, 5))


@pytest.mark.parametrize(("rows", "sizes"), [(33, [16, 16]), (34, [16, 16, 2]), (32, [16, 16])])
def test_a_single_row_left_over_is_not_trained_on(rows, sizes):
    batches = data._Batches(rows, 16, seed=0)
    assert [len(batch) for batch in batches] == sizes and len(batches) == len(sizes)


def test_scores():
    loaded = data.load("iris")
    outputs = torch.eye(3)[torch.tensor([0, 1, 1, 2])]
    assert loaded.score(outputs, torch.tensor([0, 1, 2, 2])) == 0.75
    regression = data.load("diabetes")
    targets = torch.tensor([[1.0], [2.0], [3.0]])
    assert regression.score(targets, targets) == 1.0
    assert regression.score(torch.full((3, 1), 2.0), targets) == 0.0


def test_unknown_name_is_refused_with_near_matches():
    with pytest.raises(errors.UnknownNameError, match="got 'digit'; did you mean 'digits'"):
        data.load("digit")
