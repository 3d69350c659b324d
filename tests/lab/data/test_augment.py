import numpy as np
import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.data import augment
from hinged.lab.problems import Classification

IMAGES = torch.randint(1, 256, (40, 3, 16, 24), dtype=torch.uint8)
DRAWN = augment.draw_random_numbers(40, seed=3, epoch=2)


def test_crop_is_a_window_of_the_padded_image():
    cropped = augment.crop(IMAGES, DRAWN).numpy()
    padded = np.pad(IMAGES.numpy(), ((0, 0), (0, 0), (2, 2), (2, 2)))
    windows = set()
    for i, (image, whole) in enumerate(zip(cropped, padded, strict=True)):
        down, right = int(DRAWN[i, 0] * 5), int(DRAWN[i, 1] * 5)
        np.testing.assert_array_equal(image, whole[:, down : down + 16, right : right + 24])
        windows.add((down, right))
    assert len(windows) > 15


def test_flip_mirrors_about_half_of_the_images_left_to_right():
    flipped = augment.flip(IMAGES, DRAWN).numpy()
    mirrored = 0
    for image, original in zip(flipped, IMAGES.numpy(), strict=True):
        if np.array_equal(image, original[:, :, ::-1]):
            mirrored += 1
        else:
            np.testing.assert_array_equal(image, original)
    assert 10 < mirrored < 30


def test_cutout_greys_a_square_and_nothing_else():
    cut = augment.cutout(IMAGES, DRAWN).numpy()
    for i, (image, original) in enumerate(zip(cut, IMAGES.numpy(), strict=True)):
        top, left = int(DRAWN[i, 3] * 16) - 4, int(DRAWN[i, 4] * 24) - 4
        expected = original.copy()
        expected[:, max(0, top) : top + 8, max(0, left) : left + 8] = 128
        np.testing.assert_array_equal(image, expected)


def test_the_input_images_do_not_change():
    before = IMAGES.clone()
    augment.augment_images(IMAGES, augment.AUGMENTATIONS, DRAWN)
    assert torch.equal(IMAGES, before)


def test_random_numbers_depend_only_on_seed_epoch_and_row():
    assert torch.equal(augment.draw_random_numbers(40, 3, 2), DRAWN)
    assert not torch.equal(augment.draw_random_numbers(40, 3, 3), DRAWN)
    assert not torch.equal(augment.draw_random_numbers(40, 4, 2), DRAWN)


@pytest.mark.parametrize("images", [IMAGES.float(), IMAGES[:, 0, 0]])
def test_samples_that_are_not_images_in_uint8_are_rejected(images):
    with pytest.raises(errors.ArgumentError, match=r"only images in uint8 of shape"):
        augment.check_augmentations(["flip"], images, Classification(2))
    augment.check_augmentations([], images, Classification(2))


def test_boxes_are_mirrored_with_their_images():
    loaded = data.load_data_set("shapes", train_size=32, test_size=8)
    x, y, drawn = loaded.x_train, loaded.y_train, augment.draw_random_numbers(32, 0, 0)
    changed = augment.augment_images(x, ["flip", "cutout"], drawn)
    augmented_boxes = augment.augment_targets(y, ["flip", "cutout"], drawn, loaded.problem)
    mirrored = [
        bool((a.flip(2) == b).float().mean() > 0.6) for a, b in zip(x, changed, strict=True)
    ]
    assert 5 < sum(mirrored) < 27
    for is_mirrored, before, after in zip(mirrored, y, augmented_boxes, strict=True):
        expected = loaded.problem.mirror_targets(before[None])[0] if is_mirrored else before
        assert torch.equal(after, expected)
    assert augment.augment_targets(y, ["cutout"], drawn, loaded.problem) is y


def test_crop_is_rejected_for_images_with_boxes():
    loaded = data.load_data_set("shapes", train_size=32, test_size=8)
    augment.check_augmentations(["flip", "cutout"], loaded.x_train, loaded.problem)
    with pytest.raises(errors.ArgumentError, match="got crop for images with boxes"):
        augment.check_augmentations(["crop"], loaded.x_train, loaded.problem)
