"""Random augmentations of training images. They change a whole batch on the training device."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from hinged import errors
from hinged.lab.problems import Problem

_GREY = 128
NUMBERS_PER_SAMPLE = 5
"""Number of random numbers per sample and epoch. It is the same for all augmentations."""


def draw_random_numbers(samples: int, seed: int, epoch: int) -> Tensor:
    """Return the random numbers that the augmentations use in one epoch.

    The numbers of a sample depend only on the seed, the epoch and the row of the sample. The
    activation, the order of the batches and interruptions have no influence. The numbers are drawn
    on the CPU, so that they are the same for every training device.

    Args:
        samples: number of training samples.
        seed: seed of the training.
        epoch: index of the epoch, starting at 0.

    Returns:
        Numbers in [0, 1), one row per sample, `(samples, 5)`.
    """
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch + 2**40)
    return torch.rand(samples, NUMBERS_PER_SAMPLE, generator=generator)


def augment_images(images: Tensor, names: Iterable[str], drawn: Tensor) -> Tensor:
    """Return images after random augmentations.

    Args:
        images: `(N, C, H, W)` in uint8.
        names: names in `AUGMENTATIONS`, applied in this order.
        drawn: random numbers of these samples, `(N, 5)`. They are rows of the result of
            `draw_random_numbers`.

    Returns:
        Images of the same shape, in uint8.
    """
    for name in names:
        images = AUGMENTATIONS[name](images, drawn)
    return images


def augment_targets(
    targets: Tensor, names: Iterable[str], drawn: Tensor, problem: Problem
) -> Tensor:
    """Return the targets of images that `augment_images` has changed.

    Only the augmentation `flip` changes targets: the boxes of mirrored images are mirrored.

    Args:
        targets: targets before the augmentation, `(N, ...)`.
        names: names of the augmentations of the images.
        drawn: random numbers of the augmentations of the images, `(N, 5)`.
        problem: task of the data set, which mirrors the targets.
    """
    if "flip" not in names:
        return targets
    mirrored = _is_mirrored(drawn).view(-1, *(1,) * (targets.ndim - 1))
    return torch.where(mirrored, problem.mirror_targets(targets), targets)


def crop(images: Tensor, drawn: Tensor) -> Tensor:
    """Pad each image with black pixels, then cut out a random rectangle of the original image size.

    The padding on each side is an eighth of the image height, and at least 1 pixel. Source: He et
    al., "Deep residual learning for image recognition" (CVPR 2016), with a padding of 4 pixels for
    images of 32 x 32.

    Args:
        images: `(N, C, H, W)`.
        drawn: random numbers `(N, 5)`. Columns 0 and 1 determine the position of the rectangle.
    """
    samples, channels, height, width = images.shape
    margin = max(1, height // 8)
    padded = torch.nn.functional.pad(images, (margin,) * 4)
    down, right = (drawn[:, :2] * (2 * margin + 1)).long().view(samples, 2, 1, 1).unbind(dim=1)
    planes = torch.arange(samples * channels, device=images.device).view(samples, channels, 1)
    rows = planes * padded.shape[2] + down + torch.arange(height, device=images.device)
    # The pixels of a window row are contiguous in memory. Copying rows takes 66 us for 128 images
    # of 3 x 32 x 32. Indexing with four index tensors takes 316 us.
    windows = padded.flatten().unfold(0, width, 1)
    starts = (rows * padded.shape[3] + right).flatten()
    return windows.index_select(0, starts).view(images.shape)


def flip(images: Tensor, drawn: Tensor) -> Tensor:
    """Return the images, each mirrored left to right with probability 1/2.

    Args:
        images: `(N, C, H, W)`.
        drawn: random numbers `(N, 5)`. An image is mirrored if its number in column 2 is below 0.5.
    """
    both = torch.cat((images, images.flip(3)))  # torch.where takes five times as long.
    samples = len(images)
    rows = torch.arange(samples, device=images.device) + samples * _is_mirrored(drawn).long()
    return both.index_select(0, rows)


def cutout(images: Tensor, drawn: Tensor) -> Tensor:
    """Return the images with one grey square in each image.

    The side of the square is half the height of the image. The centre is a random pixel of the
    image. If the square extends beyond the image, only its pixels inside the image become grey.
    Source: DeVries and Taylor, "Improved regularization of convolutional neural networks with
    cutout", arXiv:1708.04552, with squares of 16 x 16 pixels for images of 32 x 32.

    Args:
        images: `(N, C, H, W)` in uint8.
        drawn: random numbers `(N, 5)`. Columns 3 and 4 determine the row and column of the centre.
    """
    height, width = images.shape[2:]
    half = height // 4
    top, left = (drawn[:, 3] * height).long() - half, (drawn[:, 4] * width).long() - half
    rows, columns = (torch.arange(size, device=images.device) for size in (height, width))
    in_rows = (rows >= top[:, None]) & (rows < top[:, None] + 2 * half)
    in_columns = (columns >= left[:, None]) & (columns < left[:, None] + 2 * half)
    hole = (in_rows[:, None, :, None] & in_columns[:, None, None, :]).to(images.dtype)
    return images * (1 - hole) + _GREY * hole


def _is_mirrored(drawn: Tensor) -> Tensor:
    return drawn[:, 2] < 0.5


AUGMENTATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "crop": crop,
    "flip": flip,
    "cutout": cutout,
}
"""Augmentations by name: functions of images `(N, C, H, W)` and random numbers `(N, 5)`."""


def check_augmentations(names: Iterable[str], images: Tensor, problem: Problem) -> None:
    """Raise an error if augmentations cannot be applied to the training samples.

    Args:
        names: names of the augmentations.
        images: training inputs, `(N, ...)`.
        problem: task of the data set.

    Raises:
        UnknownNameError: if a name is not in `AUGMENTATIONS`.
        ArgumentError: if the samples are not images in uint8, or if `crop` is used for images with
            boxes.
    """
    names = tuple(names)
    for name in names:
        if name not in AUGMENTATIONS:
            raise errors.unknown_name("training.augment", name, AUGMENTATIONS)
    if names and (images.ndim != 4 or images.dtype != torch.uint8):
        got = f"{', '.join(names)} for samples of shape {tuple(images.shape[1:])} in {images.dtype}"
        hint = "only images in uint8 of shape (channels, height, width) can be augmented"
        raise errors.ArgumentError(errors.message("training.augment", got, hint))
    if "crop" in names and problem.predicts_per_cell:
        got = "crop for images with boxes"
        hint = "crop does not move boxes: use flip, which mirrors the boxes, or cutout"
        raise errors.ArgumentError(errors.message("training.augment", got, hint))
