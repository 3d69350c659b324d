"""The options of `hinged compare` and `hinged train` that set a setting of the experiment.

Their types and defaults are those of the settings. A help text is the first sentence of the meaning
of a setting, unless `_HELP` replaces it.
"""

from __future__ import annotations

import copy
import functools
import inspect
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.models import OptionInfo

from hinged.cli.option_names import SETTING_OPTIONS
from hinged.cli.options import complete
from hinged.lab.experiment.setting_list import Setting, list_settings
from hinged.lab.experiment.settings import merge_settings, nest_setting, split_names

_HELP = {
    "data": "Data set: a name in 'hinged settings data', a folder of images (photos/:64 resizes "
    "them), table.csv:column or my.py:make_loaders.",
    "table.task": "Task of a table: classification or regression; default: found in the target.",
    "table.split": "Division of a table: group:COLUMN keeps equal values on one side, time:COLUMN "
    "tests on later rows.",
    "table.leave_out": "Columns of a table that are no inputs.",
    "network.kind": "A name in 'hinged settings model', timm:NAME or my.py:make_net; default: mlp "
    "for a table, otherwise cnn.",
    "network.width": "Filters in the first block, or units in each hidden layer.",
    "network.depth": "VGG blocks, or hidden layers.",
    "network.pretrained": "Initial weights: imagenet, a file, or the folder of a run of 'train'.",
    "network.image_size": "Height and width of the images in pixels, after resizing.",
    "training.trains": "Parts to train: everything, head, or head with norm, biases, lora or "
    "curves, as in head+curves+norm.",
    "training.augment": "Changes of the training images: crop, flip, cutout.",
    "curves.low": "Inputs of the first and last hinge.",
    "curves.init": "Function with which the curves start; same: the replaced activation.",
}
"""Help texts that replace the description of the setting."""

_PANELS = {
    "": "Data",
    "table": "Data",
    "network": "Network",
    "curves": "Activations",
    "training": "Training",
    "running": "Running",
}
"""The panels of the help, in their order: one for each section of the settings, and one for the
options that change no setting."""
_PANEL_OF_OPTION = {
    "activation": "Activations",
    "activations": "Activations",
    "baseline": "Activations",
    "data_dir": "Data",
}
"""The panels of options that change no setting, except those in the last panel."""
_METAVARS = {bool: "", int: "INT", float: "FLOAT", str: "NAME"}
_METAVAR_OF = {
    "table.leave_out": "LIST",
    "training.augment": "LIST",
    "network.pretrained": "WEIGHTS",
}
_CHOSEN_LATER = ("network.kind",)
"""Settings whose default depends on other settings."""
_SETTINGS = list_settings()


def with_setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each entry of `SETTING_OPTIONS` to a command.

    Args:
        command: a function of the command line with an argument `settings`. It receives the values
            of the options in this argument, as a nested dictionary like an `Experiment`.

    Returns:
        A function with the generated options and the other arguments of the command, in the order
        of their panels.
    """
    options: dict[str, list[str]] = {}
    for setting, option in SETTING_OPTIONS.items():
        options.setdefault(option, []).append(setting)
    own = inspect.signature(command, eval_str=True).parameters.values()
    parameters = [_in_panel(parameter) for parameter in own if parameter.name != "settings"]
    parameters += [_setting_parameter(option, settings) for option, settings in options.items()]
    parameters.sort(key=_place_in_help)

    @functools.wraps(command)
    def run(**arguments: Any) -> None:
        given: dict[str, Any] = {}
        for option, settings in options.items():
            value = arguments.pop(_identifier(option))
            given |= zip(settings, value if len(settings) > 1 else [value], strict=True)
        nested = [
            nest_setting(name, _setting_value(name, value))
            for name, value in given.items()
            if value is not None
        ]
        command(settings=merge_settings(*nested), **arguments)

    keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    run.__signature__ = inspect.Signature(keyword_only)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _setting_parameter(option: str, names: list[str]) -> inspect.Parameter:
    """Return the function parameter from which typer makes an option.

    Args:
        option: the name of the option, for example `--range`.
        names: the names of the settings that the option sets. The option takes one value for each
            setting.
    """
    settings = [_SETTINGS[name] for name in names]
    kinds, defaults = [_option_type(s) for s in settings], [_option_default(s) for s in settings]
    first = settings[0]
    information = typer.Option(
        option,
        help=_HELP.get(first.name) or first.summary.replace("`", "'"),
        metavar=_metavar(settings),
        autocompletion=complete(first.choices) if first.choices else None,
        rich_help_panel=_PANELS[first.name.rpartition(".")[0]],
    )
    kind = kinds[0] if len(kinds) == 1 else types.GenericAlias(tuple, tuple(kinds))
    return inspect.Parameter(
        _identifier(option),
        inspect.Parameter.KEYWORD_ONLY,
        default=defaults[0] if len(defaults) == 1 else tuple(defaults),
        annotation=Annotated[kind, information],
    )


def _in_panel(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a copy of a parameter of a command, with its option in a panel of the help."""
    option = copy.copy(_option(parameter))
    option.rich_help_panel = _PANEL_OF_OPTION.get(parameter.name, _PANELS["running"])
    kind = get_args(parameter.annotation)[0]
    return parameter.replace(annotation=Annotated[kind, option])


def _place_in_help(parameter: inspect.Parameter) -> tuple[int, bool]:
    """Return the place of an option: its panel, and in a panel `--data-dir` after `--data`."""
    panel = _option(parameter).rich_help_panel or ""
    return list(_PANELS.values()).index(panel), parameter.name == "data_dir"


def _option(parameter: inspect.Parameter) -> OptionInfo:
    """Return the description of the option that typer makes from a parameter."""
    return parameter.annotation.__metadata__[0]  # type: ignore[no-any-return]


def _metavar(settings: list[Setting]) -> str:
    """Return the placeholder of an option's value. It is empty for an option without a value."""
    if len(settings) > 1:
        return " ".join(setting.name.rpartition(".")[2].upper() for setting in settings)
    kind = _option_type(settings[0])
    kinds = (kind, *get_args(kind))  # `int | None` has the arguments int and None.
    plain = next(metavar for each, metavar in _METAVARS.items() if each in kinds)
    return _METAVAR_OF.get(settings[0].name, plain)


def _option_type(setting: Setting) -> Any:
    """Return the type of the option for a setting.

    It is `str` if the setting is a list or has fixed choices. `Experiment` checks the text later.
    """
    kinds = (setting.annotation, *get_args(setting.annotation))
    if not any(get_origin(kind) in (Literal, tuple) for kind in kinds):
        return setting.annotation
    return str | None if setting.default is None else str


def _option_default(setting: Setting) -> Any:
    default = None if setting.name in _CHOSEN_LATER else setting.default
    return ",".join(default) if isinstance(default, tuple) else default


def _setting_value(name: str, value: Any) -> Any:
    return split_names(value) if get_origin(_SETTINGS[name].annotation) is tuple else value


def _identifier(option: str) -> str:
    return option[2:].replace("-", "_")
