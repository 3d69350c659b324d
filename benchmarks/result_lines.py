"""Files of results with one JSON object on each line, which survive that a benchmark is stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


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
