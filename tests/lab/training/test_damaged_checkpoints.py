"""Damaged and foreign checkpoints: `RunFolderError`, with the file's name, is the only error."""

import io

import pytest
import torch

from hinged import errors
from tests.lab.training.trainings import network, train


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The path and the content of the checkpoint of a training that failed in its second epoch."""
    folder = tmp_path_factory.mktemp("checkpoints")
    with pytest.raises(ZeroDivisionError):
        train(network(), checkpoints=folder, on_epoch=lambda epoch: 1 // (2 - epoch))
    return folder / "last.ckpt", (folder / "last.ckpt").read_bytes()


def changed(content, change):
    loaded = torch.load(io.BytesIO(content), weights_only=True)
    change(loaded)
    file = io.BytesIO()
    torch.save(loaded, file)
    return file.getvalue()


FOREIGN = {
    "empty": lambda _: b"",
    "text": lambda _: b"no checkpoint",
    "cut": lambda content: content[: len(content) // 2],
    "no version": lambda content: changed(content, dict.clear),
    "no weights": lambda content: changed(content, lambda each: each.pop("state_dict")),
    "other weights": lambda content: changed(content, lambda each: each["state_dict"].clear()),
    "no optimizer": lambda content: changed(content, lambda each: each.pop("optimizer_states")),
    "no progress": lambda content: changed(content, lambda each: each["loops"].clear()),
    "odd records": lambda content: changed(
        content, lambda each: each["callbacks"].update(EpochHistory={"odd": 1})
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_foreign_checkpoint_is_named_with_what_to_do(checkpoint, kind):
    path, content = checkpoint
    path.write_bytes(FOREIGN[kind](content))
    with pytest.raises(errors.RunFolderError, match=r"last\.ckpt is not a checkpoint.*Delete this"):
        train(network(), checkpoints=path.parent)


def test_other_errors_of_a_continued_training_are_not_blamed_on_the_checkpoint(checkpoint):
    path, content = checkpoint
    path.write_bytes(content)
    with pytest.raises(ZeroDivisionError):
        train(network(), checkpoints=path.parent, on_epoch=lambda epoch: 1 // (2 - epoch))
