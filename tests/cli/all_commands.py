"""All commands and subcommands of `hinged`."""

import typer

from hinged.cli.app import app


def all_commands():
    """Return all commands by name, for example `compare`, `study` and `study run`."""
    return dict(_commands_of(typer.main.get_command(app), ""))


def _commands_of(group, prefix):
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        yield f"{prefix}{name}", command
        if isinstance(command, typer.core.TyperGroup):
            yield from _commands_of(command, f"{prefix}{name} ")
