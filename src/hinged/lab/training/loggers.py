"""The loggers of Lightning that a training can use, by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import loggers
from lightning.pytorch.loggers import Logger

from hinged import errors
from hinged.optim import METHODS

LOGGERS: dict[str, Callable[[Path], Logger]] = {
    "csv": lambda folder: loggers.CSVLogger(folder, name=""),
    "tensorboard": lambda folder: loggers.TensorBoardLogger(folder, name=""),
    "wandb": lambda folder: loggers.WandbLogger(save_dir=folder, project="hinged"),
}
"""The functions that make a logger for a folder, by name."""


def check_logger(name: str, optimizer: str) -> None:
    """Raise an error if a training cannot be logged.

    Args:
        name: the name of the logger.
        optimizer: the optimizer of the training (`TrainingSettings.optimizer`).

    Raises:
        UnknownNameError: if `LOGGERS` has no logger of this name.
        ArgumentError: if the optimizer is a method of `hinged.optim`. These methods log nothing.
    """
    if name not in LOGGERS:
        raise errors.unknown_name("logger", name, LOGGERS)
    if optimizer in METHODS:
        hint = f"leave the logger out: training by {optimizer} logs nothing"
        raise errors.ArgumentError(errors.message("logger", name, hint))


def make_logger(name: str, folder: Path) -> Logger:
    """Return a logger that writes into a folder.

    A resumed training starts a new log in this folder.

    Args:
        name: a key of `LOGGERS`.
        folder: the folder to write into. If it does not exist, it is created.

    Raises:
        MissingExtraError: if the package of the logger is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return LOGGERS[name](folder)
    except ModuleNotFoundError as missing:
        got = f"{name}, whose package is not installed"
        hint = f"run `pip install {name}`, or use the logger csv"
        raise errors.MissingExtraError(errors.message("logger", got, hint)) from missing
