"""The section `[tune]` of a study: the settings that are tried for each activation."""

from __future__ import annotations

from typing import Any

import pydantic

from hinged.lab.experiment.settings import Settings

Axes = dict[str, tuple[Any, ...]]
"""Lists of values by the full name of a setting, for example `training.lr`."""


class Tune(Settings):
    """The settings that are tried for each activation before a comparison.

    Each combination of values, one from each list, is trained. The combination with the best mean
    score on held-out training samples is chosen for the activation.

    Attributes:
        settings: lists of values by the full name of a setting of `training` or `curves`. A list is
            used only for activations that the setting affects.
        activations: lists for single activations. They are added to `settings`, or replace lists
            of the same settings.
        at: values of axes of the grid. Only the cells with these values are tuned. Each other cell
            takes the choice of the tuned cell that differs from it only in these axes. Without
            values, every cell is tuned.
        seeds: number of trainings with each combination. Their seeds are 1000, 1001 and so on.
        validation: fraction of the training samples that are held out in these trainings.
    """

    settings: Axes = pydantic.Field(default_factory=dict)
    activations: dict[str, Axes] = pydantic.Field(default_factory=dict)
    at: dict[str, Any] = pydantic.Field(default_factory=dict)
    seeds: int = pydantic.Field(default=2, ge=1)
    validation: float = pydantic.Field(default=0.2, gt=0, lt=1)
