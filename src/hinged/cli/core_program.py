"""The program `hinged` if packages of the extra `lab` are missing.

It uses `argparse`, because the packages `typer` and `rich` may be missing.
"""

from __future__ import annotations

import argparse

import hinged
from hinged import errors
from hinged._torch_import import import_torch
from hinged.cli.command_list import CORE_COMMANDS, SUMMARIES


def run_core_program(missing: errors.MissingExtraError) -> int:
    """Run the command of `sys.argv`, and return the exit code.

    Args:
        missing: the error that says what to install for the commands of the laboratory.

    Raises:
        MissingExtraError: if the command belongs to the laboratory.
    """
    parser = _parser()
    given, rest = parser.parse_known_args()
    if given.command in SUMMARIES and given.command not in CORE_COMMANDS:
        reason = str(missing).removeprefix("`hinged.lab`")
        raise errors.MissingExtraError(f"`hinged {given.command}`{reason}")
    if rest:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if given.command is None:
        parser.print_help()
    else:
        _run_core_command(given)
    return 0


def _run_core_command(given: argparse.Namespace) -> None:
    import_torch()
    # Imported here because it imports torch, which the help does not need.
    from hinged.cli import core_commands

    if given.command == "info":
        core_commands.info(given.json)
    else:
        core_commands.convert_check(given.network, given.input_shape, given.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hinged",
        description="Trainable piecewise-linear activations: are they worth it for your task?",
        epilog="Commands other than convert-check and info need: pip install 'hinged[lab]'",
    )
    version = f"hinged {hinged.__version__}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, summary in SUMMARIES.items():
        command = commands.add_parser(
            name, help=summary, description=summary, add_help=name in CORE_COMMANDS
        )
        if name == "convert-check":
            command.add_argument("network", metavar="FILE.py:FUNCTION")
            command.add_argument("--input-shape", help="shape of one sample, such as 3,32,32")
        if name in CORE_COMMANDS:
            command.add_argument("--json", action="store_true", help="print JSON")
    return parser
