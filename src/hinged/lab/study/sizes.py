"""The size of a study at one scale, and the time that it is expected to take."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable

from hinged.lab.experiment.settings import Settings
from hinged.lab.reporting.time_estimate import in_words
from hinged.lab.runs.tuning import tuning_experiments
from hinged.lab.study.cells import study_cells, study_tuning, tuned_cells
from hinged.lab.study.definition import SHIPPED, Study, find_study, parse_study, shipped_studies
from hinged.lab.study.record import StudyRecord

TIMES = SHIPPED / "measured_times.json"
"""The file with the measured times of the studies that are part of the library."""


class ScaleSize(Settings):
    """The size of a study at one scale.

    Attributes:
        cells: number of cells. A cell is one combination of the study's settings.
        seeds: number of seeds of each network and activation.
        trainings: number of trainings, without pretrainings and tuning.
        tunings: number of trainings that tune settings.
        epochs: the numbers of epochs, ascending.
        learning_rates: the learning rates, ascending. If they are tuned, those that are tried.
        train_samples: the numbers of training samples, ascending. 0 is all samples of the data.
        folds: number of folds of a cross-validation; None without one.
    """

    cells: int
    seeds: int
    trainings: int
    tunings: int = 0
    epochs: tuple[int, ...]
    learning_rates: tuple[float, ...]
    train_samples: tuple[int, ...]
    folds: int | None

    def as_words(self) -> dict[str, str]:
        """Return the size as pairs of name and text, for example `epochs` and `5`."""
        every = "all" if self.folds is None else f"{self.folds - 1} of {self.folds} folds"
        samples = [f"{number:,}" if number else every for number in self.train_samples]
        each = "seed" if self.folds is None else "fold"
        return {
            "trainings": f"{self.trainings:,} trainings: {self.cells} "
            f"combination{'' if self.cells == 1 else 's'} of settings, {self.seeds} {each}s",
            **({"tuning": f"{self.tunings:,} trainings before these"} if self.tunings else {}),
            "epochs": _listed(self.epochs),
            "learning rate": _listed(self.learning_rates),
            "training samples": ", ".join(samples),
        }


class MeasuredTime(Settings):
    """The time that the trainings of a recorded study took.

    Attributes:
        seconds: sum of the times of all trainings, pretrainings and tunings, in seconds.
        trainings: number of trainings, without pretrainings and tuning.
        machine: the processor and the number of its cores.
    """

    seconds: float
    trainings: int
    machine: str


def scale_size(study: Study, scale: str) -> ScaleSize:
    """Return the size of a study at one scale: `smoke`, `small` or `full`."""
    experiments = [cell.experiment for cell in study_cells(study, scale)]
    tuning = study_tuning(study, scale)
    tuned = {cell.name: cell.experiment for cell in tuned_cells(study, scale).values()}
    tried = [tuning_experiments(each, tuning) for each in tuned.values()] if tuning else []
    trainings = [
        experiment.for_activation(name).training
        for experiment in [*itertools.chain(*tried)] or experiments
        for name in experiment.activations
    ]
    folds = {experiment.folds for experiment in experiments}
    return ScaleSize(
        cells=len(experiments),
        seeds=study.scale(scale).seeds,
        trainings=sum(len(experiment.trials) for experiment in experiments),
        tunings=sum(len(each.trials) for each in itertools.chain(*tried)),
        epochs=tuple(sorted({training.epochs for training in trainings})),
        learning_rates=tuple(sorted({training.lr for training in trainings})),
        train_samples=tuple(sorted({experiment.train_size or 0 for experiment in experiments})),
        folds=folds.pop() if len(folds) == 1 else None,
    )


def measured_time(record: StudyRecord) -> MeasuredTime:
    """Return the time that the trainings of a record took."""
    about = record.environments[0]
    before = sum(result.seconds for result in record.pretrainings.values()) + record.tuning_seconds
    return MeasuredTime(
        seconds=round(record.seconds + before, 1),
        trainings=sum(row.n for row in record.rows),
        machine=f"{about['processor']}, {about['cores']} cores",
    )


def expected_time(name: str, study: Study, scale: str) -> str:
    """Return the time that a study is expected to take, as text.

    It is computed from the recorded times of the same study at the same scale. It is unknown for
    studies that are not part of the library, and for scales without a record.

    Args:
        name: name of the study.
        study: the study.
        scale: name of the scale.
    """
    times = json.loads(TIMES.read_text(encoding="utf-8"))
    is_shipped = name in shipped_studies() and parse_study(find_study(name)) == study
    if not is_shipped or scale not in times.get(name, {}):
        return "unknown (it was not recorded at this scale)"
    measured = MeasuredTime.model_validate(times[name][scale])
    planned = scale_size(study, scale).trainings
    seconds = measured.seconds / measured.trainings * planned
    return (
        f"about {in_words(seconds)} of training in all, by the times of "
        f"{measured.trainings:,} recorded trainings on {measured.machine}"
    )


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)
