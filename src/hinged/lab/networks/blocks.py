"""What networks of blocks that halve their images have in common."""

from __future__ import annotations

from hinged import errors


def check_depth(depth: int, height: int, width: int) -> None:
    """Raise where images are too small for so many halvings.

    Raises:
        ArgumentError: fewer than `2**depth` pixels on a side.
    """
    if min(height, width) < 2**depth:
        hint = "every block halves the image: use fewer blocks"
        got = f"{depth} blocks on images of {height} x {width} pixels"
        raise errors.ArgumentError(errors.message("--depth", got, hint))
