"""Lightning's loggers by name. They write into a run folder."""

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
"""The loggers by name. Each entry takes the folder to write to."""


def check_logger(name: str, optimizer: str) -> None:
    """Raise an error if a training cannot be logged.

    Raises:
        UnknownNameError: there is no logger of this name.
        ArgumentError: the optimizer is a method of `hinged.optim`, which logs nothing.
    """
    if name not in LOGGERS:
        raise errors.unknown_name("logger", name, LOGGERS)
    if optimizer in METHODS:
        hint = f"leave it out: training by {optimizer} logs nothing"
        raise errors.ArgumentError(errors.message("logger", name, hint))


def make_logger(name: str, folder: Path) -> Logger:
    """Return a logger that writes into a folder.

    Args:
        name: a key of `LOGGERS`.
        folder: the folder to write to. It is created if missing. A resumed training starts a new
            log there.

    Raises:
        MissingExtraError: the logger's package is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return LOGGERS[name](folder)
    except ModuleNotFoundError as missing:
        got, hint = f"{name}, without its package", f"`pip install {name}`, or use csv"
        raise errors.MissingExtraError(errors.message("logger", got, hint)) from missing
