import errno
import os

import pytest
import torch

from hinged import errors
from hinged.lab.data import load_data_set
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.networks.catalogue import build_network
from hinged.lab.training import fit
from hinged.lab.training.checkpoints import AtomicCheckpointIO


def test_a_checkpoint_that_finds_no_room_leaves_the_one_before(tmp_path, monkeypatch):
    path, files = tmp_path / "last.ckpt", AtomicCheckpointIO()
    files.save_checkpoint({"epoch": 1}, path)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.RunFolderError, match=r"last\.ckpt cannot be written: No space left"):
        files.save_checkpoint({"epoch": 2}, path)
    assert torch.load(path) == {"epoch": 1} and os.listdir(tmp_path) == ["last.ckpt"]


def test_trainings_write_their_checkpoints_so(tmp_path, small, monkeypatch):
    """And not to the folder of temporary files first, from where moving is copying."""
    data = load_data_set("digits", train_size=100, test_size=100)
    model = build_network(small.network, data, ACTIVATIONS["relu"](small.curves), seed=0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    fit.train_network(model, data, small.training, seed=0, checkpoints=tmp_path / "checkpoints")
    assert os.listdir(tmp_path / "checkpoints") == ["last.ckpt"]


def test_options_for_the_storage_are_refused(tmp_path):
    with pytest.raises(TypeError):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "last.ckpt", storage_options=1)
