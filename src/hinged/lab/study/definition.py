"""What a study is: a question, and only what differs from the defaults, at three scales."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from hinged import errors
from hinged.lab.experiment.environment import Precision
from hinged.lab.experiment.settings import Settings
from hinged.lab.study.metrics import MEASURES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SCALES = ("smoke", "small", "full")
SHIPPED = Path(__file__).parent / "shipped"
"""The studies that come with the library, one TOML file each."""


class Variant(Settings):
    """Settings with a name, where an axis of values would not do.

    Attributes:
        name: what tables call it.
        settings: as `Study.settings`, laid over them.
    """

    name: str
    settings: dict[str, Any] = pydantic.Field(default_factory=dict)


class Scale(Settings):
    """How large a study is.

    Attributes:
        settings: laid over those of the study.
        grid: other values for axes of the study.
        pretrain: laid over that of the study.
        seeds: how many seeds each network is trained from.
        fallback: the data set to use instead where there is no folder of data sets.
    """

    settings: dict[str, Any] = pydantic.Field(default_factory=dict)
    grid: dict[str, tuple[Any, ...]] = pydantic.Field(default_factory=dict)
    pretrain: dict[str, Any] = pydantic.Field(default_factory=dict)
    seeds: int = pydantic.Field(ge=2)
    fallback: str | None = None


class Study(Settings):
    """A question and the experiments that answer it.

    Attributes:
        question: in one sentence.
        unsure: what the study cannot tell, however many seeds it has.
        settings: of `hinged.lab.experiment.schema.Experiment`, nested, only those that differ.
        grid: values for settings, named as `network.depth`; every combination is one cell. A
            value may be a table, of settings that belong together.
        variants: further cells by name, each combined with the grid.
        pretrain: settings of a training, laid over those of the study, that gives the weights of
            every network whose `pretrained` is `study`; done once for a network, before all else.
        measure: what is compared, a name in `hinged.lab.study.metrics.MEASURES`.
        against: what each activation is compared with: the baseline under the `same` settings, or
            under those of the `first` cell with the same data.
        alone: trainings are timed, so they are done one at a time.
        smoke, small, full: seconds; a CPU, under an hour; a GPU.
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
        """Return one of the scales.

        Raises:
            UnknownNameError: there is none of this name.
        """
        if name not in SCALES:
            raise errors.unknown_name("--scale", name, SCALES)
        scales: dict[str, Scale] = {"smoke": self.smoke, "small": self.small, "full": self.full}
        return scales[name]

    def settled(self, precision: Precision) -> Study:
        """Return the study with this precision wherever it is `auto`."""
        return Study.model_validate(_settled(self.model_dump(), precision))


def _settled(value: Any, precision: Precision, path: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name: _settled(each, precision, name) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_settled(each, precision, path) for each in value)
    return precision if value == "auto" and path.endswith("precision") else value


def names() -> list[str]:
    """Return the names of the studies that are shipped."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def find(name: str) -> Path:
    """Return the file of a shipped study, or of one of the user's own.

    Raises:
        UnknownNameError: there is no study of this name.
        ArgumentError: there is no such file.
    """
    if name.endswith(".toml"):
        if not Path(name).is_file():
            hint = "give a file that exists, or a name that `hinged study list` shows"
            raise errors.ArgumentError(errors.message("hinged study", f"{name}, no file", hint))
        return Path(name)
    if name not in names():
        raise errors.unknown_name("hinged study", name, names())
    return SHIPPED / f"{name}.toml"


def parse(path: Path) -> Study:
    """Return the study of a file, its fields checked; `hinged.lab.study.cells.read` checks the
    experiments as well.

    Raises:
        ArgumentError: it is no TOML, or names every field that cannot be right.
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
