import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.data import Batches, DataSet
from hinged.lab.data.augment import augment_images, draw_random_numbers
from hinged.lab.problems import Classification


def counting(rows):
    x, y = torch.arange(rows).view(-1, 1).float(), torch.arange(rows)
    return DataSet("counting", "", x, y, x, y, Classification(rows))


def order(seed, epoch, **options):
    return [
        y for _, y in Batches(data.load_data_set("digits"), 100, seed, lambda: epoch, **options)
    ]


def test_order_depends_only_on_seed_and_epoch():
    def whole(seed, epoch):
        return torch.cat([y for _, y in Batches(counting(50), 16, seed, lambda: epoch)])

    assert torch.equal(whole(3, 5), whole(3, 5))
    assert not torch.equal(whole(3, 5), whole(3, 6))
    assert not torch.equal(whole(3, 5), whole(4, 5))
    assert whole(3, 5).sort().values.tolist() == list(range(50))


@pytest.mark.parametrize(("rows", "sizes"), [(33, [16, 16]), (34, [16, 16, 2]), (32, [16, 16])])
def test_a_single_remaining_row_is_left_out(rows, sizes):
    batches = Batches(counting(rows), 16, 0, lambda: 0)
    assert [len(y) for _, y in batches] == sizes and len(batches) == len(sizes)


@pytest.mark.parametrize(("steps", "passes"), [(2, 1), (4, 1), (10, 3)])
def test_an_epoch_of_given_steps_consists_of_whole_and_new_passes(steps, passes):
    def rows_of(epoch, steps=None):
        return [y.tolist() for _, y in Batches(counting(50), 16, 3, lambda: epoch, steps=steps)]

    for epoch in (0, 1):
        numbers = range(epoch * passes, (epoch + 1) * passes)
        expected = [rows for number in numbers for rows in rows_of(number)]
        assert rows_of(epoch, steps) == expected[:steps]
    assert len(Batches(counting(50), 16, 3, lambda: 0, steps=steps)) == steps


def test_the_epoch_is_read_when_the_first_batch_is_made():
    now = 0
    batches = Batches(counting(50), 16, 0, lambda: now)
    late = iter(batches)
    now = 7
    first = next(late)[1]
    assert torch.equal(first, next(iter(Batches(counting(50), 16, 0, lambda: 7)))[1])


def test_batches_are_augmented_and_scaled_row_by_row():
    digits, names = data.load_data_set("digits"), ("crop", "flip", "cutout")
    whole = digits.to_inputs(augment_images(digits.x_train, names, draw_random_numbers(898, 2, 4)))
    for size in (100, 64):
        rows = torch.randperm(898, generator=torch.Generator().manual_seed(2 * 100_003 + 4))
        for x, y in Batches(digits, size, 2, lambda: 4, names):
            mine, rows = rows[: len(y)], rows[len(y) :]
            assert torch.equal(y, digits.y_train[mine])
            torch.testing.assert_close(x, whole[mine], rtol=0, atol=0)


def test_augmentation_does_not_change_the_order():
    plain, augmented = order(1, 1), order(1, 1, augmentations=("flip",))
    assert all(torch.equal(a, b) for a, b in zip(plain, augmented, strict=True))


def test_unknown_augmentations_are_rejected():
    with pytest.raises(errors.UnknownNameError, match="got 'flop'; did you mean 'flip'"):
        Batches(data.load_data_set("digits"), 16, 0, lambda: 0, ["flop"])
