import pytest

from hinged.lab.runs.compare import compare_all
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.study.cells import read_study, study_cells
from hinged.lab.study.study_folder import StudyFolder, StudyPlan
from tests.lab.study.helpers import CONTENDERS, TINY, fill_folder


@pytest.fixture
def tiny(tmp_path):
    """The file of a small study."""
    path = tmp_path / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def contenders(tmp_path):
    """The folder of a study that compares each of its variants with the first, with results."""
    path = tmp_path / "contenders.toml"
    path.write_text(CONTENDERS)
    study = read_study(path)
    curves, relu = ([base + 0.01 * seed for seed in range(5)] for base in (0.8, 0.7))
    scores = {
        (cell.name, activation): curves if activation == "hinged" else relu
        for cell in study_cells(study, "full")
        for activation in cell.experiment.activations
    }
    return fill_folder(tmp_path / "contenders", study, scores)


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The small study at its smallest scale, run once for all tests that only read it."""
    base = tmp_path_factory.mktemp("study")
    (base / "tiny.toml").write_text(TINY)
    folder = StudyFolder(base / "run")
    folder.open(StudyPlan(name="tiny", scale="smoke", study=read_study(base / "tiny.toml")))
    compare_all(folder.cell_runs(), ProgressListener(), continue_on_error=True)
    return folder
