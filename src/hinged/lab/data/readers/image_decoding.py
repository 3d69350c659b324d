"""Decoding of image files (JPEG, PNG and other formats) into arrays of pixels."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hinged import errors
from hinged.lab.data.readers.data_files import explain_damage

Pixels = NDArray[np.uint8]
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that are decoded. For some other formats, PIL starts another program."""
MOST_PIXELS = 2**26
"""Largest number of pixels of one image, before and after scaling: 64 million, 192 MiB of RGB."""


def decode_image(source: bytes | Path, name: str, size: int | None = None) -> Pixels:
    """Decode an image into RGB pixels `(3, H, W)` in uint8.

    Grey images get three equal channels.

    Args:
        source: encoded bytes, or the path of the image file.
        name: description of the image in error messages.
        size: height and width of the result in pixels. The image is scaled until the shorter side
            has this length. The square in the centre is then cut out. None keeps the image size.

    Raises:
        DataError: if the bytes are not a complete image, or if the image has more than
            `MOST_PIXELS` pixels, before or after scaling.
    """
    with explain_damage(name):
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file, formats=FORMATS) as image:
            _check_pixels(name, *image.size)
            rgb = image.convert("RGB")
        if size is not None:
            rgb = _centre_square(rgb, size, name)
        pixels: Pixels = np.moveaxis(np.asarray(rgb), 2, 0)
        return pixels


def _check_pixels(name: str, width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        got = f"an image of {width} x {height} pixels"
        hint = f"at most {MOST_PIXELS:,} pixels are allowed: scale or crop it"
        raise errors.DataError(errors.message(name, got, hint))


def stack_images(images: Iterable[Pixels], count: int, name: str) -> Pixels:
    """Combine images of equal size into one array `(count, 3, H, W)`.

    Args:
        images: images `(3, H, W)` in uint8.
        count: number of images.
        name: name of the data set in error messages.

    Raises:
        DataError: if the images have different sizes, or if there are no images.
    """
    stacked: Pixels | None = None
    for index, image in enumerate(images):
        if stacked is None:
            stacked = _empty_stack((count, *image.shape), name)
        if image.shape != stacked.shape[1:]:
            (_, height, width), (_, other_height, other_width) = stacked.shape[1:], image.shape
            got = f"images of {height} x {width} pixels and {other_height} x {other_width} pixels"
            hint = f"scale all images to one size: `data {name}:64` makes images of 64 x 64 pixels"
            raise errors.DataError(errors.message(f"data {name}", got, hint))
        stacked[index] = image
    if stacked is None:
        raise errors.DataError(
            errors.message(f"data {name}", "no images", "add at least one image")
        )
    return stacked


def _empty_stack(shape: tuple[int, ...], name: str) -> Pixels:
    try:
        return np.empty(shape, dtype=np.uint8)
    except (MemoryError, ValueError):
        got = f"{shape[0]:,} images of {shape[2]} x {shape[3]} pixels, which do not fit into memory"
        hint = f"make smaller images: `data {name}:64` makes images of 64 x 64 pixels"
        raise errors.DataError(errors.message(f"data {name}", got, hint)) from None


def _centre_square(image: Image.Image, size: int, name: str) -> Image.Image:
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    _check_pixels(name, width, height)
    left, top = (width - size) // 2, (height - size) // 2
    scaled = image.resize((width, height), Image.Resampling.BICUBIC)
    return scaled.crop((left, top, left + size, top + size))
