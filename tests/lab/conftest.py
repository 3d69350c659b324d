import pytest

from hinged.lab import experiment
from hinged.lab.comparison import Watcher, compare
from hinged.lab.records import RunFolder

SMALL = {
    "data": "digits",
    "network": {"kind": "cnn", "width": 2, "depth": 1},
    "training": {"epochs": 2, "batch_size": 128, "lr": 0.02},
    "activations": ("relu", "prelu", "hinged"),
    "seeds": (0, 1, 2),
}


@pytest.fixture
def small():
    return experiment.build(**SMALL)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small comparison, run once for all tests that only read it."""
    folder = RunFolder(tmp_path_factory.mktemp("finished") / "run")
    compare(experiment.build(**SMALL), folder, Watcher())
    return folder
