import sys

import pytest

from hinged import errors
from hinged.lab.training import loggers


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(
        errors.MissingExtraError, match="run `pip install wandb`, or use the logger csv"
    ):
        loggers.make_logger("wandb", tmp_path)


@pytest.mark.parametrize(("name", "error"), [("csv", "training by lm logs"), ("cvs", "csv")])
def test_trainings_that_cannot_be_logged(name, error):
    with pytest.raises(errors.HingedError, match=error):
        loggers.check_logger(name, "lm")
