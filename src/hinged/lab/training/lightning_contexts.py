"""Contexts that limit the side effects of Lightning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def restore_determinism() -> Iterator[None]:
    """Restore torch's switches for deterministic algorithms, which Lightning sets, at the end.

    This also stops torch from filling uninitialised memory, which it does in deterministic mode. A
    training step of the shallow CNN on 128 images then took 45.8 instead of 48.5 ms (best of
    seven).
    """
    deterministic = torch.are_deterministic_algorithms_enabled()
    flags: Any = torch.utils.deterministic
    fill_memory = flags.fill_uninitialized_memory
    flags.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(deterministic)
        flags.fill_uninitialized_memory = fill_memory


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Hide Lightning's hints that do not apply here, for example about worker processes."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # The data are in memory.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
            # Frozen normalisation is in evaluation mode on purpose.
            warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
            # Lightning calls a torch function that torch has since renamed.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
            warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
