"""The TOML file of a study: a question, and the settings that differ from the defaults."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from hinged import errors
from hinged.lab.experiment.environment import Precision
from hinged.lab.experiment.settings import Settings
from hinged.lab.study.outcome_measures import MEASURES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCALES = ("smoke", "small", "full")
SHIPPED = Path(__file__).parent / "shipped"
"""The folder of the studies that come with the library, one TOML file each."""


class Variant(Settings):
    """Settings with a name, for what an axis of values cannot express.

    Attributes:
        name: the name in tables.
        settings: override those of the study.
    """

    name: str
    settings: dict[str, Any] = pydantic.Field(default_factory=dict)


class Scale(Settings):
    """The size of a study.

    Attributes:
        settings: override those of the study.
        grid: other values for axes of the study.
        pretrain: overrides that of the study.
        seeds: number of seeds for each network.
        fallback: the data set to use if there is no folder of data sets.
    """

    settings: dict[str, Any] = pydantic.Field(default_factory=dict)
    grid: dict[str, tuple[Any, ...]] = pydantic.Field(default_factory=dict)
    pretrain: dict[str, Any] = pydantic.Field(default_factory=dict)
    seeds: int = pydantic.Field(ge=2)
    fallback: str | None = None


class Study(Settings):
    """A question and the experiments that answer it.

    Attributes:
        question: the question, in one sentence.
        unsure: what the study cannot show, whatever the number of seeds.
        settings: nested settings of `hinged.lab.experiment.schema.Experiment` that differ from the
            defaults.
        grid: values for settings, named as in `network.depth`; each combination is one cell. A
            value may be a table of settings that belong together.
        variants: named settings; each is combined with each point of the grid.
        pretrain: settings of a training, laid over those of the study. It produces the weights of
            every network with `pretrained = "study"`, once for each network, before all else.
        measure: the number to compare, a name in `hinged.lab.study.outcome_measures.MEASURES`.
        against: `same` compares each activation with the baseline under the same settings; `first`
            compares it with the baseline of the first cell with the same data.
        alone: one training at a time, because trainings are timed.
        smoke, small, full: the scales: seconds; under an hour on a CPU; a GPU.
    """

    question: str
    unsure: str
    settings: dict[str, Any] = pydantic.Field(default_factory=dict)
    grid: dict[str, tuple[Any, ...]] = pydantic.Field(default_factory=dict)
    variants: tuple[Variant, ...] = (Variant(name=""),)
    pretrain: dict[str, Any] = pydantic.Field(default_factory=dict)
    measure: Literal[tuple(MEASURES)] = "score"  # type: ignore[valid-type]
    against: Literal["same", "first"] = "same"
    alone: bool = False
    smoke: Scale
    small: Scale
    full: Scale

    def scale(self, name: str) -> Scale:
        """Return the scale with a name.

        Raises:
            UnknownNameError: no scale has this name.
        """
        if name not in SCALES:
            raise errors.unknown_name("scale", name, SCALES)
        scales: dict[str, Scale] = {"smoke": self.smoke, "small": self.small, "full": self.full}
        return scales[name]

    def with_precision(self, precision: Precision) -> Study:
        """Return the study with this precision in place of every `auto`."""
        return Study.model_validate(_replace_auto(self.model_dump(), precision))


def _replace_auto(value: Any, precision: Precision, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _replace_auto(each, precision, key) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replace_auto(each, precision, name) for each in value)
    return precision if value == "auto" and name.endswith("precision") else value


def shipped_studies() -> list[str]:
    """Return the names of the studies that come with the library."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def find_study(name: str) -> Path:
    """Return the file of a study: a shipped study by its name, or your own by its path.

    Raises:
        UnknownNameError: no shipped study has this name.
        ArgumentError: the path is not a file.
    """
    if name.endswith(".toml"):
        if not Path(name).is_file():
            hint = "give a file that exists, or a name that `hinged study list` shows"
            raise errors.ArgumentError(errors.message("hinged study", f"{name}, no file", hint))
        return Path(name)
    if name not in shipped_studies():
        raise errors.unknown_name("hinged study", name, shipped_studies())
    return SHIPPED / f"{name}.toml"


def parse_study(path: Path) -> Study:
    """Return the study of a file, with its fields checked.

    `hinged.lab.study.cells.read_study` also checks the experiments.

    Raises:
        ArgumentError: the file is not TOML, or fields are wrong; the message names all of them.
    """
    call = f"hinged study {path.name}"
    try:
        return Study.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise errors.ArgumentError(errors.message(call, f"{error}", "correct the file")) from None
    except pydantic.ValidationError as invalid:
        faults = [
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in invalid.errors()
        ]
        raise errors.ArgumentError(
            errors.message(call, "; ".join(faults), "correct the file")
        ) from None
