"""Decoding of JPEG, PNG and other images into arrays of pixels."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from hinged import errors
from hinged.lab.data.readers.data_files import damaged_file_error

Pixels = NDArray[np.uint8]


def decode_image(source: bytes | Path, name: str, size: int | None = None) -> Pixels:
    """Return an image as `(3, H, W)` in RGB; grey images get three equal channels.

    Args:
        source: the encoded bytes, or the file that holds them.
        name: names the image in an error message.
        size: length in pixels that the shorter side is scaled to before the square in the centre is
            cut out; None keeps the image as it is.

    Raises:
        DataError: the bytes are no image, or an incomplete one.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            rgb = image.convert("RGB")
    except (OSError, SyntaxError, UnidentifiedImageError) as error:  # PIL raises all of these.
        raise damaged_file_error(name, error) from None
    if size is not None:
        rgb = _centre_square(rgb, size)
    pixels: Pixels = np.moveaxis(np.asarray(rgb), 2, 0)
    return pixels


def stack_images(images: Iterable[Pixels], count: int, name: str) -> Pixels:
    """Return images of equal size as `(count, 3, H, W)`.

    Args:
        images: each `(3, H, W)`.
        count: number of images.
        name: name of the data set.

    Raises:
        DataError: the sizes differ, or there are no images.
    """
    stacked: Pixels | None = None
    for index, image in enumerate(images):
        if stacked is None:
            stacked = np.empty((count, *image.shape), dtype=np.uint8)
        if image.shape != stacked.shape[1:]:
            (_, height, width), (_, other_height, other_width) = stacked.shape[1:], image.shape
            got = f"images of {height} x {width} pixels and {other_height} x {other_width} pixels"
            hint = f"scale all to one size, as in `data {name}:64`"
            raise errors.DataError(errors.message(f"data {name}", got, hint))
        stacked[index] = image
    if stacked is None:
        raise errors.DataError(errors.message(f"data {name}", "no images", "give some"))
    return stacked


def _centre_square(image: Image.Image, size: int) -> Image.Image:
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    return scaled.crop((left, top, left + size, top + size))
