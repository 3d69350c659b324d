"""Checkpoint files that are written completely or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from hinged.lab._write_file import write_file


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint to a file in the same folder and then renames it.

    Lightning writes to the folder of temporary files and moves the file. To another disk, that is a
    copy, and a killed process would leave an incomplete checkpoint.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write the checkpoint.

        Raises:
            RunFolderError: the disk is full or not writable. The previous checkpoint remains.
        """
        if storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write_file(Path(path), buffer.getvalue())
