"""Context managers that limit the side effects of Lightning."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from hinged import errors


@contextmanager
def restore_determinism() -> Iterator[None]:
    """Restore torch's settings for deterministic algorithms at the end of a `with` block.

    Lightning changes these settings during a training.

    In deterministic mode, torch also fills uninitialised memory. In the `with` block, this filling
    is off, which saves time. A training step of the shallow CNN on 128 images takes 45.8 ms without
    the filling and 48.5 ms with the filling (best of seven runs).
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
    """Hide Lightning's log messages, except errors, in a `with` block.

    Some Python warnings that do not apply to these trainings are hidden too. An example is the
    advice to use more worker processes.
    """
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # All data are in memory, so worker processes would not help.
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            warnings.filterwarnings("ignore", message=".*GPU available but not used.*")
            # Frozen normalisation is in evaluation mode on purpose.
            warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")
            # Lightning uses a function of torch by its former name.
            warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated.*")
            warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
            # `hinged.lab.runs.compare` has said so before the first training.
            warnings.simplefilter("ignore", errors.ShortTravelWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
