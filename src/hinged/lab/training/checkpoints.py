"""Checkpoints that are there whole or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from hinged.lab._files import write


class WholeCheckpoints(TorchCheckpointIO):
    """Writes a checkpoint beside its place and renames it.

    Lightning's own are written to the folder of temporary files and moved, which on another disk is
    a copy: a process killed meanwhile would leave half of one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write the checkpoint.

        Raises:
            RunFolderError: the disk does not take it; the one before is still there.
        """
        if storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        write(Path(path), buffer.getvalue())
