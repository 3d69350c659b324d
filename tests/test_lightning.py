"""Tests of the callbacks, run by a Trainer of Lightning."""

import csv
import itertools
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hinged
from hinged import errors
from hinged.lightning import CurveCalibration, CurveMonitor, CurveRecorder
from hinged.nn.travel import MIN_TRAVEL

# Imported last: hinged.lightning first repairs a torchvision built for another torch.
from lightning.pytorch.callbacks import ModelCheckpoint  # isort: skip
from lightning.pytorch.loggers import CSVLogger  # isort: skip
from tests.lightning_training import Task, X, fit  # isort: skip

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "lightning.md"

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers.*"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec.*is deprecated.*"),
    pytest.mark.filterwarnings("ignore:.*Checkpoint directory.*"),
    pytest.mark.filterwarnings("ignore:.*isinstance.treespec, LeafSpec.*"),
]


def changes(task):
    """Return the steps at which the values differ from the values of the previous step."""
    steps = itertools.pairwise(task.values)
    return [step for step, (old, new) in enumerate(steps, 1) if not torch.equal(old, new)]


@pytest.mark.parametrize(
    "steps, how",
    [(6, {}), (0.5, {}), (6, {"gradient_clip_val": 1.0}), (0.5, {"precision": "bf16-mixed"})],
)
def test_curves_are_frozen_calibrated_and_trained(tmp_path, steps, how):
    callback = CurveCalibration(steps, observed_steps=2)
    task, _ = fit(tmp_path, callback, **how)
    # There are twelve steps. The sixth step calibrates: it moves the hinges and changes the values.
    assert changes(task) == list(range(6, 12))
    assert [hinges.max() > 10 for hinges in task.hinges] == [False] * 6 + [True] * 6
    assert list(callback.calibration.result.layers) == ["network.1"]
    assert not task.network[1]._forward_hooks


def test_steps_are_optimiser_steps(tmp_path):
    task, trainer = fit(tmp_path, CurveCalibration(2), accumulate_grad_batches=2)
    assert trainer.global_step == 6
    assert [hinges.max() > 10 for hinges in task.hinges] == [False] * 4 + [True] * 8


def test_new_parameters_after_a_change_of_hinges_are_trained(tmp_path):
    task, trainer = fit(tmp_path, CurveCalibration(4, hinges=17))
    assert task.values[-1].shape == (4, 17) and 11 in changes_of(task)
    assert trainer.optimizers[0].param_groups[1]["params"][0] is task.network[1].values


def changes_of(task):
    kept = [values for values in task.values if values.shape[1] == 17]
    first = len(task.values) - len(kept)
    pairs = itertools.pairwise(kept)
    return [first + k for k, (old, new) in enumerate(pairs, 1) if not torch.equal(old, new)]


def test_a_training_that_ends_early_leaves_no_hooks(tmp_path):
    task, _ = fit(tmp_path, CurveCalibration(100), epochs=1)
    assert changes(task) == []
    assert not task.network[1].values._post_accumulate_grad_hooks
    assert not task.network[1]._forward_hooks


def test_a_resumed_training_continues_where_it_stopped(tmp_path):
    def callbacks():
        checkpoint = ModelCheckpoint(tmp_path, "{epoch}", every_n_epochs=1, save_top_k=-1)
        return (
            CurveCalibration(6, observed_steps=2),
            CurveRecorder(every_n_steps=2),
            CurveMonitor(),
            checkpoint,
        )

    fit(tmp_path, *callbacks(), epochs=1, enable_checkpointing=True)
    _, recorder, monitor, _ = again = callbacks()
    how = {"checkpoint": tmp_path / "epoch=0.ckpt", "enable_checkpointing": True}
    task, _ = fit(tmp_path, *again, **how)
    assert [hinges.max() > 10 for hinges in task.hinges] == [False] * 2 + [True] * 6
    assert recorder.history.steps == [0, 2, 4, 6, 8, 10, 12]
    assert torch.equal(monitor.start["network.1"].hinges, hinged.PiecewiseLinear(4).hinges)
    calibration, *_ = again = callbacks()
    task, _ = fit(tmp_path, *again, **how | {"checkpoint": tmp_path / "epoch=1.ckpt"})
    assert calibration.calibration.done and changes(task) == [1, 2, 3]


def rows(folder):
    (path,) = Path(folder).rglob("metrics.csv")
    with path.open() as file:
        return [row for row in csv.DictReader(file) if row.get("curves/network.1/outside")]


def test_logged_numbers_agree_with_numpy_on_the_validation_batches(tmp_path):
    logger = CSVLogger(tmp_path)
    task, trainer = fit(tmp_path, CurveMonitor(batches=2), logger=logger)
    found = rows(tmp_path)
    assert len(found) == 3
    with torch.no_grad():
        inputs = task.network[0](X[:32]).numpy()
    outside = ((inputs < -3) | (inputs >= 3)).mean()
    assert float(found[-1]["curves/network.1/outside"]) == pytest.approx(outside, abs=1e-6)
    curve = task.network[1].curve()
    slopes = np.diff(curve.values.detach().numpy()) / np.diff(curve.hinges.numpy())
    steepest = float(found[-1]["curves/network.1/lipschitz"])
    assert steepest == pytest.approx(np.abs(slopes).max(), rel=1e-5)
    for figure in ("drift", "travel"):
        assert [float(row[f"curves/network.1/{figure}"]) > 0 for row in found] == [True] * 3
    assert trainer.callback_metrics["curves/network.1/dead"] == 0
    assert not task.network[1]._forward_hooks


def test_a_monitor_with_its_own_data_logs_every_other_epoch(tmp_path):
    monitor = CurveMonitor(X[:8], every_n_epochs=2, figures=("outside",))
    fit(tmp_path, monitor, logger=CSVLogger(tmp_path), epochs=4)
    found = rows(tmp_path)
    assert len(found) == 2 and "curves/network.1/drift" not in found[0]
    with pytest.raises(errors.UnknownNameError, match="did you mean 'outside'"):
        CurveMonitor(figures=("outsides",))


class Scheduled(Task):
    """A task whose curves have a rate and a scheduler."""

    def __init__(self, rate, make_scheduler, interval):
        super().__init__()
        self.rate, self.make_scheduler, self.interval = rate, make_scheduler, interval

    def configure_optimizers(self):
        groups = hinged.param_groups(self, lr=0.01, curve_lr=self.rate)
        optimizer = torch.optim.AdamW(groups)
        if self.make_scheduler is None:
            return optimizer
        scheduler = self.make_scheduler(optimizer)
        return [optimizer], [{"scheduler": scheduler, "interval": self.interval}]


def halve(optimizer):
    return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)


# There are three epochs of four steps, or of two with accumulated gradients.
@pytest.mark.parametrize(
    ("make_scheduler", "interval", "how", "total"),
    [
        (None, "", {}, 12),
        (None, "", {"accumulate_grad_batches": 2}, 6),
        (None, "", {"max_steps": 5}, 5),
        (halve, "epoch", {}, 4 * (1 + 0.5 + 0.25)),
        (halve, "epoch", {"accumulate_grad_batches": 2}, 2 * (1 + 0.5 + 0.25)),
        (halve, "step", {}, 2 * (1 - 0.5**12)),
    ],
)
def test_a_monitor_warns_of_curves_that_cannot_move(make_scheduler, interval, how, total, tmp_path):
    rate = 0.9 * MIN_TRAVEL / total
    with pytest.warns(errors.ShortTravelWarning, match="raise curve_lr from") as caught:
        fit(tmp_path, CurveMonitor(), task=Scheduled(rate, make_scheduler, interval), **how)
    (warning,) = (each for each in caught if each.category is errors.ShortTravelWarning)
    assert "at most 0.09 times the scale" in str(warning.message)
    fit(tmp_path, CurveMonitor(), task=Scheduled(rate / 0.8, make_scheduler, interval), **how)


def test_a_resumed_or_endless_training_has_no_warning(tmp_path):
    task = Scheduled(1e-6, None, "")
    fit(tmp_path, CurveMonitor(), task=task, epochs=-1, max_time={"seconds": 0.1})
    trainer = fit(tmp_path, task=task, epochs=1)[1]
    trainer.save_checkpoint(tmp_path / "first.ckpt")
    fit(tmp_path, CurveMonitor(), task=task, checkpoint=tmp_path / "first.ckpt")


def test_the_history_is_saved(tmp_path):
    recorder = CurveRecorder("deep/curves.safetensors", every_n_steps=5, channels=2)
    task, _ = fit(tmp_path, recorder)
    found = hinged.History.load(tmp_path / "deep" / "curves.safetensors")
    assert found.steps == [0, 5, 10, 12]
    assert torch.equal(
        found.frames[-1]["network.1"].values, task.network[1].values.detach()[[0, 3]]
    )


def test_a_monitor_without_data_and_validation_is_rejected(tmp_path):
    with pytest.raises(errors.ArgumentError, match="without validation; pass a batch"):
        fit(tmp_path, CurveMonitor(), limit_val_batches=0)


def test_a_monitor_with_its_own_data_measures_in_evaluation_mode(tmp_path):
    class Averaging(Task):
        def training_step(self, batch):
            return self(batch).mean()

    task, flags = Averaging(), []
    task.network.insert(1, nn.Dropout(0.9))
    task.network[1].register_forward_hook(lambda module, *_: flags.append(module.training))
    how = {"limit_train_batches": 1, "limit_val_batches": 0, "epochs": 2}
    fit(tmp_path, CurveMonitor(X, figures=("outside",)), task=task, **how)
    assert flags == [True, False, True, False] and task.network[1].training


@pytest.mark.slow
def test_without_lightning_the_error_says_what_to_install():
    code = (
        "import importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda n, *a: None if n == 'lightning' else find(n, *a);"
        "import hinged.lightning"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "needs lightning" in done.stderr and "pip install 'hinged[lab]'" in done.stderr


@pytest.mark.slow
def test_two_processes_get_the_same_curves(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        f"import os, sys, torch; sys.path.insert(0, {str(Path(__file__).parents[1])!r})\n"
        "from hinged.lightning import CurveCalibration, CurveMonitor\n"
        "from lightning.pytorch.loggers import CSVLogger\n"
        "from tests.lightning_training import fit\n"
        "if __name__ == '__main__':\n"
        "    calibration, monitor = CurveCalibration(3, observed_steps=2), CurveMonitor()\n"
        f"    task, trainer = fit({str(tmp_path)!r}, calibration, monitor, epochs=3, devices=2,\n"
        "                        strategy='ddp', logger=CSVLogger('logs'))\n"
        "    found = task.state_dict(), task.values, task.hinges, trainer.callback_metrics\n"
        "    torch.save(found, f'{trainer.global_rank}.pt')\n"
        "    torch.distributed.barrier()\n"
        "    os._exit(0)\n"  # For the reason, see tests/processes.py.
    )
    command = [sys.executable, "-W", "ignore", str(script)]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=300)
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2))
    for name, tensor in first[0].items():
        assert torch.equal(tensor, second[0][name]), name
    values, hinges = first[1], first[2]
    assert len(values) == 6 and torch.equal(values[0], values[2])
    assert [each.max() > 5 for each in hinges] == [False] * 3 + [True] * 3
    assert not torch.equal(values[-1], values[-2])
    figures = [name for name in first[3] if name.startswith("curves/")]
    assert len(figures) == 7 and all(first[3][name] == second[3][name] for name in figures)


@pytest.mark.slow
def test_the_example_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.S)
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning warns about settings that do not matter here.
        exec(block, names)
    assert (tmp_path / "curves.gif").exists() and (tmp_path / "curves.safetensors").exists()
    (layer,) = [
        m for m in names["trainer"].model.modules() if isinstance(m, hinged.PiecewiseLinear)
    ]
    assert layer.hinges.max() > 10
    assert names["recorder"].history.steps[-1] == 32
