"""The record of one trial: its result, or the error that ended it.

A trial is one training: one activation from one seed.
"""

from __future__ import annotations

import math
from typing import Any

import pydantic

from hinged.lab.data import DataFacts


class TrialResult(pydantic.BaseModel):
    """The result of one trained network, and all settings that are needed to train it again.

    A diverged training (its loss or score became infinite or NaN) has a result too. It is not
    trained again. Means and paired differences leave out a score that is not finite.

    Attributes:
        activation: name of the activation.
        seed: seed of the initial weights and of the order of the data.
        metric: name of the scores, for example `accuracy`. A larger score is better.
        test_score: score of the trained network on the test split. NaN if its outputs are not
            finite.
        train_score: score of the trained network on the training split.
        other_scores: further scores on the test split by name, for example `macro F1` or `RMSE`.
            Empty for object detection, for a network whose outputs are not finite, and in results
            of earlier versions.
        loss: mean training loss of each epoch.
        test_scores: test score after each epoch. These scores choose nothing.
        validation_scores: score after each epoch on the training samples that are held out. Empty
            if no samples are held out.
        best_epoch: number of the epoch whose parameters the trained network has, counted from 1:
            the epoch with the best validation score. None if the network has the parameters of
            the last epoch because no epoch was chosen.
        parameters: number of trained parameters of the whole network.
        activation_parameters: number of trained parameters of its activations.
        step_ms: median time of a training step, in milliseconds.
        seconds: wall time of the training, in seconds.
        dead: share of dead units (the output is the same for all samples) after each epoch, from 0
            to 1.
        dormant: share of dormant units (the mean absolute output is small compared with the mean of
            the layer) after each epoch, from 0 to 1.
        advice: sentences of `hinged.diagnose` about the trained curves. The keys are signs: short
            names of what is wrong, for example `inputs outside`.
        travel: how far the curves of each layer have moved from their start, relative to the scale
            of their inputs, by the name of the layer (`hinged.diagnose`). Empty in results of
            earlier versions.
        kept_bytes: bytes that the forward pass of one batch keeps for the backward pass.
        initial_weights: SHA-256 of the weights before training, without those of activations.
        pretrained: name of the pretrained weights, with the first digits of their SHA-256; empty
            if all weights were new.
        data_digest: SHA-256 of the data.
        data_about: a sentence that describes the data.
        data_notes: sentences about what was found in the columns of a table; empty for other data.
        data_warnings: what to look at in a table before its results are trusted.
        data_facts: facts about the splits that decide whether scores mean anything; None in older
            results.
        fold: number of the cross-validation fold that was the test split, from 0; None without
            cross-validation.
        experiment: all settings of the experiment.
        environment: versions of the packages, git commit, and a description of the machine.
        finished: time at which the training ended, in UTC, as an ISO 8601 text.
    """

    model_config = pydantic.ConfigDict(frozen=True, ser_json_inf_nan="strings")

    activation: str
    seed: int
    metric: str
    test_score: float
    train_score: float
    other_scores: dict[str, float] = {}
    loss: list[float]
    test_scores: list[float]
    validation_scores: list[float] = []
    best_epoch: int | None = None
    parameters: int
    activation_parameters: int
    step_ms: float
    seconds: float
    dead: list[float] = []
    dormant: list[float] = []
    advice: dict[str, list[str]] = {}
    travel: dict[str, float] = {}
    kept_bytes: int
    initial_weights: str
    pretrained: str = ""
    data_digest: str
    data_about: str = ""
    data_notes: tuple[str, ...] = ()
    data_warnings: tuple[str, ...] = ()
    data_facts: DataFacts | None = None
    fold: int | None = None
    experiment: dict[str, Any]
    environment: dict[str, str]
    finished: str

    @property
    def diverged(self) -> bool:
        """Whether the loss of any epoch or the test score is infinite or NaN."""
        return not all(map(math.isfinite, (*self.loss, self.test_score)))

    @property
    def scored_epoch(self) -> int:
        """Return the index of the epoch whose network was scored and saved, from 0."""
        return (self.best_epoch or len(self.loss)) - 1

    @property
    def validation_score(self) -> float | None:
        """Return the score of the trained network on the validation samples.

        It is NaN if the training diverged, and None if no samples are held out.
        """
        if not self.validation_scores:
            return None
        return math.nan if self.diverged else self.validation_scores[self.scored_epoch]


class TrialFailure(pydantic.BaseModel):
    """The error that ended a trial: the training of one activation from one seed.

    Attributes:
        activation: name of the activation.
        seed: seed of the initial weights and of the order of the data.
        traceback: the text that Python prints for the error.
        environment: versions of the packages, git commit, and a description of the machine.
        finished: time of the error, in UTC, as an ISO 8601 text.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    activation: str
    seed: int
    traceback: str
    environment: dict[str, str]
    finished: str

    @property
    def last_line(self) -> str:
        """Return the last line of the traceback, with the type and the message of the error."""
        return self.traceback.strip().splitlines()[-1]
