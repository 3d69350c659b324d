"""The record of one trial: its result, or the error that ended it."""

from __future__ import annotations

import math
from typing import Any

import pydantic


class TrialResult(pydantic.BaseModel):
    """The result of one trained network, and everything needed to train it again.

    Attributes:
        activation, seed: the trial.
        metric: the name of the scores; a larger score is better.
        test_score, train_score: scores of the trained network.
        loss, test_scores: mean training loss and test score of each epoch.
        parameters, activation_parameters: number of trained parameters, of the whole network and
            of its activations.
        step_ms: median time of a training step, in milliseconds.
        seconds: wall time of the training.
        dead, dormant: shares of idle units after each epoch (`hinged.lab.training.dead_units`).
        advice: sentences of `hinged.diagnose` about the trained curves, by sign.
        kept_bytes: bytes that the forward pass of one batch keeps for the backward pass.
        initial_weights: SHA-256 of the weights before training, without those of activations.
        pretrained: the weights that training started from, with the first digits of their
            SHA-256; empty for new weights.
        data_digest: SHA-256 of the data.
        data_about: a sentence that describes the data.
        fold: the fold that was tested on; None without folds.
        experiment: all settings.
        environment: versions, commit and machine.
        finished: time of the end, UTC, ISO 8601.

    A diverged training has a result too. Its score is NaN if the outputs of the network are not
    finite. It is not trained again, and means and paired differences leave it out.
    """

    model_config = pydantic.ConfigDict(frozen=True, ser_json_inf_nan="strings")

    activation: str
    seed: int
    metric: str
    test_score: float
    train_score: float
    loss: list[float]
    test_scores: list[float]
    parameters: int
    activation_parameters: int
    step_ms: float
    seconds: float
    dead: list[float] = []
    dormant: list[float] = []
    advice: dict[str, list[str]] = {}
    kept_bytes: int
    initial_weights: str
    pretrained: str = ""
    data_digest: str
    data_about: str = ""
    fold: int | None = None
    experiment: dict[str, Any]
    environment: dict[str, str]
    finished: str

    @property
    def diverged(self) -> bool:
        """Whether a loss or the test score is infinite or NaN."""
        return not all(map(math.isfinite, (*self.loss, self.test_score)))


class TrialFailure(pydantic.BaseModel):
    """The error that ended a trial.

    Attributes:
        activation, seed: the trial.
        traceback: the error, as Python prints it.
        environment: versions, commit and machine.
        finished: time of the error, UTC, ISO 8601.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    activation: str
    seed: int
    traceback: str
    environment: dict[str, str]
    finished: str

    @property
    def last_line(self) -> str:
        """Return the line of the traceback that names the error."""
        return self.traceback.strip().splitlines()[-1]
