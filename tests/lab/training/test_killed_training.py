"""A training that is killed continues from its last checkpoint, in a new process."""

import multiprocessing
import signal
import time

import pytest
import torch

from tests.lab.training.trainings import network, train

EPOCHS = 8


def train_and_save(folder):
    result = train(network(), seed=3, settings={"epochs": EPOCHS}, checkpoints=folder)
    trained = {"curves": result.model.state_dict(), "scores": result.test_scores}
    torch.save(trained, folder / "trained.pt")


def start_training(folder):
    process = multiprocessing.get_context("forkserver").Process(
        target=train_and_save, args=(folder,)
    )
    process.start()
    return process


def kill_after_next_checkpoint(folder):
    """Start a training, kill it when it has written a checkpoint, and return its exit code."""
    path = folder / "last.ckpt"
    before = path.stat().st_mtime_ns if path.exists() else None
    process = start_training(folder)
    end = time.monotonic() + 60
    while process.is_alive() and time.monotonic() < end:
        if path.exists() and path.stat().st_mtime_ns != before:
            process.kill()
            break
        time.sleep(0.001)
    process.join(60)
    return process.exitcode


@pytest.mark.slow
def test_a_training_in_the_metric_that_is_killed_twice_continues_bit_for_bit(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    codes = [kill_after_next_checkpoint(killed) for _ in range(2)]
    assert codes == [-signal.SIGKILL] * 2
    assert not (killed / "trained.pt").exists()
    for folder in (whole, killed):
        process = start_training(folder)
        process.join(120)
        assert process.exitcode == 0
    one, other = (torch.load(folder / "trained.pt") for folder in (whole, killed))
    assert one["scores"] == other["scores"] and len(one["scores"]) == EPOCHS
    for name, tensor in one["curves"].items():
        assert torch.equal(tensor, other["curves"][name]), name
