import errno
import os
import pickle

import pytest
import torch

from hinged import errors
from hinged.lab.data import load_data_set
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.networks.catalogue import build_network
from hinged.lab.training import fit
from hinged.lab.training.checkpoints import AtomicCheckpointIO


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    path, files = tmp_path / "last.ckpt", AtomicCheckpointIO()
    files.save_checkpoint({"epoch": 1}, path)

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.RunFolderError, match=r"last\.ckpt cannot be written: No space left"):
        files.save_checkpoint({"epoch": 2}, path)
    assert torch.load(path) == {"epoch": 1} and os.listdir(tmp_path) == ["last.ckpt"]


def test_trainings_do_not_write_to_the_folder_of_temporary_files(tmp_path, small, monkeypatch):
    data = load_data_set("digits", train_size=100, test_size=100)
    model = build_network(small.network, data, ACTIVATIONS["relu"](small.curves), seed=0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    fit.train_network(model, data, small.training, seed=0, checkpoints=tmp_path / "checkpoints")
    assert os.listdir(tmp_path / "checkpoints") == ["last.ckpt"]


def test_storage_options_are_errors(tmp_path):
    with pytest.raises(TypeError):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "last.ckpt", storage_options=1)


class Code:
    """When it is unpickled, it writes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_checkpoint_with_code_is_refused(tmp_path):
    path, written = tmp_path / "last.ckpt", tmp_path / "written"
    torch.save({"epoch": 1, "more": Code(written)}, path)
    with pytest.raises(pickle.UnpicklingError):
        AtomicCheckpointIO().load_checkpoint(path, weights_only=False)
    assert not written.exists()
