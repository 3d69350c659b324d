"""Loading of user functions by `file.py:function` or `package.module:function`."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hinged import errors


def names_function(text: str) -> bool:
    """Return whether a text has the form `file.py:function` or `file.py`.

    >>> names_function("nets.py:make_net"), names_function("cnn")
    (True, False)
    """
    return text.rpartition(":")[0].endswith(".py") or text.endswith(".py")


def load_function(call: str, text: str) -> Callable[..., Any]:
    """Import a function from a Python file or a module, and return the function.

    Exceptions that the file raises when it runs are passed on unchanged.

    Args:
        call: name of the setting or command that contains `text`; error messages begin with the
            name.
        text: `file.py:function` or `package.module:function`. The file can import modules from
            its folder.

    Raises:
        ArgumentError: if `text` contains no function name, or if the file, the module or the
            function does not exist.
    """
    file, _, name = text.rpartition(":")
    if file and not file.endswith(".py"):
        return _import_function(call, file, name)
    if not file:
        hint = f"add the name of a function in this file, for example {text}:make"
        raise errors.ArgumentError(errors.message(call, text, hint))
    path = Path(file).resolve()
    if not path.is_file():
        hint = "give the path of an existing Python file, relative to the current folder"
        raise errors.ArgumentError(
            errors.message(call, f"{file}, which is not an existing file", hint)
        )
    functions = _callables(run_file(path))
    if name not in functions:
        defined = [
            key
            for key, each in functions.items()
            if getattr(each, "__module__", "") == _module_name(path)
        ]
        hint = f"this file defines {', '.join(defined) or 'no functions'}"
        raise errors.ArgumentError(
            errors.message(call, f"the function {name!r}, which {file} does not define", hint)
        )
    return functions[name]


def check_call(
    call: str, function: Callable[..., Any], hint: str, *args: Any, **kwargs: Any
) -> None:
    """Raise `ArgumentError` if a function of the user cannot be called with these arguments.

    Args:
        call: name of the setting or command, and of the function.
        function: the function or class.
        hint: with which arguments it is called, and what the user can do.
        args: the positional arguments.
        kwargs: the keyword arguments.

    >>> check_call("network.kind my.py:make", lambda a, b: a, "it gets one argument", 1)
    Traceback (most recent call last):
    hinged.errors.ArgumentError: `network.kind my.py:make`: got a function that needs the \
arguments a, b; it gets one argument.
    """
    signature = inspect.signature(function)
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        parameters = [each for each in signature.parameters.values() if each.kind not in variadic]
        needed = [each.name for each in parameters if each.default is each.empty]
        got = f"a function that needs the argument{'s' * (len(needed) > 1)} {', '.join(needed)}"
        raise errors.ArgumentError(errors.message(call, got, hint)) from None


def run_file(path: Path) -> dict[str, Any]:
    """Run a Python file and return its global variables by name.

    Every call runs the file again, because the user may have changed the file.
    """
    spec = importlib.util.spec_from_file_location(_module_name(path), path)
    assert spec is not None and spec.loader is not None  # Callers pass names that end in ".py".
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # Dataclasses and pickle look up the module.
    before = list(sys.path)
    sys.path.insert(0, str(path.parent))  # As Python does for a script.
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path[:] = before
    return vars(module)


def _import_function(call: str, module: str, name: str) -> Callable[..., Any]:
    """Return a function or class of a module that Python can import."""
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not f"{module}.".startswith(f"{error.name}."):
            raise  # The module exists, but it imports a module that does not exist.
        hint = "name a Python file (file.py:function) or an installed module (module:function)"
        raise errors.ArgumentError(
            errors.message(call, f"{module}, which is not an installed module", hint)
        ) from None
    functions = _callables(vars(imported))
    if name not in functions:
        raise errors.unknown_name(f"{call} {module}:...", name, functions)
    return functions[name]


def _callables(names: dict[str, Any]) -> dict[str, Callable[..., Any]]:
    return {name: each for name, each in names.items() if callable(each)}


def _module_name(path: Path) -> str:
    return f"{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
