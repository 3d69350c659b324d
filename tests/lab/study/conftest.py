import pytest

from hinged.lab.runs.compare import compare_all
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.study.cells import read_study
from hinged.lab.study.study_folder import StudyFolder, StudyPlan
from tests.lab.study.helpers import TINY


@pytest.fixture
def tiny(tmp_path):
    """The file of a small study."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The small study at its smallest scale, run once for all tests that only read it."""
    base = tmp_path_factory.mktemp("study")
    (base / "tiny.toml").write_text(TINY)
    folder = StudyFolder(base / "run")
    folder.open(StudyPlan(name="tiny", scale="smoke", study=read_study(base / "tiny.toml")))
    compare_all(folder.cell_runs(), ProgressListener(), continue_on_error=True)
    return folder
