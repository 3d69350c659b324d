"""Random changes of training images, one whole batch at a time, on the device that trains."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from hinged import errors
from hinged.lab.problems import Problem

_GREY = 128
NUMBERS_PER_SAMPLE = 5
"""Random numbers that each sample gets in an epoch, whatever augmentations use them."""


def draw_random_numbers(samples: int, seed: int, epoch: int) -> Tensor:
    """Return the random numbers of an epoch, `(samples, 5)` in [0, 1).

    A sample's numbers depend only on the seed, the epoch and its row. They do not depend on the
    activation, the order of the batches or an interruption. They are drawn on the CPU, so that
    every device gets the same ones.
    """
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch + 2**40)
    return torch.rand(samples, NUMBERS_PER_SAMPLE, generator=generator)


def augment_images(images: Tensor, names: Iterable[str], drawn: Tensor) -> Tensor:
    """Return randomly changed images.

    Args:
        images: `(N, C, H, W)`, uint8.
        names: names in `AUGMENTATIONS`, applied in this order.
        drawn: rows of `draw_random_numbers`, `(N, 5)`.

    Returns:
        New images of the same shape.
    """
    for name in names:
        images = AUGMENTATIONS[name](images, drawn)
    return images


def augment_targets(
    targets: Tensor, names: Iterable[str], drawn: Tensor, problem: Problem
) -> Tensor:
    """Return the targets of images that `augment_images` has changed: boxes of mirrored images are
    mirrored.

    Args:
        targets: `(N, ...)`.
        names: as given to `augment_images`.
        drawn: as given to `augment_images`.
        problem: the problem that the targets belong to.
    """
    if "flip" not in names:
        return targets
    mirrored = _is_mirrored(drawn).view(-1, *(1,) * (targets.ndim - 1))
    return torch.where(mirrored, problem.mirror_targets(targets), targets)


def crop(images: Tensor, drawn: Tensor) -> Tensor:
    """Return a random window of each image after padding it with black. The window has the size of
    the image; the padding is an eighth of its height. Source: He et al., "Deep residual learning
    for image recognition" (CVPR 2016): 4 pixels of 32."""
    samples, channels, height, width = images.shape
    margin = max(1, height // 8)
    padded = torch.nn.functional.pad(images, (margin,) * 4)
    down, right = (drawn[:, :2] * (2 * margin + 1)).long().view(samples, 2, 1, 1).unbind(dim=1)
    planes = torch.arange(samples * channels, device=images.device).view(samples, channels, 1)
    rows = planes * padded.shape[2] + down + torch.arange(height, device=images.device)
    # Each row of a window is contiguous in memory: copying such rows took 66 us for 128 images of
    # 3 x 32 x 32, indexing by four axes 316 us.
    windows = padded.flatten().unfold(0, width, 1)
    starts = (rows * padded.shape[3] + right).flatten()
    return windows.index_select(0, starts).view(images.shape)


def flip(images: Tensor, drawn: Tensor) -> Tensor:
    """Return the images, each mirrored left to right with probability 1/2."""
    both = torch.cat((images, images.flip(3)))  # A fifth of the time of torch.where.
    samples = len(images)
    rows = torch.arange(samples, device=images.device) + samples * _is_mirrored(drawn).long()
    return both.index_select(0, rows)


def cutout(images: Tensor, drawn: Tensor) -> Tensor:
    """Return images with a grey square of half their height, its centre anywhere in the image.

    Source: DeVries and Taylor, "Improved regularization of convolutional neural networks with
    cutout", arXiv:1708.04552 (16 pixels of 32).
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


def check_augmentations(names: Iterable[str], images: Tensor, problem: Problem) -> None:
    """Raise if these augmentations cannot be applied to the training samples.

    Raises:
        UnknownNameError: no augmentation has this name.
        ArgumentError: the samples are not images in uint8, or have boxes and are to be cropped.
    """
    names = tuple(names)
    for name in names:
        if name not in AUGMENTATIONS:
            raise errors.unknown_name("training.augment", name, AUGMENTATIONS)
    if names and (images.ndim != 4 or images.dtype != torch.uint8):
        got = f"{', '.join(names)} for samples of shape {tuple(images.shape[1:])} in {images.dtype}"
        hint = "only images, (C, H, W) in uint8, can be augmented"
        raise errors.ArgumentError(errors.message("training.augment", got, hint))
    if "crop" in names and problem.predicts_per_cell:
        got = "crop for images with boxes"
        hint = "crop does not move boxes: use flip, which mirrors them, or cutout"
        raise errors.ArgumentError(errors.message("training.augment", got, hint))
