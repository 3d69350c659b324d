"""The boundary between damaged files and the code that reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from hinged import errors


@contextmanager
def errors_converted(
    convert: Callable[[Exception], errors.HingedError],
    kept: type[errors.HingedError] | tuple[type[errors.HingedError], ...] = errors.HingedError,
) -> Iterator[None]:
    """Convert every error in the `with` block into an error of hinged.

    A file may be damaged in any way, and the libraries that read it raise errors of many classes.

    Args:
        convert: returns the new error.
        kept: the class of errors, or the classes, that are not converted.
    """
    try:
        yield
    except kept:
        raise
    except Exception as error:
        raise convert(error) from error


def explain_read_errors(path: Path, what: str, advice: str) -> AbstractContextManager[None]:
    """Convert every error in a `with` block into a `RunFolderError` that names the file.

    Args:
        path: file that the block reads.
        what: what the file should be, for example `the result of a trial`.
        advice: a sentence that says what to do.

    Raises:
        RunFolderError: if the block raises an error. A `RunFolderError` or a
            `MissingExtraError` is not changed.
    """
    return errors_converted(
        lambda error: errors.RunFolderError(
            f"{path} is not {what}: reading it raises {type(error).__name__}. {advice}"
        ),
        kept=(errors.RunFolderError, errors.MissingExtraError),
    )
