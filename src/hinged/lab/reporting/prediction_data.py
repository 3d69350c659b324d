"""The predictions on the test split behind the scores of a comparison.

For a classification these are confusion matrices, for a regression predicted numbers. Runs of
earlier versions and of object detection have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hinged.lab.experiment.schema import Trial
from hinged.lab.problems.predictions import ConfusionMatrix, PredictedNumbers
from hinged.lab.reporting.comparison_table import ComparisonTable, replace_nan
from hinged.lab.reporting.significance import Interval, mean_interval
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.trial_result import TrialResult

MOST_CLASSES = 25
"""Largest number of classes whose confusion matrix is drawn. With more, reports list the pairs of
classes that are confused most."""
MOST_NUMBERED_CLASSES = 12
"""Largest number of classes at which the cells of a drawn confusion matrix show their numbers."""
_PAIRS = 15


class ConfusedPair(NamedTuple):
    """A class, and another class that its samples were taken for.

    Attributes:
        true: name of the class.
        predicted: name of the other class.
        shares: fraction of the samples of the class that were taken for the other class, from 0 to
            1, for each activation.
    """

    true: str
    predicted: str
    shares: dict[str, float]


@dataclass(frozen=True)
class PredictionData:
    """The further scores and the predictions of the activations of a comparison.

    Attributes:
        scores: mean of each further score with its 95 % interval over seeds, by activation and name
            of the score. Accuracies are from 0 to 1.
        confusions: confusion matrix of each activation, the sum over seeds. Empty if the task is no
            classification.
        numbers: predicted numbers of each activation, of its first seed. Empty if the task is no
            regression.
    """

    scores: dict[str, dict[str, Interval]]
    confusions: dict[str, ConfusionMatrix]
    numbers: dict[str, PredictedNumbers]

    @property
    def score_names(self) -> list[str]:
        """Return the names of all further scores."""
        return list(dict.fromkeys(name for each in self.scores.values() for name in each))

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes; empty without confusion matrices."""
        return next((each.names for each in self.confusions.values()), ())

    def class_accuracies(self) -> dict[str, list[float]]:
        """Return the accuracy of each class, by activation; NaN for a class without samples."""
        return {
            activation: shares_of_classes(each.counts).diag().tolist()
            for activation, each in self.confusions.items()
        }

    def most_confused(self, most: int = _PAIRS) -> list[ConfusedPair]:
        """Return the pairs of classes that are confused most, the mean over activations.

        Args:
            most: largest number of pairs.
        """
        if not self.confusions:
            return []
        shares = {name: shares_of_classes(c.counts) for name, c in self.confusions.items()}
        mean = torch.stack(list(shares.values())).mean(dim=0).nan_to_num().fill_diagonal_(0)
        order = mean.flatten().argsort(descending=True, stable=True)[:most].tolist()
        names = self.class_names
        cells = [divmod(cell, len(names)) for cell in order]
        return [
            ConfusedPair(names[i], names[j], {name: s[i, j].item() for name, s in shares.items()})
            for i, j in cells
            if mean[i, j] > 0
        ]

    def as_json(self) -> dict[str, Any]:
        """Return the further scores and the accuracy of each class, for JSON; NaN becomes None."""
        names = self.class_names
        return {
            "other_scores": {
                activation: {name: replace_nan(each._asdict()) for name, each in scores.items()}
                for activation, scores in self.scores.items()
            },
            "class_accuracy": {
                activation: replace_nan(dict(zip(names, values, strict=True)))
                for activation, values in self.class_accuracies().items()
            },
        }


def read_prediction_data(
    folder: RunFolder, table: ComparisonTable, results: list[TrialResult]
) -> PredictionData:
    """Return the further scores and the predictions in a run folder.

    Args:
        folder: the run folder.
        table: the table of the comparison; its rows name the activations.
        results: the results of the finished trainings.
    """
    activations = [row.activation for row in table.rows]
    saved = {
        name: [
            predictions
            for each in results
            if each.activation == name
            and (predictions := folder.load_predictions(Trial(activation=name, seed=each.seed)))
        ]
        for name in activations
    }
    matrices = {
        name: [each for each in kept if isinstance(each, ConfusionMatrix)]
        for name, kept in saved.items()
    }
    return PredictionData(
        scores={name: _mean_scores([r for r in results if r.activation == name]) for name in saved},
        confusions={
            name: ConfusionMatrix(torch.stack([m.counts for m in found]).sum(dim=0), found[0].names)
            for name, found in matrices.items()
            if found
        },
        numbers={
            name: kept[0]
            for name, kept in saved.items()
            if kept and isinstance(kept[0], PredictedNumbers)
        },
    )


def shares_of_classes(counts: Tensor) -> Tensor:
    """Return a confusion matrix as fractions of the samples of each true class.

    Args:
        counts: numbers of samples `(C, C)`, a row for each true class.

    Returns:
        Fractions from 0 to 1, `(C, C)` in float64. The row of a class without samples is NaN.
    """
    return counts.double() / counts.sum(dim=1, keepdim=True)


def _mean_scores(results: list[TrialResult]) -> dict[str, Interval]:
    names = dict.fromkeys(name for result in results for name in result.other_scores)
    return {
        name: mean_interval([r.other_scores[name] for r in results if name in r.other_scores])
        for name in names
    }
