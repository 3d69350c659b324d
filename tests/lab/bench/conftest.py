import pytest

from hinged.lab.bench.measurement import BenchmarkOptions
from hinged.lab.bench.suites.single_activations import benchmark_single_activations
from tests.lab.bench.garbage import frozen_objects  # noqa: F401  (a fixture for all tests here)

QUICK = BenchmarkOptions(rounds=2, limit=0.0, threads=1, quick=True)


@pytest.fixture
def quick():
    return QUICK


@pytest.fixture(scope="session")
def record():
    """A record of the smallest case, measured once for all tests that only read it."""
    return benchmark_single_activations(QUICK, lambda text: None, cases=["small features"])
