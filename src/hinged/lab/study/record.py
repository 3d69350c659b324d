"""The record of a study: its figures, and everything needed to produce them again.

`hinged.lab.study.build_record` computes it from a study's folder.
"""

from __future__ import annotations

from typing import Any

import pydantic

from hinged.lab.experiment.settings import Settings
from hinged.lab.runs.trial_result import TrialFailure, TrialResult

VISIBLE = 0.002
"""Every record says how many seeds a difference of this size needs: 0.2 points."""


class ConfidenceInterval(Settings):
    """A mean with a 95 % interval."""

    mean: float
    low: float
    high: float


class Comparison(Settings):
    """Paired differences between a row and the row it is compared with.

    Attributes:
        label: title of the other row.
        pairs: number of seeds that both finished.
        t: mean difference with Student's interval.
        bootstrap: mean difference with the bootstrap interval.
        std: standard deviation of the differences.
        p: p-value of the paired t-test; None if the differences have no spread.
        p_holm: p-value after Holm's correction for all comparisons of the study.
        p_sign_flip: p-value of the permutation test.
        seeds_needed: number of seeds that show a difference of 0.002 at the 5 % level with a power
            of 0.8, for this standard deviation.
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
    """One activation in one cell. Its value is the number that the study compares.

    Attributes:
        cell: name of the cell.
        label: point in the grid and variant, in words.
        point: point in the grid, with the axes that affect the activation.
        activation: its name.
        n, mean, std: number of seeds, mean and standard deviation of the values. Mean and standard
            deviation leave out diverged trainings.
        values: value of each seed; None for a diverged training.
        diverged: seeds with an infinite or NaN loss or score.
        versus: comparison with another row; None for the row that others are compared with, and
            for fewer than two pairs.
        test_score, train_score: mean scores.
        dead, dormant: mean shares of idle units after each epoch.
        advice: share of the trainings after which `hinged.diagnose` gave advice, by sign.
        parameters, activation_parameters: number of trained parameters.
        step_ms: median milliseconds of a training step.
        step_ratio: time of a step divided by that of the row it is compared with.
        kept_bytes: bytes that one batch keeps for the backward pass.
        data, data_digest: the data set and its hash.
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
        """Return the activation, and the label in parentheses."""
        return row_title(self.activation, self.label)


class StudyRecord(pydantic.BaseModel):
    """The results of a study.

    Attributes:
        name, scale, question, unsure, baseline: from the study.
        command: the command that produces it again.
        measure, metric, in_percent, larger_is_better: describe the value that is compared.
        rows: one for each activation in each cell.
        missing: number of planned trainings that are not finished.
        failures: trainings that raised an error.
        cells: all settings of every cell.
        pretrainings: results of the pretrainings, by kind of network.
        environments: versions, commit and machine; several if the study was continued elsewhere.
        seconds: time of all trainings together, without pretrainings.
        made: date of the last training, UTC.
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
    pretrainings: dict[str, TrialResult] = {}
    environments: list[dict[str, str]]
    seconds: float
    made: str


def row_title(activation: str, label: str) -> str:
    """Return the activation, and the label in parentheses if there is one."""
    return f"{activation} ({label})" if label else activation
