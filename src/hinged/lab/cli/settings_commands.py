"""Implements the command `hinged settings`."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hinged import errors
from hinged.lab.experiment.setting_list import Setting, list_settings

_DEFAULT_WIDTH = 10
"""Number of characters of the column of defaults. Longer defaults are folded."""


def settings(name: str | None, options: dict[str, str], as_json: bool) -> None:
    """Print all settings, the settings of a section, or one setting and the names it accepts.

    Args:
        name: a setting, the last part of its name, its option without dashes, or a section. None
            means all settings.
        options: the command-line option of each setting that has one.
        as_json: whether to print JSON instead of a table.

    Raises:
        UnknownNameError: if there is no setting and no section of this name.
    """
    found = _find(name, options)
    if as_json:
        print(json.dumps([_plain(setting, options) for setting in found], indent=2))
    elif len(found) == 1:
        _print_one(found[0], options)
    else:
        _print_table(found)


def _find(name: str | None, options: dict[str, str]) -> list[Setting]:
    known = list_settings()
    if name is None:
        return list(known.values())
    if name in known:
        return [known[name]]
    section = [setting for setting in known.values() if setting.name.startswith(f"{name}.")]
    if section:
        return section
    short = {each.rpartition(".")[2]: each for each in known}
    short |= {_plain_name(option): setting for setting, option in options.items()}
    if _plain_name(name) not in short:
        sections = {each.partition(".")[0] for each in known}
        raise errors.unknown_name("hinged settings", name, {*known, *sections, *short})
    return [known[short[_plain_name(name)]]]


def _plain_name(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def _plain(setting: Setting, options: dict[str, str]) -> dict[str, Any]:
    """Return a setting as a dictionary that can be written as JSON."""
    return {
        "name": setting.name,
        "default": setting.default,
        "meaning": setting.meaning,
        "option": options.get(setting.name),
        "choices": setting.choices,
    }


def _print_one(setting: Setting, options: dict[str, str]) -> None:
    console = Console(highlight=False)
    option = f" (option {options[setting.name]})" if setting.name in options else ""
    console.print(f"[bold]{setting.name}[/]{option}, default: {escape(setting.default_text)}")
    console.print(escape(setting.meaning))
    if setting.choices:
        console.print(_table(setting.choices.items()))


def _print_table(settings: list[Setting]) -> None:
    console = Console(highlight=False)
    rows = [(each.name, each.default_text, each.summary) for each in settings]
    console.print(_table(rows, ("setting", "default", "meaning")))
    console.print(
        "To change a setting: --set NAME=VALUE. For the whole meaning and the names that a setting "
        "accepts: hinged settings NAME."
    )


def _table(rows: Iterable[tuple[str, ...]], headings: tuple[str, ...] = ()) -> Table:
    """Return a table. Long texts are folded, so that no text is cut off."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=bool(headings))
    for heading in headings:
        width = _DEFAULT_WIDTH if heading == "default" else None
        table.add_column(heading, overflow="fold", max_width=width)
    for row in rows:
        table.add_row(*map(escape, row))
    return table
