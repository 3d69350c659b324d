"""The files that benchmarks write: results while they run, and the record at the end.

A file of results has one JSON object on each line, so it survives that a benchmark is stopped.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from hinged.installation import describe_installation


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the results in a file; none if there is no file.

    A last line that was cut off is left out.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def append_line(path: Path, found: dict[str, Any]) -> None:
    """Append a result to a file, after the last complete line."""
    with path.open("ab+") as file:
        file.seek(0)
        content = file.read()
        file.truncate(content.rfind(b"\n") + 1)
        file.write(f"{json.dumps(found)}\n".encode())


def record_heading(versions: dict[str, str] | None = None) -> dict[str, Any]:
    """Return what every record begins with: its format, the time, and the machine.

    Args:
        versions: versions of packages besides those that hinged needs, by name.
    """
    return {
        "format": 1,
        "made": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "environment": describe_installation() | (versions or {}),
    }


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a record as JSON. An existing file is replaced."""
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
