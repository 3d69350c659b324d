"""Writes files so that an interrupted program leaves no incomplete file."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

PARTIAL = re.compile(r"\.hinged-(\d+)-\w+\.partial")
"""Regular expression for the temporary names of files that are being written.

Group 1 is the id of the process that writes the file.
"""


def atomic_write(path: Path, contents: bytes) -> None:
    """Write a file completely, or leave the old file unchanged, even if the power fails.

    The contents are written to a temporary file in the same folder, which is then renamed.

    Args:
        path: the file; an existing file is replaced.
        contents: the new contents.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> atomic_write(path, b"complete")
    >>> path.read_text(), [each.name for each in path.parent.iterdir()]
    ('complete', ['note.txt'])
    """
    partial = path.with_name(f".hinged-{os.getpid()}-{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def remove_partials(folder: Path) -> None:
    """Remove temporary files that were left in a folder or its subfolders by stopped processes."""
    for path in folder.rglob(".hinged-*"):
        match = PARTIAL.fullmatch(path.name)
        if match and not _is_running(int(match[1])):
            path.unlink(missing_ok=True)


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
