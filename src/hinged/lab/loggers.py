"""Loggers by name: Lightning's own, writing into a run folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import loggers
from lightning.pytorch.loggers import Logger

from hinged import errors

LOGGERS: dict[str, Callable[[Path], Logger]] = {
    "csv": lambda folder: loggers.CSVLogger(folder, name=""),
    "tensorboard": lambda folder: loggers.TensorBoardLogger(folder, name=""),
    "wandb": lambda folder: loggers.WandbLogger(save_dir=folder, project="hinged"),
}
"""What `--logger` takes."""


def make(name: str, folder: Path) -> Logger:
    """Return a logger that writes into a folder.

    Raises:
        UnknownNameError: there is none of this name.
        MissingExtraError: its package is not installed.
    """
    if name not in LOGGERS:
        raise errors.unknown_name("--logger", name, LOGGERS)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        return LOGGERS[name](folder)
    except ModuleNotFoundError as missing:
        came, cure = f"{name}, without its package", f"`pip install {name}`, or use csv"
        said = errors.sentence("--logger", came, cure)
        raise errors.MissingExtraError(said) from missing
