import pytest

from hinged.lab.runs.compare import ProgressListener, compare_all
from hinged.lab.study.cells import read_study
from hinged.lab.study.study_folder import StudyFolder, StudyPlan

TINY = """
question = "Does the number of hinges matter?"
unsure = "Two blocks are not tried."

[settings]
data = "digits"
activations = ["relu", "hinged"]
network = { width = 2, depth = 1 }
training = { epochs = 1, batch_size = 128 }

[grid]
"curves.hinges" = [3, 9]

[smoke]
seeds = 3
settings = { train_size = 100, test_size = 100 }

[small]
seeds = 4

[full]
seeds = 5
grid = { "curves.hinges" = [3, 9, 33] }
"""


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
