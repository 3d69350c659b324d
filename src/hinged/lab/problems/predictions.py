"""What is kept of the predictions of a trained network on the test split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor

MOST_NUMBERS = 2000
"""Largest number of samples whose predicted numbers are kept."""


class ConfusionMatrix(NamedTuple):
    """The number of test samples for each pair of a true and a predicted class.

    Attributes:
        counts: `counts[i, j]` is the number of samples of class `i` that were predicted as class
            `j`, shape `(C, C)`, int64.
        names: names of the `C` classes.
    """

    counts: Tensor
    names: tuple[str, ...]


class PredictedNumbers(NamedTuple):
    """True and predicted numbers of test samples, in the units of the data.

    Attributes:
        targets: true numbers of `N` samples, shape `(N, T)`, float32.
        outputs: predicted numbers of the same samples, shape `(N, T)`, float32.
        names: names of the `T` targets.
    """

    targets: Tensor
    outputs: Tensor
    names: tuple[str, ...]


Predictions = ConfusionMatrix | PredictedNumbers


def count_classes(predicted: Tensor, targets: Tensor, names: tuple[str, ...]) -> ConfusionMatrix:
    """Return the confusion matrix of predicted classes.

    Args:
        predicted: predicted class indices `(N,)`.
        targets: true class indices `(N,)`.
        names: names of the classes.

    >>> count_classes(torch.tensor([0, 1, 1]), torch.tensor([0, 0, 1]), ("a", "b")).counts.tolist()
    [[1, 1], [0, 1]]
    """
    number = len(names)
    cells = targets * number + predicted
    return ConfusionMatrix(cells.bincount(minlength=number**2).view(number, number), names)


def keep_numbers(outputs: Tensor, targets: Tensor, names: tuple[str, ...]) -> PredictedNumbers:
    """Return the predicted and the true numbers of at most `MOST_NUMBERS` samples.

    The samples are drawn at random, and are the same at every call for the same number of samples.

    Args:
        outputs: predicted numbers `(N, T)`, in the units of the data.
        targets: true numbers `(N, T)`.
        names: names of the targets.
    """
    order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(0))
    rows = order[:MOST_NUMBERS].sort().values
    return PredictedNumbers(targets[rows].float(), outputs[rows].float(), names)


def serialize_predictions(predictions: Predictions) -> bytes:
    """Return the content of a safetensors file that holds predictions."""
    tensors = {name: each for name, each in predictions._asdict().items() if name != "names"}
    return safetensors.torch.save(tensors, {"names": json.dumps(predictions.names)})


def read_predictions(path: Path) -> Predictions:
    """Return the predictions in a file that `serialize_predictions` has filled."""
    with safetensors.safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        names = tuple(json.loads(file.metadata()["names"]))
    kind = ConfusionMatrix if "counts" in tensors else PredictedNumbers
    return kind(names=names, **tensors)
