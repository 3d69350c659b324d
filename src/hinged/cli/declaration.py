"""Declarations of commands. The implementation of a command is imported when the command runs."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable
from typing import Any

import typer

RUNS, STUDIES, BENCHMARKS, SETTINGS = (
    f"hinged.lab.cli.{name}_commands" for name in ("run", "study", "bench", "settings")
)
"""Modules that implement the commands of the laboratory."""
CORE = "hinged.cli.core_commands"
"""The module that implements the commands that need no package of the laboratory."""


def new_app(**options: Any) -> typer.Typer:
    """Return an object that collects the declarations of one command or group of commands.

    Args:
        **options: further arguments of `typer.Typer`.
    """
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False, **options)


def implemented_in(module: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that gives a declared command its implementation.

    The decorated function has the options and the help text of the command, and no code.

    Args:
        module: name of the module with the implementation. It is the function with the name of the
            declaration, and it takes the same keyword arguments.
    """

    def decorate(declaration: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(declaration)
        def run(**arguments: Any) -> None:
            getattr(importlib.import_module(module), declaration.__name__)(**arguments)

        run.__doc__ = _unwrap(declaration.__doc__ or "")
        return run

    return decorate


def _unwrap(text: str) -> str:
    """Return a docstring with one line for each paragraph: typer keeps the line breaks."""
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))
