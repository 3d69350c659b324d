"""Encoded images for the tests of readers."""

import io

from PIL import Image


def encode(picture, kind="PNG"):
    """Return the bytes of a file with the picture `(H, W, 3)` or `(H, W)`."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()
