"""Tests that the examples run and reach the results that they describe."""

import os
import runpy
from pathlib import Path

import pytest
import torch

import hinged

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
FRAMEWORKS = {
    "accelerate_loop": ["accelerate"],
    "huggingface_trainer": ["accelerate", "transformers"],
    "lightning_module": ["lightning"],
    "peft_lora": ["peft", "transformers"],
    "timm_script": ["timm"],
    "ultralytics_trainer": ["ultralytics"],
}
"""The examples of the page "In your framework", with the packages that they need."""


@pytest.mark.slow
@pytest.mark.skipif(
    "HINGED_DATA" not in os.environ,
    reason="the variable HINGED_DATA, the folder of data sets, is not set",
)
def test_resnet20_adapts_to_another_task_with_its_curves_norm_and_head():
    example = runpy.run_path(str(EXAMPLES / "transfer_resnet20.py"))
    folder = Path(os.environ["HINGED_DATA"])
    result = example["transfer"](folder, curves=True, images=600, epochs=3, test_images=400)
    assert result.trained.by_kind == {"curves": 688 * 9, "norm": 2 * 688, "head": 650}
    assert result.trained.trained < 0.03 * result.trained.total
    assert result.accuracy > 0.6  # Random classes have accuracy 0.1.
    assert result.restored and result.kilobytes < 60


@pytest.fixture
def starts(monkeypatch):
    """A list of the layers of curves that `convert` makes, with their values at the start."""
    made, convert = [], hinged.convert

    def recorded(*args, **kwargs):
        model = convert(*args, **kwargs)
        layers = [each for each in model.modules() if isinstance(each, hinged.PiecewiseLinear)]
        made.extend((layer, layer.values.detach().clone()) for layer in layers)
        return model

    monkeypatch.setattr(hinged, "convert", recorded)
    return made


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # The frameworks warn of their own plans and of the machine.
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_example_of_a_framework_trains_the_curves(name, starts, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "benchmarks" / "zoo_torch.py"))["provide_nms"]()
    for package in FRAMEWORKS[name]:
        pytest.importorskip(package)
    if name == "ultralytics_trainer":  # In tests, ultralytics would write beside its source.
        monkeypatch.setattr("ultralytics.cfg.TESTS_RUNNING", False)
    runpy.run_path(str(EXAMPLES / f"{name}.py"))
    moved = [not torch.equal(layer.values, start) for layer, start in starts]
    # A detector has outputs for sizes of objects that may not be in a batch.
    assert sum(moved) >= (0.9 if name == "ultralytics_trainer" else 1.0) * len(starts) > 0


def test_the_examples_of_frameworks_are_short_and_on_their_page():
    page = (ROOT / "docs" / "frameworks.md").read_text()
    for name in FRAMEWORKS:
        assert f'--8<-- "examples/{name}.py"' in page
        assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= 30
