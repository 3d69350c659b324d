"""Tests that the examples run and reach the results that they describe."""

import os
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


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
