import os
from pathlib import Path

import numpy as np
import pytest

from hinged.lab.data import registry


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    """An empty cache, on disk and in memory, and no folder of data sets."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HINGED_DATA", raising=False)
    registry._load_cached.cache_clear()


REAL = os.environ.get("HINGED_DATA", "")


@pytest.fixture
def real():
    """The folder of real data sets; skips the test without one."""
    if not REAL:
        pytest.skip("HINGED_DATA names no folder of data sets")
    return Path(REAL)


@pytest.fixture
def pictures():
    """Returns a function that makes random images `(n, side, side, 3)`."""

    def make(n, side=8, seed=0):
        return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), dtype=np.uint8)

    return make
