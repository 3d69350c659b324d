import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hinged.lab.data import catalogue


@pytest.fixture(autouse=True)
def fresh(tmp_path, monkeypatch):
    """A cache and a process that hold nothing yet, and no folder of data but the one given."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HINGED_DATA", raising=False)
    catalogue._load.cache_clear()


REAL = os.environ.get("HINGED_DATA", "")


@pytest.fixture
def real():
    """The folder of real data sets; a visible skip where there is none."""
    if not REAL:
        pytest.skip("HINGED_DATA names no folder of data sets")
    return Path(REAL)


@pytest.fixture
def pictures():
    """Makes images `(n, side, side, 3)` that differ from each other everywhere."""

    def make(n, side=8, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)

    return make


def encoded(picture, kind="PNG"):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind)
    return file.getvalue()
