"""The options that `hinged compare` and `hinged train` share.

The options of settings are generated. Their types, defaults and help texts are read from the fields
of `Experiment`.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, get_origin

import typer
from pydantic.fields import FieldInfo

from hinged.lab.cli.option_names import SETTING_OPTIONS
from hinged.lab.data import AUGMENTATIONS, DATA_SETS
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import merge_settings, nest_setting
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.networks.catalogue import NETWORK_KINDS

ACTIVATION_NAMES = (
    f"{', '.join(ACTIVATIONS)}; frozen:NAME for curves that start as NAME and are not trained; "
    "my.py:make or package.module:Class"
)

_HELP = {
    "data": "Data set: a folder of images (folder:64 resizes them to 64 x 64), a table.csv or "
    ".parquet (table.csv:column names the column to predict), my.py:make_loaders, or one of: "
    + ", ".join(DATA_SETS),
    "network.kind": "Network: my.py:make_net, timm:NAME, or one of: " + ", ".join(NETWORK_KINDS),
    "training.augment": "Random changes of the training images, in this order; comma-separated "
    "list of: " + ", ".join(AUGMENTATIONS),
    "curves.low": "Positions of the first and last hinge, in units of the activation's input.",
}
"""Help texts of options that replace the description of the setting."""

_PANELS = {"": "Data", "network": "Network", "curves": "Curves", "training": "Training"}

Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Value of any setting, for example training.calibrate_after=0.1; may be repeated.",
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder with data sets. Default: the environment variable HINGED_DATA. Without it, "
        "data sets are downloaded."
    ),
]
Threads = Annotated[int, typer.Option(min=1, help="Number of torch threads of each training.")]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, help="Number of trainings at the same time; default: one per core."),
]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address of the Ray cluster that trains; local starts a cluster on this machine.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="Folder of the run. The same command continues an unfinished run."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON and nothing else.")]


def with_setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each entry of `SETTING_OPTIONS` to a command.

    Args:
        command: a function of the command line with an argument `settings`. It receives the values
            of the options in this argument, as a nested dictionary like an `Experiment`.

    Returns:
        A function with the generated options and the other arguments of the command.
    """
    options: dict[str, list[str]] = {}
    for setting, option in SETTING_OPTIONS.items():
        options.setdefault(option, []).append(setting)
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [parameter for parameter in own if parameter.name != "settings"]
    parameters += [_setting_parameter(option, settings) for option, settings in options.items()]

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        given: dict[str, Any] = {}
        for option, settings in options.items():
            value = arguments.pop(_identifier(option))
            given |= zip(settings, value if len(settings) > 1 else [value], strict=True)
        nested = [nest_setting(name, _setting_value(name, value)) for name, value in given.items()]
        command(settings=merge_settings(*nested), **arguments)

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    run.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list.

    >>> split_names("relu, hinged"), split_names("")
    (('relu', 'hinged'), ())
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _setting_parameter(option: str, settings: list[str]) -> inspect.Parameter:
    """Return the function parameter from which typer makes an option.

    Args:
        option: the name of the option, for example `--range`.
        settings: the names of the settings that the option sets. The option takes one value for
            each setting.
    """
    kinds = [_option_type(_field(setting)) for setting in settings]
    defaults = [_option_default(_field(setting)) for setting in settings]
    first = settings[0]
    text = _HELP.get(first) or (_field(first).description or "").replace("`", "'")
    information = typer.Option(
        f"{option}/--no-{option[2:]}" if kinds == [bool] else option,
        help=" ".join(text.split()),
        rich_help_panel=_PANELS[first.rpartition(".")[0]],
    )
    kind = kinds[0] if len(kinds) == 1 else types.GenericAlias(tuple, tuple(kinds))
    return inspect.Parameter(
        _identifier(option),
        inspect.Parameter.KEYWORD_ONLY,
        default=defaults[0] if len(defaults) == 1 else tuple(defaults),
        annotation=Annotated[kind, information],
    )


def _field(setting: str) -> FieldInfo:
    section, _, name = setting.rpartition(".")
    settings: Any = Experiment.model_fields[section].annotation if section else Experiment
    return settings.model_fields[name]  # type: ignore[no-any-return]


def _option_type(field: FieldInfo) -> Any:
    """Return the type of the option for a setting.

    It is `str` if the setting is a list or has fixed choices. `Experiment` checks the text later.
    """
    return str if get_origin(field.annotation) in (Literal, tuple) else field.annotation


def _option_default(field: FieldInfo) -> Any:
    return ",".join(field.default) if isinstance(field.default, tuple) else field.default


def _setting_value(setting: str, value: Any) -> Any:
    return split_names(value) if get_origin(_field(setting).annotation) is tuple else value


def _identifier(option: str) -> str:
    return option[2:].replace("-", "_")
