"""Makes the garbage collections of the benchmarks fast in tests."""

import gc

import pytest


@pytest.fixture(scope="package", autouse=True)
def frozen_objects():
    """Exclude the objects of all imported packages from garbage collection.

    Every timing begins with `gc.collect()`, which would otherwise search these millions of objects
    for about a second.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
