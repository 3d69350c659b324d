"""The record of a study: its results, and all settings that are needed to repeat the study.

`hinged.lab.study.build_record` computes the record from the folder of a study. A cell of a study is
one combination of its settings.
"""

from __future__ import annotations

from typing import Any

import pydantic

from hinged.lab.experiment.settings import Settings
from hinged.lab.runs.trial_result import TrialFailure, TrialResult
from hinged.lab.runs.tuning import TunedActivation

VISIBLE = 0.002
"""Size of a score difference: 0.2 points. Records say how many seeds are needed to find it."""


class ConfidenceInterval(Settings):
    """A mean with its 95 % interval.

    Attributes:
        mean: the mean.
        low: lower bound of the interval.
        high: upper bound of the interval.
    """

    mean: float
    low: float
    high: float


class Comparison(Settings):
    """The paired differences between a row and its reference, another row of the record.

    A difference is the value of the row minus the value of the reference at the same seed.

    Attributes:
        label: title of the reference.
        pairs: number of seeds at which both rows have a finite value.
        t: mean difference with its Student t interval.
        bootstrap: mean difference with its bootstrap interval.
        std: standard deviation of the differences.
        p: p-value of the paired t-test; None if all differences are equal but not 0.
        p_holm: `p` after Holm's correction for all comparisons of the study; None if `p` is None.
        p_sign_flip: p-value of the permutation test.
        seeds_needed: number of seeds at which the t-test would find a true difference of 0.002 at
            the 5 % level with a power of 0.8, assuming the standard deviation `std`.
    """

    label: str
    pairs: int
    t: ConfidenceInterval
    bootstrap: ConfidenceInterval
    std: float
    p: float | None
    p_holm: float | None = None
    p_sign_flip: float
    seeds_needed: int


class RecordRow(Settings):
    """The results of one activation in one cell (one combination of the study's settings).

    Each training has a value: the number that the study compares, for example its test score. The
    row is compared with another row, its reference.

    Attributes:
        cell: name of the cell.
        label: the settings that distinguish the cell from others, in words.
        point: value of the cell on each axis of the study's grid that affects the activation.
        activation: name of the activation.
        n: number of finished trainings, one for each seed.
        mean: mean of the finite values; None if there are none.
        std: standard deviation of the finite values; None for fewer than two.
        values: value of each training by its seed; None if the value is infinite or NaN.
        diverged: seeds at which the loss or the score became infinite or NaN.
        versus: comparison with the reference. None if the row has no reference, or if fewer than
            two seeds have finite values in both rows.
        test_score: mean of the finite test scores; None if there are none.
        train_score: mean of the finite training scores; None if there are none.
        dead: fraction of dead units after each epoch, the mean over seeds.
        dormant: fraction of dormant units after each epoch, the mean over seeds.
        advice: fraction of the trainings with advice of `hinged.diagnose`. The keys are signs:
            short names of what is wrong, for example `inputs outside`.
        parameters: number of trained parameters of the whole network.
        activation_parameters: number of trained parameters of its activations.
        step_ms: time of a training step in milliseconds, the median over seeds.
        step_ratio: time of a training step divided by the time of the reference, the median over
            seeds; None without a reference.
        kept_bytes: bytes that one batch keeps for the backward pass.
        data: name of the data set.
        data_digest: SHA-256 of the data.
    """

    cell: str
    label: str
    point: dict[str, Any] = pydantic.Field(default_factory=dict)
    activation: str
    n: int
    mean: float | None
    std: float | None
    values: dict[int, float | None]
    diverged: tuple[int, ...] = ()
    versus: Comparison | None = None
    test_score: float | None
    train_score: float | None
    dead: list[float]
    dormant: list[float]
    advice: dict[str, float] = pydantic.Field(default_factory=dict)
    parameters: int
    activation_parameters: int
    step_ms: float
    step_ratio: float | None = None
    kept_bytes: int
    data: str
    data_digest: str

    @property
    def title(self) -> str:
        """Return the title of the row: its activation, and its label in parentheses."""
        return row_title(self.activation, self.label)


class StudyRecord(pydantic.BaseModel):
    """The results of a study at one scale.

    Attributes:
        name: name of the study.
        scale: name of the scale: `smoke`, `small` or `full`.
        question: the question of the study.
        unsure: a sentence about what the study cannot show.
        baseline: name of the activation that the others are compared with.
        command: the command that runs the study again.
        measure: description of the number that is compared, for example `test accuracy`.
        metric: name of the scores of the data set, for example `accuracy`.
        in_percent: whether pages show the compared numbers in percent.
        larger_is_better: whether a larger compared number is better.
        rows: one row for each activation in each cell (one combination of the study's settings).
        missing: number of planned trainings that are neither finished nor failed.
        failures: the errors of trainings that raised one.
        cells: all settings of each cell, without those that tuning has chosen; the keys are the
            names of the cells.
        tuning: what was tried and chosen for each activation of a cell, before its trainings; the
            keys are the names of the cells. Empty if the study tunes nothing.
        tuned_at: values of axes of the grid. If it is not empty, only the cells with these values
            were tuned. Each other cell took the choice of the tuned cell that differs only there.
        pretrainings: result of the pretraining of each kind of network.
        environments: versions of the packages, git commit and machine. The list has several items
            if trainings ran in different environments.
        seconds: time of all trainings together, in seconds, without pretrainings and tuning.
        made: date on which the last training ended, in UTC.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    name: str
    scale: str
    question: str
    unsure: str
    baseline: str
    command: str
    measure: str
    metric: str
    in_percent: bool
    larger_is_better: bool
    rows: list[RecordRow]
    missing: int = 0
    failures: list[TrialFailure]
    cells: dict[str, dict[str, Any]]
    tuning: dict[str, list[TunedActivation]] = {}
    tuned_at: dict[str, Any] = {}
    pretrainings: dict[str, TrialResult] = {}
    environments: list[dict[str, str]]
    seconds: float
    made: str

    @property
    def precedes_the_metric(self) -> bool:
        """Whether the curves were trained without their metric, by an earlier version."""
        return any("curve_metric" not in cell["training"] for cell in self.cells.values())

    @property
    def tuning_seconds(self) -> float:
        """Return the time of all trainings that tuned settings, in seconds."""
        tuned = (each for cell in self.tuning.values() for each in cell)
        return sum(tried.seconds for each in tuned for tried in each.tried)

    def to_json(self) -> str:
        """Return the record as the text of its file."""
        return self.model_dump_json(indent=1) + "\n"


def row_title(activation: str, label: str) -> str:
    """Return the name of an activation, followed by a label in parentheses if it is not empty."""
    return f"{activation} ({label})" if label else activation
