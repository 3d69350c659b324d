"""Trainings that several processes share."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

from hinged import errors
from hinged.lab import data
from hinged.lab.data import Batches
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings, TrainingSettings
from hinged.lab.experiment.torchrun import SINGLE_PROCESS, TorchrunProcess, torchrun_process
from hinged.lab.networks import catalogue
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.runs.compare import compare
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.ray_cluster import execution_options
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.training import fit
from tests.cli.run_command import run

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "hinged"]
COMMAND = ["train", "--data", "digits", "--train-size", "512", "--epochs", "2", "--json"]
COMMAND += ["--set", "training.validation=0.25", "--set", "training.keep_best=true"]
# Without normalisation, whose statistics each process takes of its own samples, and with batches
# that are all of one size, the gradients of two processes add up to those of one.
NETWORK = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last, self.unused = nn.Linear(64, 16), nn.Linear(16, 10), nn.Linear(2, 2)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.last(self.act(self.first(x.flatten(1))))
"""


def set_torchrun_environment(monkeypatch, rank):
    """Set the environment that torchrun gives to one of two processes."""
    names = {"RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    for name, value in {**names, "TORCHELASTIC_RUN_ID": "none"}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def second_of_two(monkeypatch):
    set_torchrun_environment(monkeypatch, rank=1)


def test_a_process_alone_is_the_first_and_only():
    assert torchrun_process() == SINGLE_PROCESS and SINGLE_PROCESS.machines == 1


@pytest.mark.usefixtures("second_of_two")
def test_torchrun_says_which_process_this_is():
    assert torchrun_process() == TorchrunProcess(rank=1, world_size=2, local_world_size=2)
    assert TorchrunProcess(rank=5, world_size=8, local_world_size=4).machines == 2


@pytest.mark.parametrize(("rows", "sizes"), [(64, [8, 8]), (41, [8, 2]), (35, [8])])
def test_processes_share_every_batch(rows, sizes):
    whole = data.load_data_set("digits", train_size=rows)

    def batches(**options):
        return [y for _, y in Batches(whole, 32, 0, lambda: 1, **options)]

    shares = [batches(process=TorchrunProcess(rank, 4, 4)) for rank in range(4)]
    for share in shares:
        assert [len(y) for y in share] == sizes
    for number, together in enumerate(batches()[: len(sizes)]):
        taken = torch.stack([share[number] for share in shares], dim=1).flatten()
        assert torch.equal(taken, together[: len(taken)])
        assert len(together) - len(taken) < 4


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path, monkeypatch):
    (tmp_path / "my.py").write_text(NETWORK)
    arguments = [*COMMAND, "--model", f"{tmp_path / 'my.py'}:Net", "--out"]
    alone = run(*arguments, str(tmp_path / "alone"))
    assert alone.exit_code == 0, alone.output
    both = subprocess.run(
        [*TORCHRUN, *arguments, str(tmp_path / "both"), "--logger", "csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert both.returncode == 0, both.stderr
    assert json.loads(both.stdout)["run"] == str(tmp_path / "both")  # Printed by one of the two.
    (one,), (two,) = (RunFolder(tmp_path / name).results() for name in ("alone", "both"))
    assert two.loss == pytest.approx(one.loss, rel=1e-5)
    assert two.test_scores == pytest.approx(one.test_scores, abs=0.01)
    assert two.validation_scores == pytest.approx(one.validation_scores, abs=0.01)
    assert two.best_epoch == one.best_epoch
    assert "processes" not in one.environment and two.environment["processes"] == "2"
    weights = [
        load_file(tmp_path / name / "weights" / "hinged-seed0.safetensors")
        for name in ("alone", "both")
    ]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-4)
    logged = list((tmp_path / "both" / "logs").rglob("metrics.csv"))
    assert len(logged) == 1

    for rank in (0, 1):  # The same command has nothing left to do in either process.
        set_torchrun_environment(monkeypatch, rank)
        again = run(*arguments, str(tmp_path / "both"))
        assert again.exit_code == 0, again.output
    assert RunFolder(tmp_path / "both").results() == [two]


@pytest.mark.usefixtures("second_of_two")
def test_many_trainings_are_not_for_torchrun():
    with pytest.raises(errors.ArgumentError, match="for a single training"):
        execution_options(None, 1, 1)


@pytest.mark.usefixtures("second_of_two")
def test_processes_share_one_training_and_not_several(small, tmp_path):
    with pytest.raises(errors.RunFolderError, match="9 trainings are unfinished"):
        compare(small, RunFolder(tmp_path / "run"), ProgressListener())


@pytest.mark.usefixtures("second_of_two")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "lm"}, "start without torchrun"),
        ({"batch_size": 3}, "2 samples: the batch size must be at least 4"),
    ],
)
def test_what_processes_cannot_share(settings, message):
    small = data.load_data_set("diabetes")
    kind = NetworkSettings(kind="mlp", width=2, depth=1)
    model = catalogue.build_network(kind, small, ACTIVATIONS["hinged"](CurveSettings()), 0)
    with pytest.raises(errors.ArgumentError, match=message):
        fit.check_training(model, small, TrainingSettings(**settings))
