import pytest

from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import compare
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.run_folder import RunFolder
from tests.lab.helpers import SMALL


@pytest.fixture
def small():
    return build_experiment(**SMALL)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A small comparison, run once for all tests that only read it."""
    folder = RunFolder(tmp_path_factory.mktemp("finished") / "run")
    compare(build_experiment(**SMALL), folder, ProgressListener())
    return folder
