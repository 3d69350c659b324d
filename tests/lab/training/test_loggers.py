import sys

import pytest

from hinged import errors
from hinged.lab.training import loggers


@pytest.mark.parametrize("packages", [["wandb"], ["tensorboard", "tensorboardX"]])
def test_a_missing_package_is_named(monkeypatch, packages):
    for package in packages:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(errors.MissingExtraError, match=r"run `pip install 'hinged\[loggers\]'`"):
        loggers.check_logger(packages[0], "adam")


@pytest.mark.parametrize(("name", "error"), [("csv", "training by lm logs"), ("cvs", "csv")])
def test_trainings_that_cannot_be_logged(name, error):
    with pytest.raises(errors.HingedError, match=error):
        loggers.check_logger(name, "lm")
