"""Runs commands of `hinged` inside the test process."""

import pytest
from typer.testing import CliRunner

from hinged.__main__ import main
from hinged.cli.app import app


def run(*arguments):
    """Run a command and return its result: exit code and output."""
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def error_of(capsys, *arguments):
    """Run a command that fails with exit code 2, and return what it prints to standard error."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["hinged", *arguments])
        patch.setattr("signal.signal", lambda *_: None)  # `main` ignores Ctrl+C at its end.
        with pytest.raises(SystemExit) as exit_:
            main()
    assert exit_.value.code == 2
    return capsys.readouterr().err
