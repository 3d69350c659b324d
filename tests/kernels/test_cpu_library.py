import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hinged
from hinged import errors
from hinged.installation import describe_installation
from hinged.kernels import cpu_library, select_kernel
from hinged.kernels.cpu_library import find_cpu_library, load_cpu_library

BUILT = find_cpu_library() is not None
needs_library = pytest.mark.skipif(not BUILT, reason="built without a C++ compiler")


def clear_caches():
    for cached in (
        load_cpu_library,
        select_kernel.kernels_by_preference,
        select_kernel._installed_kernels,
    ):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def not_loaded_yet():
    clear_caches()
    yield
    clear_caches()


@pytest.fixture(scope="module")
def fresh_process():
    """What one new process reports: after importing hinged, and after loading the library."""
    code = """
import json, sys, hinged
import hinged.kernels.memory_layout
from hinged.kernels.cpu_library import load_cpu_library
report = {"loads": load_cpu_library.cache_info().misses, "triton": "triton" in sys.modules}
handle = load_cpu_library().handle
report["uses_openmp"] = handle is not None and bool(handle.hinged_uses_openmp())
try:
    report["files"] = sorted({line.split()[-1] for line in open("/proc/self/maps")})
except OSError:
    report["files"] = None
print(json.dumps(report))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def described_kernel():
    """Check a layer started as ReLU at -1, 0 and 2, and return what `info` says of its kernel."""
    y = hinged.PiecewiseLinear(1)(torch.tensor([[-1.0], [0.0], [2.0]]))
    assert y.flatten().tolist() == [0, 0, 2]
    return describe_installation()["kernel"]


@needs_library
def test_the_library_is_loaded_once_and_described():
    assert load_cpu_library() is load_cpu_library()
    assert load_cpu_library().handle is not None
    line = described_kernel()
    assert "portable" in line and not line.startswith("reference")


def test_without_the_file_the_reference_is_used_and_described(monkeypatch, tmp_path):
    monkeypatch.setattr(cpu_library.kernels, "__path__", [str(tmp_path)])
    line = described_kernel()
    assert line.startswith("reference (plain torch): hinged was built without a working C++ ")
    assert "install one, and then install hinged again" in line


def test_a_file_that_does_not_load_is_named_with_the_systems_reason(monkeypatch, tmp_path):
    broken = tmp_path / cpu_library.FILE_NAME
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(cpu_library.kernels, "__path__", [str(tmp_path)])
    line = described_kernel()
    assert line.startswith(f"reference (plain torch): {broken} cannot be loaded (")
    assert "build it on this machine" in line


@needs_library
def test_a_library_of_another_version_is_not_used(monkeypatch):
    monkeypatch.setattr(cpu_library, "_INTERFACE", -1)
    line = described_kernel()
    assert line.startswith("reference (plain torch): ")
    assert "cannot be loaded (it was built from another version of hinged)" in line


def test_the_environment_variable_turns_the_kernels_off(monkeypatch):
    monkeypatch.setenv("HINGED_KERNEL", "reference")
    assert described_kernel() == (
        "reference (plain torch): HINGED_KERNEL=reference turns the fast kernels off; unset "
        "this variable."
    )


@needs_library
def test_the_environment_variable_selects_a_kernel(monkeypatch):
    monkeypatch.setenv("HINGED_KERNEL", "portable")
    assert described_kernel().startswith("portable")


def test_an_unknown_name_in_the_environment_variable_is_an_error(monkeypatch):
    monkeypatch.setenv("HINGED_KERNEL", "nonsense")
    with pytest.raises(errors.UnknownNameError, match="`HINGED_KERNEL`: got 'nonsense'"):
        described_kernel()


def test_the_current_directory_is_not_searched(monkeypatch, tmp_path):
    (tmp_path / cpu_library.FILE_NAME).write_bytes(b"not a library")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cpu_library.kernels, "__path__", [])
    assert find_cpu_library() is None


def test_importing_hinged_loads_neither_the_library_nor_triton(fresh_process):
    assert fresh_process["loads"] == 0
    assert fresh_process["triton"] is False


@needs_library
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads /proc/self/maps")
def test_the_library_shares_the_openmp_of_torch(fresh_process):
    files = [file for file in fresh_process["files"] if "/libgomp" in file or "/libomp" in file]
    assert not fresh_process["uses_openmp"] or len(files) == 1, files
