"""Checkpoint files that are written completely or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

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
