"""The TOML file of a study: its question, and the settings of its experiments."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from hinged import errors
from hinged.lab.experiment.settings import Precision, Settings
from hinged.lab.study import faults
from hinged.lab.study.outcome_measures import MEASURES
from hinged.lab.study.scales import SCALES, Scale
from hinged.lab.study.tune import Tune

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).parent / "shipped"
"""The folder of the studies that are part of the library, with one TOML file for each study."""


class Variant(Settings):
    """A variant of a study: a name for several settings that change together.

    Attributes:
        name: the name of the variant in tables.
        settings: nested settings of an experiment. They override the settings of the study.
    """

    name: str
    settings: dict[str, Any] = pydantic.Field(default_factory=dict)


class YesIf(Settings):
    """What a study must show so that the answer to its question is Yes.

    Attributes:
        curves_are: `better` if Yes means that trained curves are better, `worse` if it means that
            they are worse, for example that they overfit more.
        than: names of the activations that the question compares curves with. If the tuple is
            empty, this is the baseline.
    """

    curves_are: Literal["better", "worse"] = "better"
    than: tuple[str, ...] = ()


class Study(Settings):
    """A question and the experiments that answer it.

    Attributes:
        question: the question, in one sentence.
        unsure: a sentence about what the study cannot show, even with many seeds; may be empty.
        yes_if: when the answer to the question is Yes; None if the question cannot be answered with
            Yes or No.
        settings: nested settings of `hinged.lab.experiment.schema.Experiment` that differ from the
            defaults.
        grid: an axis is the name of a setting, for example `network.depth`, with a list of values.
            A value may also be a table of several settings. Each combination of values, one from
            each axis, is a point of the grid.
        variants: named settings. Each variant with each point of the grid is a cell of the study:
            one experiment.
        pretrain: nested settings of a training that runs before all cells. It produces the weights
            of networks with `pretrained = "study"`, once for each kind of network. These settings
            override the settings of the study.
        tune: the settings that are tried for each activation in each cell. The study is then run
            with the best of them. None if nothing is tried.
        measure: a name in `hinged.lab.study.outcome_measures.MEASURES`: the number to compare.
        against: `same` compares each activation with the baseline under the same settings. `first`
            compares it with the baseline in the first cell with the same data. `first variant`
            compares it with the baseline in the first variant, at the same point of the grid. The
            other variants then need not train the baseline.
        alone: whether only one training may run at a time, because the study measures times.
        smoke: the scale that only checks that the study runs, in seconds.
        small: the scale for a CPU, of minutes to hours.
        full: the scale for a GPU.
    """

    question: str
    unsure: str = ""
    yes_if: YesIf | None = None
    settings: dict[str, Any] = pydantic.Field(default_factory=dict)
    grid: dict[str, tuple[Any, ...]] = pydantic.Field(default_factory=dict)
    variants: tuple[Variant, ...] = (Variant(name=""),)
    pretrain: dict[str, Any] = pydantic.Field(default_factory=dict)
    tune: Tune | None = None
    measure: Literal[tuple(MEASURES)] = "score"  # type: ignore[valid-type]
    against: Literal["same", "first", "first variant"] = "same"
    alone: bool = False
    smoke: Scale
    small: Scale
    full: Scale

    def scale(self, name: str) -> Scale:
        """Return the scale with a name: `smoke`, `small` or `full`.

        Raises:
            UnknownNameError: if no scale has this name.
        """
        if name not in SCALES:
            raise errors.unknown_name("scale", name, SCALES)
        scales: dict[str, Scale] = {"smoke": self.smoke, "small": self.small, "full": self.full}
        return scales[name]

    def tune_of(self, scale: str) -> Tune | None:
        """Return the section `[tune]` that holds at a scale; None if nothing is tried."""
        own = self.scale(scale).tune
        return None if own == Tune() else self.tune if own is None else own

    def with_precision(self, precision: Precision) -> Study:
        """Return the study with a precision in place of every setting `precision = "auto"`."""
        return Study.model_validate(_replace_auto(self.model_dump(), precision))


def _replace_auto(value: Any, precision: Precision, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _replace_auto(each, precision, key) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_replace_auto(each, precision, name) for each in value)
    return precision if value == "auto" and name.endswith("precision") else value


def shipped_studies() -> list[str]:
    """Return the sorted names of the studies that are part of the library."""
    return sorted(path.stem for path in SHIPPED.glob("*.toml"))


def find_study(name: str) -> Path:
    """Return the path of a study's TOML file.

    Args:
        name: the name of a study of the library, or the path of another TOML file. A path must end
            with `.toml`.

    Raises:
        UnknownNameError: if no study of the library has this name.
        ArgumentError: if there is no file at the path.
    """
    if name.endswith(".toml"):
        if not os.path.isfile(name):
            got = f"{name}, but there is no file of this name"
            hint = (
                "give the path of an existing TOML file, or a name that `hinged study list` shows"
            )
            raise errors.ArgumentError(errors.message("hinged study", got, hint))
        return Path(name)
    if name not in shipped_studies():
        raise errors.unknown_name("hinged study", name, shipped_studies())
    return SHIPPED / f"{name}.toml"


def parse_study(path: Path) -> Study:
    """Return the study that a TOML file describes.

    This checks the fields of the study, but not the settings of its experiments.
    `hinged.lab.study.cells.read_study` checks both.

    Raises:
        ArgumentError: if the file is not valid TOML, or if fields are missing, unknown or wrong.
            The message lists all wrong fields.
    """
    text, fields = _read_toml(path)
    try:
        return Study.model_validate(fields)
    except pydantic.ValidationError as invalid:
        found = [
            faults.with_lines(fault, text, [fault.partition(".")[0]])
            for fault in faults.field_faults(invalid, Study)
        ]
        raise errors.ArgumentError(faults.list_faults(path.name, found)) from None


def _read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """Return the text and the fields of a TOML file.

    Raises:
        ArgumentError: if the file cannot be read or is not valid TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        got, hint = f"a file that is not UTF-8: {error}", f"save the file {path} as UTF-8"
    except (tomllib.TOMLDecodeError, ValueError, RecursionError) as error:
        got, hint = f"a file that is not valid TOML: {error}", f"correct the file {path}"
    except OSError as error:
        got, hint = (
            f"a file that cannot be read: {error.strerror}",
            f"give another path than {path}",
        )
    raise errors.ArgumentError(errors.message(f"hinged study {path.name}", got, hint))
