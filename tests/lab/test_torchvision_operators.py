import subprocess
import sys


def test_torchvision_imports_beside_a_torch_it_was_not_built_for(tmp_path):
    """A stand-in that fails as torchvision's wheel for CUDA does beside a torch for the CPU."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text("from torchvision import ops\nworks = True\n")
    (package / "ops.py").write_text(
        "import torch\n"
        "@torch.library.register_fake('torchvision::nms')\n"
        "def nms(dets, scores, threshold): return dets.new_empty(0)\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "import hinged.lab\n"
        "declared = 'torchvision' in sys.modules\n"
        "import torchvision; print(declared, torchvision.works)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "True True", done.stderr
