"""Random changes of training images, whole batches at a time, on their device."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from hinged import errors
from hinged.lab.problems import Problem

_GREY = 128
DRAWS = 5
"""Random numbers that a sample has in an epoch, whatever is done with them."""


def draws(samples: int, seed: int, epoch: int) -> Tensor:
    """Return the random numbers of an epoch, `(samples, 5)` in [0, 1).

    A sample's changes depend on seed, epoch and its row alone: not on the activation, the order of
    the batches, or an interruption. They are drawn on the CPU, for every device the same.
    """
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch + 2**40)
    return torch.rand(samples, DRAWS, generator=generator)


def augment(images: Tensor, names: Iterable[str], drawn: Tensor) -> Tensor:
    """Return images changed at random.

    Args:
        images: `(N, C, H, W)`, uint8.
        names: of `AUGMENTATIONS`, done in this order.
        drawn: rows of `draws`, `(N, 5)`.

    Returns:
        New images of the same shape.
    """
    for name in names:
        images = AUGMENTATIONS[name](images, drawn)
    return images


def crop(images: Tensor, drawn: Tensor) -> Tensor:
    """Return a random part of the size of the image, of the image with black on every side, an
    eighth of its height wide. Source: He et al., "Deep residual learning for image recognition"
    (CVPR 2016): 4 pixels of 32."""
    samples, channels, height, width = images.shape
    margin = max(1, height // 8)
    padded = torch.nn.functional.pad(images, (margin,) * 4)
    down, right = (drawn[:, :2] * (2 * margin + 1)).long().view(samples, 2, 1, 1).unbind(dim=1)
    planes = torch.arange(samples * channels, device=images.device).view(samples, channels, 1)
    rows = planes * padded.shape[2] + down + torch.arange(height, device=images.device)
    # Each row of a part is one window of memory: copying windows took 66 us for 128 images of
    # 3 x 32 x 32, indexing by four axes 316 us.
    windows = padded.flatten().unfold(0, width, 1)
    starts = (rows * padded.shape[3] + right).flatten()
    return windows.index_select(0, starts).view(images.shape)


def flip(images: Tensor, drawn: Tensor) -> Tensor:
    """Return every second image, at random, mirrored left to right."""
    both = torch.cat((images, images.flip(3)))  # Copied whole: a fifth of the time of torch.where.
    samples = len(images)
    turned = samples * _is_mirrored(drawn).long()
    return both.index_select(0, torch.arange(samples, device=images.device) + turned)


def follow(targets: Tensor, names: Iterable[str], drawn: Tensor, problem: Problem) -> Tensor:
    """Return the targets of images that `augment` has changed: boxes are mirrored with them.

    Args:
        targets: `(N, ...)`.
        names, drawn: as given to `augment`.
        problem: whose targets they are.
    """
    if "flip" not in names:
        return targets
    turned = _is_mirrored(drawn).view(-1, *(1,) * (targets.ndim - 1))
    return torch.where(turned, problem.mirrored(targets), targets)


def _is_mirrored(drawn: Tensor) -> Tensor:
    return drawn[:, 2] < 0.5


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


AUGMENTATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "crop": crop,
    "flip": flip,
    "cutout": cutout,
}


def check(names: Iterable[str], images: Tensor, problem: Problem) -> None:
    """Raise where training samples cannot be changed so.

    Raises:
        UnknownNameError: no augmentation has this name.
        ArgumentError: the samples are no images, or have boxes that would not follow.
    """
    names = tuple(names)
    for name in names:
        if name not in AUGMENTATIONS:
            raise errors.unknown_name("--augment", name, AUGMENTATIONS)
    if names and (images.ndim != 4 or images.dtype != torch.uint8):
        got = f"{', '.join(names)} for samples of shape {tuple(images.shape[1:])} in {images.dtype}"
        hint = "only images, (C, H, W) in uint8, can be augmented"
        raise errors.ArgumentError(errors.message("--augment", got, hint))
    if "crop" in names and problem.on_grid:
        hint = "boxes follow flip, and stay where they are under cutout"
        raise errors.ArgumentError(errors.message("--augment", "crop for images with boxes", hint))
