"""`explain_read_errors`: the boundary between damaged files and the code that reads them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hinged import errors


@contextmanager
def explain_read_errors(path: Path, what: str, advice: str) -> Iterator[None]:
    """Convert every error in the `with` block into a `RunFolderError` that names the file.

    A file may be damaged in any way, and the libraries that read it raise errors of many classes.

    Args:
        path: file that the block reads.
        what: what the file should be, for example `the result of a trial`.
        advice: a sentence that says what to do.

    Raises:
        RunFolderError: if the block raises an error. An error of hinged is not changed.
    """
    try:
        yield
    except errors.HingedError:
        raise
    except Exception as error:
        raise errors.RunFolderError(
            f"{path} is not {what}: reading it raises {type(error).__name__}. {advice}"
        ) from error
