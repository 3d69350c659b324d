"""Checkpoint files: they are written completely or not at all, and damaged ones are explained."""

from __future__ import annotations

import io
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.trainer.connectors import checkpoint_connector

from hinged import errors
from hinged.lab._write_file import write_file


class AtomicCheckpointIO(TorchCheckpointIO):
    """A plugin for Lightning that writes each checkpoint completely or not at all.

    The plugin writes a temporary file in the folder of the checkpoint and then renames this file.

    Without this plugin, Lightning writes a temporary file in another folder and then moves this
    file. A move to another disk is a copy. If the process is killed during the copy, the checkpoint
    is incomplete.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint to a file.

        Args:
            checkpoint: the content of the checkpoint.
            path: the path of the file.
            storage_options: options for Lightning, which then writes the file itself. None by
                default.

        Raises:
            RunFolderError: if the disk is full or the folder is not writable. The previous
                checkpoint then remains.
        """
        if storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_file(Path(path), buffer.getvalue())

    def load_checkpoint(
        self,
        path: Any,
        map_location: Any | None = None,
        weights_only: bool | None = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        """Read a checkpoint. A file that contains code is refused.

        Args:
            path: the path of the file.
            map_location: the devices of the tensors, as in `torch.load`.
            weights_only: has no effect: only tensors and plain values are read.
        """
        checkpoint: dict[str, Any] = torch.load(path, map_location, weights_only=True)
        return checkpoint


@contextmanager
def explain_damaged_checkpoint(path: Path | None) -> Iterator[None]:
    """Convert errors in the `with` block that come from a checkpoint into a `RunFolderError`.

    A checkpoint may be damaged, or belong to another training or program. Lightning then raises
    errors of many classes while it restores the checkpoint. All other errors are not changed.

    Args:
        path: the checkpoint that Lightning restores in the block, or None without a checkpoint.

    Raises:
        RunFolderError: if the checkpoint cannot be restored.
    """
    try:
        yield
    except errors.HingedError:
        raise
    except Exception as error:
        if path is None or not _is_from_restoring(error):
            raise
        raise errors.RunFolderError(
            f"{path} is not a checkpoint of this training: reading it raises "
            f"{type(error).__name__}. Delete this file and run the same command again. The "
            "training then starts from its first epoch."
        ) from error


def _is_from_restoring(error: Exception) -> bool:
    """Whether an error was raised while Lightning restored a checkpoint."""
    return any(
        frame.f_globals.get("__name__") == checkpoint_connector.__name__
        and frame.f_code.co_name.lstrip("_").startswith(("restore", "resume"))
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )
