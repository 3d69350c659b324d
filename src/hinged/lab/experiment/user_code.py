"""Functions of the user's own, named as `file.py:function` or `package.module:function`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hinged import errors


def is_function(text: str) -> bool:
    """Whether the text names a function of a file.

    >>> is_function("nets.py:make_net"), is_function("cnn")
    (True, False)
    """
    return text.rpartition(":")[0].endswith(".py") or text.endswith(".py")


def load(option: str, text: str) -> Callable[..., Any]:
    """Return the function that the text names.

    What the file raises while it is run is raised as it is: it is the user's own.

    Args:
        option: the option it was given with, which an error names.
        text: `file.py:function`, where the file may import what lies beside it, or
            `package.module:function`.

    Raises:
        ArgumentError: no function is named, the file or module is missing, or has no such function.
    """
    file, _, name = text.rpartition(":")
    if file and not file.endswith(".py"):
        return _imported(option, file, name)
    if not file:
        hint = f"name a function of it, as in {text}:make"
        raise errors.ArgumentError(errors.message(option, text, hint))
    path = Path(file).resolve()
    if not path.is_file():
        hint = "give a file that exists, from the folder you are in"
        raise errors.ArgumentError(errors.message(option, f"{file}, which is no file", hint))
    functions: dict[str, Callable[..., Any]] = {
        key: each for key, each in _run(path).items() if callable(each)
    }
    if name not in functions:
        own = [
            key for key, each in functions.items() if getattr(each, "__module__", "") == _name(path)
        ]
        hint = f"it has {', '.join(own) or 'no function at all'}"
        raise errors.ArgumentError(errors.message(option, f"{file} without {name!r}", hint))
    return functions[name]


def _imported(option: str, module: str, name: str) -> Callable[..., Any]:
    """Return a function or class of a module that is installed."""
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # The module is there, and misses another.
        hint = "give a file.py, or a module that this Python can import"
        raise errors.ArgumentError(
            errors.message(option, f"{module}, which is no module", hint)
        ) from None
    functions: dict[str, Callable[..., Any]] = {
        key: each for key, each in vars(found).items() if callable(each)
    }
    if name not in functions:
        raise errors.unknown_name(f"{option} {module}:...", name, functions)
    return functions[name]


def _run(path: Path) -> dict[str, Any]:
    """Return the names that a file defines; it is run anew each time, as it may have changed."""
    spec = importlib.util.spec_from_file_location(_name(path), path)
    assert spec is not None and spec.loader is not None  # It ends in ".py".
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # Dataclasses and pickles look their module up.
    before = list(sys.path)
    sys.path.insert(0, str(path.parent))  # As Python does for the file it runs.
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return vars(module)


def _name(path: Path) -> str:
    return f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
