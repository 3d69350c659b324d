"""Invented comparisons with predictions, for tests of reports."""

import torch

from hinged.lab.experiment.schema import Trial
from hinged.lab.problems.predictions import count_classes, keep_numbers
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.run_folder import RunFolder
from tests.lab.helpers import make_result

ACTIVATIONS = ("relu", "hinged")
SEEDS = (0, 1, 2)


def fill_run(path, predictions, metric="accuracy", scores=()):
    """A run folder whose trials have predictions and further scores.

    Args:
        path: the folder.
        predictions: a function of a seeded generator that returns the predictions of a trial.
        metric: name of the scores.
        scores: names of the further scores.
    """
    folder = RunFolder(path)
    folder.open(build_experiment(data="iris", activations=ACTIVATIONS, seeds=SEEDS))
    for number, (seed, activation) in enumerate((s, a) for s in SEEDS for a in ACTIVATIONS):
        generator = torch.Generator().manual_seed(number)
        others = {name: torch.rand((), generator=generator).item() for name in scores}
        result = make_result(activation, seed, 0.5 + number / 20).model_copy(
            update={"metric": metric, "other_scores": others}
        )
        trial = Trial(activation=activation, seed=seed)
        folder.save_result(trial, result, {}, predictions(generator))
    return folder


def classes_run(path, classes=4, samples=60):
    """A run of a classification. The last class has no samples."""

    def predictions(generator):
        predicted = torch.randint(0, classes, (samples,), generator=generator)
        targets = torch.arange(samples) % (classes - 1)
        return count_classes(predicted, targets, tuple(f"kind <{i}>" for i in range(classes)))

    return fill_run(path, predictions, scores=("balanced accuracy", "macro F1"))


def numbers_run(path, names=("price",)):
    """A run of a regression."""

    def predictions(generator):
        targets = 1000 * torch.rand(30, len(names), generator=generator)
        noise = torch.randn(30, len(names), generator=generator)
        return keep_numbers(targets + noise, targets, names)

    scores = ("RMSE",) if len(names) == 1 else tuple(f"RMSE of {name}" for name in names)
    return fill_run(path, predictions, metric="R2", scores=scores)
