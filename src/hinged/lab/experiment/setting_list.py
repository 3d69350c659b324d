"""All settings of an experiment: name, default, meaning, and the names that a setting accepts."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args, get_origin

from hinged.lab.experiment import choices
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import Settings

_CHOICES: Mapping[str, Mapping[str, str]] = {
    "data": choices.DATA_SETS,
    "network.kind": choices.NETWORKS,
    "curves.init": choices.START_FUNCTIONS,
    "curves.tails": choices.TAILS,
    "training.optimizer": choices.OPTIMIZERS,
    "training.augment": choices.AUGMENTATIONS,
    "activations": choices.ACTIVATIONS,
    "baseline": choices.ACTIVATIONS,
}


class Setting(NamedTuple):
    """One setting of an experiment.

    Attributes:
        name: section and name, for example `training.lr`.
        annotation: the type of the value.
        default: the value that is used if none is given.
        meaning: the description, without line breaks.
        choices: the names that the setting accepts, with their meanings. A setting may also accept
            other texts, which `meaning` then describes.
    """

    name: str
    annotation: Any
    default: Any
    meaning: str
    choices: Mapping[str, str]

    @property
    def summary(self) -> str:
        """The first sentence of the meaning."""
        return re.split(r"(?<=\.) ", self.meaning)[0]

    @property
    def default_text(self) -> str:
        """The default as a text: lists are separated by commas, and `-` stands for no value."""
        if isinstance(self.default, tuple):
            return ",".join(map(str, self.default)) or "-"
        return "-" if self.default in (None, {}) else str(self.default)


@functools.cache
def list_settings() -> Mapping[str, Setting]:
    """Return all settings of an experiment by name, in the order of their definition.

    >>> list_settings()["training.epochs"].default
    20
    """
    return MappingProxyType({setting.name: setting for setting in _settings_of(Experiment, "")})


def _settings_of(model: type[Settings], prefix: str) -> Iterator[Setting]:
    for name, field in model.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from _settings_of(kind, f"{name}.")
            continue
        known = _CHOICES.get(prefix + name, {})
        for each in (kind, *get_args(kind)):  # `Literal["a"] | None` has two arguments.
            if get_origin(each) is Literal:
                known = dict.fromkeys(map(str, get_args(each)), "")
        meaning = " ".join((field.description or "").split())
        default = field.get_default(call_default_factory=True)
        yield Setting(prefix + name, kind, default, meaning, known)
