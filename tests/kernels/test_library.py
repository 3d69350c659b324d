import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import hinged
from hinged.kernels import dispatch, library
from hinged.lab.experiment import environment

BUILT = library.find() is not None
needs_library = pytest.mark.skipif(not BUILT, reason="built without a C++ compiler")


def forget():
    for cached in (library.load, dispatch.candidates, dispatch._kernels):
        cached.cache_clear()


@pytest.fixture(autouse=True)
def not_loaded_yet():
    forget()
    yield
    forget()


def run(code, **variables):
    environ = {**os.environ, **variables}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environ)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def relu_and_line():
    """What a layer started as ReLU makes of -1, 0, 2, and what `info` says of its kernel."""
    y = hinged.PiecewiseLinear(1)(torch.tensor([[-1.0], [0.0], [2.0]]))
    assert y.flatten().tolist() == [0, 0, 2]
    return environment.describe()["kernel"]


@needs_library
def test_the_library_is_loaded_once_and_named():
    assert library.load() is library.load()
    assert library.load().handle is not None
    line = relu_and_line()
    assert "portable" in line and not line.startswith("reference")


def test_without_the_file_the_reference_serves_and_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(library.kernels, "__path__", [str(tmp_path)])
    line = relu_and_line()
    assert line.startswith("reference (plain torch): hinged was built without a C++ compiler")
    assert "install one, then hinged again" in line


def test_a_file_that_does_not_load_is_named_with_the_systems_reason(monkeypatch, tmp_path):
    broken = tmp_path / library.FILE_NAME
    broken.write_bytes(b"not a library")
    monkeypatch.setattr(library.kernels, "__path__", [str(tmp_path)])
    line = relu_and_line()
    assert line.startswith(f"reference (plain torch): {broken} does not load (")
    assert "build it on this machine" in line


def test_the_variable_turns_it_off(monkeypatch):
    monkeypatch.setenv("HINGED_KERNEL", "reference")
    assert relu_and_line() == (
        "reference (plain torch): HINGED_KERNEL=reference turns the fast kernels off; unset it."
    )


def test_the_current_directory_is_not_searched(monkeypatch, tmp_path):
    (tmp_path / library.FILE_NAME).write_bytes(b"not a library")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(library.kernels, "__path__", [])
    assert library.find() is None


def test_importing_loads_nothing():
    code = (
        "import hinged; from hinged.kernels import library; print(library.load.cache_info().misses)"
    )
    assert run(code) == "0"


@needs_library
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks /proc what is loaded")
def test_the_library_shares_the_openmp_of_torch():
    code = (
        "from hinged.kernels import library\n"
        "handle = library.load().handle\n"
        "files = {line.split()[-1] for line in open('/proc/self/maps')}\n"
        "openmp = [file for file in files if '/libgomp' in file or '/libomp' in file]\n"
        "print(handle.hinged_uses_openmp(), *openmp)"
    )
    uses_openmp, *loaded = run(code).split()
    assert uses_openmp == "0" or len(loaded) == 1, loaded
