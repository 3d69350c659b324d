"""The user's own images: a folder with one folder a class, as torchvision's `ImageFolder` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from hinged import errors
from hinged.lab.data.readers import jpeg
from hinged.lab.data.readers.cache import Arrays, cached
from hinged.lab.data.splits import Splits, divided
from hinged.lab.problems import Classification

ENDINGS = {".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
TEST_FOLDERS = ("test", "val", "valid", "validation")

Listed = Sequence[tuple[Path, str]]


def read(folder: Path, size: int | None = None) -> Splits:
    """Return the images of a folder.

    Args:
        folder: holds `train/CLASS/*` and `test/CLASS/*` (or `val`), or `CLASS/*`, of which 30 % are
            then kept to test on.
        size: side of the square that every image is scaled and cropped to; None where they have one
            size.

    Raises:
        DataError: there are no images, they have different sizes, one of them is damaged, or the
            test split has classes of its own.
    """
    tests = [folder / name for name in TEST_FOLDERS if (folder / name).is_dir()]
    if not (folder / "train").is_dir() or not tests:
        return _without_splits(folder, size)
    train, test = _listed(folder / "train"), _listed(tests[0])
    return read_listed(str(folder), f"images of {folder}", train, test, size)


def read_listed(
    name: str, about: str, train: Listed, test: Listed, size: int | None = None
) -> Splits:
    """Return images by their files and the names of their classes."""
    classes = sorted({kind for _, kind in train})
    unknown = sorted({kind for _, kind in test} - set(classes))
    if unknown:
        got = f"classes of the test split that the training split lacks: {', '.join(unknown[:5])}"
        raise errors.DataError(errors.message(f"--data {name}", got, "give both the same classes"))
    listed = [*train, *test]
    arrays = cached(_key(listed, size), lambda: _decoded(name, listed, size))
    x = torch.from_numpy(arrays["images"])
    y = torch.tensor([classes.index(kind) for _, kind in listed], dtype=torch.long)
    n = len(train)
    return Splits(about, x[:n], y[:n], x[n:], y[n:], Classification(len(classes)))


def _without_splits(folder: Path, size: int | None) -> Splits:
    listed = _listed(folder)
    if not listed:
        got, hint = f"{folder}, which holds no images", "it must hold train/CLASS/ and test/CLASS/"
        raise errors.DataError(errors.message("--data", got, f"{hint}, or CLASS/, with images"))
    whole = read_listed(str(folder), f"images of {folder}", listed, [], size)
    about = f"{whole.about}, {len(listed):,} of {whole.problem.outputs} classes; 30 % to test on"
    return divided(about, whole.x_train, whole.y_train, whole.problem.classes)


def _listed(folder: Path) -> Listed:
    return [
        (path, kind.name)
        for kind in sorted(folder.iterdir())
        if kind.is_dir()
        for path in sorted(kind.rglob("*"))
        if path.suffix.lower() in ENDINGS
    ]


def _key(listed: Listed, size: int | None) -> str:
    """Return a name that changes with any file. Sizes and times serve: reading every image to hash
    it would take as long as decoding them."""
    state = hashlib.sha256(repr(size).encode())
    for path, _ in listed:
        facts = path.stat()
        state.update(f"{path.resolve()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
    return f"images-{state.hexdigest()[:16]}"


def _decoded(name: str, listed: Listed, size: int | None) -> Arrays:
    pixels = (jpeg.decode(path, str(path), size) for path, _ in listed)
    return {"images": np.ascontiguousarray(jpeg.stack(pixels, len(listed), name))}
