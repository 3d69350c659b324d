"""The program `hinged` with all commands, if the packages of the extra `lab` are installed."""

from __future__ import annotations

import importlib
import re
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from hinged import errors
from hinged.cli.command_list import SUMMARIES, module_of

_UsageError: Any = typer.BadParameter.__bases__[0]  # typer has no public name for this class.


class CommandGroup(TyperGroup):
    """A group of commands that imports the module of a command when the command is used."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  (given by typer)
        """Return the names of all commands."""
        return list(SUMMARIES)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Return the command of this name, or None if there is none."""
        if cmd_name not in SUMMARIES:
            return None
        if cmd_name not in self.commands:
            command = typer.main.get_command(importlib.import_module(module_of(cmd_name)).app)
            command.name, command.short_help = cmd_name, SUMMARIES[cmd_name]
            self.commands[cmd_name] = command
        return self.commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the first argument names.

        Raises:
            UnknownNameError: if there is no such command. The message names the nearest one.
        """
        if args[0] not in SUMMARIES and not args[0].startswith("-") and not ctx.resilient_parsing:
            raise errors.unknown_name("hinged", args[0], SUMMARIES)
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=CommandGroup, pretty_exceptions_enable=False)


def run_program() -> int:
    """Run the command of `sys.argv`, and return the exit code.

    Raises:
        ArgumentError: if a command or option does not exist, or if a value has the wrong type.
    """
    try:
        return app(prog_name="hinged", standalone_mode=False) or 0
    except typer.Abort:
        return 130
    except _UsageError as error:
        raise errors.ArgumentError(_sentence(error)) from None


def _sentence(error: Any) -> str:
    """Return the message of an error in the arguments, and what to do."""
    message = error.format_message().rstrip(".")
    message = re.sub(r"'(--\w+)' requires 2 arg.*", r"'\1' takes two numbers: \1 -3 3", message)
    command = error.ctx.command_path if error.ctx else "hinged"
    unknown = re.match(r"No such option: --([\w-]+)", message)
    if unknown and _sets_settings(error) and (setting := _setting_of(unknown[1])):
        hint = f"give --set {setting}=VALUE; `hinged settings {setting}` says what it means"
        return errors.message(f"{command} --{unknown[1]}", "a setting that has no option", hint)
    end = "" if message.endswith("?") else "."
    return f"{message}{end} `{command} --help` lists what is valid."


def _sets_settings(error: Any) -> bool:
    """Whether the command of an error has the option `--set`."""
    parameters = error.ctx.command.params if error.ctx else []
    return any("--set" in parameter.opts for parameter in parameters)


def _setting_of(option: str) -> str | None:
    """Return the setting whose name ends with the name of an option."""
    # Here, because only this message needs the settings, and their import takes time.
    from hinged.lab.experiment.setting_list import list_settings

    ends = {name.rpartition(".")[2]: name for name in list_settings()}
    return ends.get(option.replace("-", "_"))


def _show_version(wanted: bool) -> None:
    if wanted:
        import hinged

        print(f"hinged {hinged.__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  (its callback prints the version)
        bool,
        typer.Option(
            "--version", metavar="", help="Show the version.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Trainable piecewise-linear activations: are they worth it for your task?"""
    if context.invoked_subcommand is None:
        print(context.get_help())
