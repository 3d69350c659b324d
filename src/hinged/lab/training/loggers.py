"""Loggers by name: Lightning's own, writing into a run folder."""

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
"""What `--logger` takes."""


def check(name: str, optimizer: str) -> None:
    """Raise where a training cannot be logged.

    Raises:
        UnknownNameError: there is no logger of this name.
        ArgumentError: the optimiser is a method of `hinged.optim`, which tells loggers nothing.
    """
    if name not in LOGGERS:
        raise errors.unknown_name("--logger", name, LOGGERS)
    if optimizer in METHODS:
        hint = f"leave it out: training by {optimizer} logs nothing"
        raise errors.ArgumentError(errors.message("--logger", name, hint))


def make(name: str, folder: Path) -> Logger:
    """Return a logger that writes into a folder.

    Args:
        name: in `LOGGERS`.
        folder: where it writes; made if missing. A training that is resumed begins another log.

    Raises:
        MissingExtraError: its package is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return LOGGERS[name](folder)
    except ModuleNotFoundError as missing:
        got, hint = f"{name}, without its package", f"`pip install {name}`, or use csv"
        said = errors.message("--logger", got, hint)
        raise errors.MissingExtraError(said) from missing
