import subprocess
import sys

import pytest

from hinged import _torchvision_operators
from hinged.lab import networks, runs, training

LIKE_A_WHEEL_FOR_CUDA = """
import torch

@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, threshold):
    return dets.new_empty(0)
"""
# The module runs by itself: importing all of hinged.lab would take three times as long.
CODE = """
import runpy, sys
sys.path.insert(0, sys.argv[1])
module = runpy.run_path(sys.argv[2])
print(module["declare_missing"](), module["declare_missing"]())
import torchvision
print(torchvision.works)
"""


@pytest.mark.slow
def test_torchvision_imports_next_to_a_torch_it_was_not_built_for(tmp_path):
    """A stand-in fails as torchvision's wheel for CUDA does next to a torch for the CPU."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("from torchvision import ops\nworks = True\n")
    (package / "ops.py").write_text(LIKE_A_WHEEL_FOR_CUDA)
    command = [sys.executable, "-c", CODE, str(tmp_path), _torchvision_operators.__file__]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["True", "False", "True"], done.stderr


@pytest.mark.parametrize("room", [networks, runs, training])
def test_the_laboratory_declares_them_before_it_imports_lightning(room):
    assert room.declare_missing is _torchvision_operators.declare_missing
    assert "torchvision" in sys.modules
