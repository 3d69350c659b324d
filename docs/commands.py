"""Runs the commands of docs/commands.md, and writes their outputs into the page.

A block of the page whose language is `console` begins with a command after `$ `. The rest of the
block is its output. A block with a title is a file that the commands can read.
Run it with: python docs/commands.py
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).parent / "commands.md"
BLOCK = re.compile(r"```console\n\$ (.*?[^\\])\n(.*?)```", flags=re.S)
FILE = re.compile(r'```\w+ title="(.*?)"\n(.*?)```', flags=re.S)


def run(command: str, folder: Path) -> str:
    """Return the output of a command `hinged ...`, in a terminal of 80 columns.

    Args:
        command: the command. It may continue on the next line after a backslash.
        folder: the folder in which the command runs.

    Raises:
        CalledProcessError: if the command fails.
    """
    program, *arguments = shlex.split(command.replace("\\\n", " "))
    assert program == "hinged", command
    without = ("HINGED_DATA", "HINGED_KERNEL", "FORCE_COLOR")
    environment = {name: value for name, value in os.environ.items() if name not in without}
    environment |= {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "OMP_NUM_THREADS": "1"}
    screen, terminal = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "hinged", *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = b"".join(iter(lambda: _read(screen), b""))
    os.close(screen)
    lines = [_as_output(line) for line in shown.decode().replace("\r\n", "\n").splitlines()]
    output = "\n".join(lines).strip("\n")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, output)
    return output


def _as_output(line: str) -> str:
    """Return a line of an output so that the page does not show it as a command.

    A line that begins with a prompt (`%`, `#` or `$`) gets an invisible character before it.
    """
    return re.sub(r"^(?=\s*[%#$])", "\u200b", line.rstrip())


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65536)
    except OSError:  # The program has ended.
        return b""


def with_outputs(page: str) -> str:
    """Return the page with the present outputs of its commands, which run one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        for name, content in FILE.findall(page):
            (Path(folder) / name).write_text(content)

        def block(found: re.Match[str]) -> str:
            return f"```console\n$ {found[1]}\n{run(found[1], Path(folder))}\n```"

        return BLOCK.sub(block, page)


if __name__ == "__main__":
    PAGE.write_text(with_outputs(PAGE.read_text()))
