"""Paths that no file system allows: each command says so in one line."""

import pytest

from tests.cli.run_command import error_of

LONG, NUL = "a" * 300, "a\0b"
SMALL = ["--epochs", "1", "--jobs", "1"]
COMMANDS = {
    "compare --out": ["compare", *SMALL, "--out"],
    "compare --data-dir": ["compare", *SMALL, "--data", "mnist", "--data-dir"],
    "compare --data": ["compare", *SMALL, "--data"],
    "compare --set": ["compare", *SMALL, "--set"],
    "train --out": ["train", "--epochs", "1", "--out"],
    "report": ["report"],
    "report --to": ["report", ".", "--csv", "--to"],
    "bench --out": ["bench", "kernels", "--quick", "--out"],
    "study run": ["study", "run"],
    "study run --out": ["study", "run", "capacity", "--scale", "smoke", "--out"],
    "study show": ["study", "show"],
    "study record": ["study", "record"],
    "study copy": ["study", "copy", "capacity"],
}
ENDINGS = {"compare --data": "/images", "study run": ".toml", "study show": ".toml"}
STARTS = {"compare --set": "network.pretrained="}


@pytest.mark.parametrize("kind", ["long", "NUL", "loop"])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_impossible_path_is_named_in_one_line(tmp_path, monkeypatch, capsys, command, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "loop").symlink_to("loop")
    path = {"long": LONG, "NUL": NUL, "loop": "loop"}[kind] + ENDINGS.get(command, "")
    error = error_of(capsys, *COMMANDS[command], STARTS.get(command, "") + path)
    assert error.startswith("hinged: ") and error.count("\n") == 1
    assert error.endswith(".\n") and "Traceback" not in error
