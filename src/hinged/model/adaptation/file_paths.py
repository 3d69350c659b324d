"""Checks the paths of files that the user wants to write or read."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from hinged import errors

_HOME = "write Path(...).expanduser(), because the sign ~ is not replaced by your home folder"


def path_to_write(path: Any, call: str) -> Path:
    """Return the path of a file to write. Its folder exists.

    Args:
        path: the path that the user gave.
        call: the name of the public function and its argument, for error messages.

    Raises:
        ArgumentError: if `path` is not a path, is a folder, or lies in a folder that does not
            exist.

    >>> path_to_write("no_folder/curves.safetensors", "hinged.save_curves(path)")
    Traceback (most recent call last):
    hinged.errors.ArgumentError: `hinged.save_curves(path)`: got 'no_folder/curves.safetensors', \
but there is no folder 'no_folder'; create this folder first.
    """
    file = _file_path(path, call)
    if not file.parent.is_dir():
        got = f"{str(path)!r}, but there is no folder {str(file.parent)!r}"
        hint = _HOME if file.parts[0].startswith("~") else "create this folder first"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return file


def path_to_read(path: Any, call: str) -> Path:
    """Return the path of a file to read. The file exists.

    Args:
        path: the path that the user gave.
        call: the name of the public function and its argument, for error messages.

    Raises:
        ArgumentError: if `path` is not a path, or is a folder.
        FileNotFoundError: if the file does not exist.
    """
    file = _file_path(path, call)
    if not file.exists():
        hint = f"give the path of an existing file, seen from the folder {str(Path.cwd())!r}"
        hint = _HOME if file.parts[0].startswith("~") else hint
        raise FileNotFoundError(errors.message(call, f"{str(path)!r}, which does not exist", hint))
    return file


def _fault_of_name(path: Path) -> str | None:
    """Return why the file system refuses a path, or None if it does not."""
    try:
        os.stat(path)
    except ValueError:
        return "with a NUL character"
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
            return f"that cannot be opened ({error.strerror})"
    return None


def _file_path(path: Any, call: str) -> Path:
    if not isinstance(path, str | os.PathLike):
        hint = "expected the path of a file, for example 'curves.safetensors'"
        raise errors.ArgumentError(errors.message(call, errors.shown(path), hint))
    file = Path(os.fsdecode(path))
    if (fault := _fault_of_name(file)) is not None:
        hint = "give a path that the file system allows"
        raise errors.ArgumentError(errors.message(call, f"a path {fault}", hint))
    if file.is_dir():
        hint = f"give the path of a file in it, for example {str(file / 'curves.safetensors')!r}"
        got = f"{str(path)!r}, which is a folder"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return file
