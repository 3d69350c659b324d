"""Declarations of commands and their implementations have the same parameters."""

import importlib
import inspect
import typing

import pytest

from hinged.cli import declaration
from tests.cli.all_commands import all_commands

MODULES = (
    declaration.CORE,
    declaration.RUNS,
    declaration.STUDIES,
    declaration.BENCHMARKS,
    declaration.SETTINGS,
)


def implementations():
    """Return the functions of the modules that implement commands, by name."""
    modules = [importlib.import_module(name) for name in MODULES]
    return {
        name: function
        for module in modules
        for name, function in vars(module).items()
        if inspect.isfunction(function) and function.__module__ == module.__name__
    }


def declarations():
    """Return the declared functions by name, with the decorators removed."""
    found = {}
    for name in all_commands():
        module = importlib.import_module(f"hinged.cli.commands.{name.split()[0].replace('-', '_')}")
        for value in vars(module).values():
            if inspect.isfunction(value) and hasattr(value, "__wrapped__"):
                plain = inspect.unwrap(value)
                found[plain.__name__] = plain
    return found


@pytest.mark.parametrize("name", declarations())
def test_an_implementation_takes_what_its_declaration_declares(name):
    declared, implemented = declarations()[name], implementations()[name]
    assert typing.get_type_hints(declared) == typing.get_type_hints(implemented)


def test_every_command_is_declared():
    names = {name.split()[-1].replace("-", "_") for name in all_commands()}
    assert names - {"study", "bench", "list"} <= set(declarations())


def test_a_declaration_calls_its_implementation(monkeypatch):
    called = []
    monkeypatch.setattr("hinged.cli.core_commands.info", lambda **given: called.append(given))

    @declaration.implemented_in(declaration.CORE)
    def info(as_json):
        """One line
        and its rest.

        A paragraph.
        """

    info(as_json=True)
    assert called == [{"as_json": True}]
    assert info.__doc__ == "One line and its rest.\n\nA paragraph."
