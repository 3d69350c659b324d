"""The loggers of Lightning that a training can use, by name."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lightning.pytorch import loggers
from lightning.pytorch.loggers import Logger

from hinged import errors
from hinged.optim import METHODS


class LoggerKind(NamedTuple):
    """A logger of Lightning.

    Attributes:
        make: a function that returns a logger for a folder. The name of the folder is the name of
            the training.
        packages: the packages of which the logger needs one. Empty if it needs none.
    """

    make: Callable[[Path], Logger]
    packages: tuple[str, ...] = ()


LOGGERS = {
    "csv": LoggerKind(lambda folder: loggers.CSVLogger(folder, name="")),
    "tensorboard": LoggerKind(
        lambda folder: loggers.TensorBoardLogger(folder, name=""), ("tensorboard", "tensorboardX")
    ),
    "wandb": LoggerKind(
        lambda folder: loggers.WandbLogger(
            save_dir=folder, project="hinged", name=folder.name, group=folder.parent.parent.name
        ),
        ("wandb",),
    ),
}
"""The loggers, by name."""


def check_logger(name: str, optimizer: str) -> None:
    """Raise an error if a training cannot be logged.

    Args:
        name: the name of the logger.
        optimizer: the optimizer of the training (`TrainingSettings.optimizer`).

    Raises:
        UnknownNameError: if `LOGGERS` has no logger of this name.
        MissingExtraError: if the package of the logger is not installed.
        ArgumentError: if the optimizer is a method of `hinged.optim`. These methods log nothing.
    """
    if name not in LOGGERS:
        raise errors.unknown_name("logger", name, LOGGERS)
    packages = LOGGERS[name].packages
    if packages and not any(importlib.util.find_spec(each) for each in packages):
        got = f"{name}, whose package is not installed"
        hint = "run `pip install 'hinged[loggers]'`, or use the logger csv"
        raise errors.MissingExtraError(errors.message("logger", got, hint))
    if optimizer in METHODS:
        hint = f"leave the logger out: training by {optimizer} logs nothing"
        raise errors.ArgumentError(errors.message("logger", name, hint))


def make_logger(name: str, folder: Path) -> Logger:
    """Return a logger that writes into a folder.

    A resumed training starts a new log in this folder.

    Args:
        name: a key of `LOGGERS`.
        folder: the folder to write into. If it does not exist, it is created.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return LOGGERS[name].make(folder)
