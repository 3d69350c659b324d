"""Encoded images made into pixels."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hinged import errors
from hinged.lab.data.readers.data_files import damaged

Pixels = NDArray[np.uint8]


def decode(source: bytes | Path, name: str, size: int | None = None) -> Pixels:
    """Return an image as `(3, H, W)` in RGB; grey images get three equal channels.

    Args:
        source: the encoded bytes, or the file they are in.
        name: what an error calls it.
        size: its shorter side is scaled to so many pixels, and the middle square kept; None keeps
            the image as it is.

    Raises:
        DataError: these bytes are no image, or not a whole one.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            rgb = image.convert("RGB")
    except (OSError, SyntaxError, UnidentifiedImageError) as error:  # PIL's own for broken PNGs.
        raise damaged(name, error) from None
    if size is not None:
        rgb = _square(rgb, size)
    pixels: Pixels = np.moveaxis(np.asarray(rgb), 2, 0)
    return pixels


def stack(images: Iterable[Pixels], count: int, name: str) -> Pixels:
    """Return images of one size as `(count, 3, H, W)`.

    Raises:
        DataError: they have different sizes.
    """
    stacked: Pixels | None = None
    for place, image in enumerate(images):
        if stacked is None:
            stacked = np.empty((count, *image.shape), dtype=np.uint8)
        if image.shape != stacked.shape[1:]:
            sizes = " and ".join(_size(shape) for shape in (stacked.shape[1:], image.shape))
            hint = f"scale them all to one, as in --data {name}:64"
            raise errors.DataError(errors.message(f"--data {name}", f"images of {sizes}", hint))
        stacked[place] = image
    if stacked is None:
        raise errors.DataError(errors.message(f"--data {name}", "no images", "give some"))
    return stacked


def _square(image: Image.Image, size: int) -> Image.Image:
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    return scaled.crop((left, top, left + size, top + size))


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]} x {shape[2]} pixels"
