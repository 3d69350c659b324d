"""The user's own code: functions named `file.py:function` or `package.module:function`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hinged import errors


def names_function(text: str) -> bool:
    """Return whether the text names a function in a file.

    >>> names_function("nets.py:make_net"), names_function("cnn")
    (True, False)
    """
    return text.rpartition(":")[0].endswith(".py") or text.endswith(".py")


def load_function(call: str, text: str) -> Callable[..., Any]:
    """Return the function that the text names.

    An exception that the user's file raises while it runs is passed on unchanged.

    Args:
        call: the setting or command that an error message names.
        text: `file.py:function`, where the file may import its neighbours, or
            `package.module:function`.

    Raises:
        ArgumentError: the text names no function, or the file, the module or the function in it
            does not exist.
    """
    file, _, name = text.rpartition(":")
    if file and not file.endswith(".py"):
        return _import_function(call, file, name)
    if not file:
        hint = f"name a function of it, as in {text}:make"
        raise errors.ArgumentError(errors.message(call, text, hint))
    path = Path(file).resolve()
    if not path.is_file():
        hint = "give the path of an existing file, from the current folder"
        raise errors.ArgumentError(errors.message(call, f"{file}, which is no file", hint))
    functions = _callables(run_file(path))
    if name not in functions:
        defined = [
            key
            for key, each in functions.items()
            if getattr(each, "__module__", "") == _module_name(path)
        ]
        hint = f"it has {', '.join(defined) or 'no function at all'}"
        raise errors.ArgumentError(errors.message(call, f"{file} without {name!r}", hint))
    return functions[name]


def run_file(path: Path) -> dict[str, Any]:
    """Run a Python file and return its global names. It runs again at each call, because it may
    have changed."""
    spec = importlib.util.spec_from_file_location(_module_name(path), path)
    assert spec is not None and spec.loader is not None  # Callers pass names that end in ".py".
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # Dataclasses and pickles look their module up.
    before = list(sys.path)
    sys.path.insert(0, str(path.parent))  # As Python does for a script.
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return vars(module)


def _import_function(call: str, module: str, name: str) -> Callable[..., Any]:
    """Return a function or class of an installed module."""
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # The module exists, but something that it imports does not.
        hint = "give a file.py, or a module that this Python can import"
        raise errors.ArgumentError(
            errors.message(call, f"{module}, which is no module", hint)
        ) from None
    functions = _callables(vars(imported))
    if name not in functions:
        raise errors.unknown_name(f"{call} {module}:...", name, functions)
    return functions[name]


def _callables(names: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    return {name: each for name, each in names.items() if callable(each)}


def _module_name(path: Path) -> str:
    return f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
