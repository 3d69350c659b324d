"""A small study, and folders with invented results."""

from hinged.lab.study.study_folder import StudyFolder, StudyPlan
from tests.lab.helpers import make_result

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

SCORES = {
    ("hinges-3", "relu"): [0.80, 0.82, 0.81, 0.85, 0.79],
    ("hinges-3", "hinged"): [0.81, 0.84, 0.83, 0.84, 0.82],
    ("hinges-9", "hinged"): [0.86, 0.87, 0.89, 0.90, 0.84],
}
"""Scores of five seeds, by cell and activation."""


def fill_folder(path, study, scores=SCORES):
    """Return the folder of a study at scale full with invented results."""
    folder = StudyFolder(path)
    folder.open(StudyPlan(name="tiny", scale="full", study=study))
    for cell in folder.plan.cells():
        run = folder.run_folder(cell)
        run.open(cell.experiment)
        for trial in cell.experiment.trials:
            values = scores.get((cell.name, trial.activation))
            if values is not None:
                result = make_result(trial.activation, trial.seed, values[trial.seed])
                run.save_result(trial, result.model_copy(update={"seconds": 2.0}), {})
    return folder


def scores_of_study(folder):
    """Test score and losses of each trial in the folder of a study."""
    return {
        (run.label, r.activation, r.seed): (r.test_score, r.loss)
        for run in folder.cell_runs()
        for r in run.folder.results()
    }
