"""The scales of a study: the sizes at which it can run."""

from __future__ import annotations

from typing import Any

import pydantic

from hinged.lab.experiment.settings import Settings
from hinged.lab.study.tune import Tune

SCALES = ("smoke", "small", "full")


class Scale(Settings):
    """A size at which a study can run, for example a short run on less data.

    Attributes:
        settings: nested settings of an experiment. They override the settings of the study.
        grid: lists of values for some axes of `Study.grid`. They replace the lists of the study.
        pretrain: nested settings of an experiment. They override `Study.pretrain`.
        tune: what is tried for each activation at this scale, in place of `Study.tune`. If it is
            empty, nothing is tried.
        seeds: number of seeds for each network and activation.
        fallback: name of the data set that is used if there is no folder of data sets; None if the
            study needs the folder.
    """

    settings: dict[str, Any] = pydantic.Field(default_factory=dict)
    grid: dict[str, tuple[Any, ...]] = pydantic.Field(default_factory=dict)
    pretrain: dict[str, Any] = pydantic.Field(default_factory=dict)
    tune: Tune | None = None
    seeds: int = pydantic.Field(ge=2)
    fallback: str | None = None
