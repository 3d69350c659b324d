"""Tests of the wheel, built with and without a compiler."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from hinged.kernels import cpu_library

ROOT = Path(__file__).parents[1]
BUILD = "import sys; from scikit_build_core.build import *; print(build_wheel(sys.argv[1]))"


def build_wheel(folder, **variables):
    """Build the wheel as pip does, but with the tools of this environment and without a network."""
    environ = {**os.environ, "HINGED_REQUIRE_NATIVE": "0", **variables}
    command = [sys.executable, "-c", BUILD, str(folder)]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)


def files(folder):
    (wheel,) = folder.iterdir()
    return wheel.name, zipfile.ZipFile(wheel).namelist()


@pytest.mark.slow
def test_without_a_compiler_the_wheel_is_pure_python(tmp_path):
    done = build_wheel(tmp_path, CXX="no-such-compiler")
    assert done.returncode == 0, done.stdout
    name, content = files(tmp_path)
    assert name.endswith("-py3-none-any.whl")
    assert f"hinged/kernels/{cpu_library.FILE_NAME}" not in content
    assert "hinged/kernels/cpu_library.py" in content


def test_a_missing_compiler_is_an_error_if_the_library_is_required(tmp_path):
    done = build_wheel(tmp_path, CXX="no-such-compiler", HINGED_REQUIRE_NATIVE="1")
    assert done.returncode != 0
    assert "no-such-compiler" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(cpu_library.find_cpu_library() is None, reason="built without a C++ compiler")
def test_with_a_compiler_the_wheel_contains_the_library_for_every_python(tmp_path):
    hasty = tmp_path / "hasty"  # -O0 compiles faster and does not change the files of the wheel.
    hasty.write_text(f'#!/bin/sh\nexec {os.environ.get("CXX", "c++")} "$@" -O0\n')
    hasty.chmod(0o755)
    done = build_wheel(tmp_path / "wheel", CXX=str(hasty))
    assert done.returncode == 0, done.stdout
    name, content = files(tmp_path / "wheel")
    assert "-py3-none-" in name and not name.endswith("-any.whl")
    assert f"hinged/kernels/{cpu_library.FILE_NAME}" in content
    assert [path for path in content if "/cpp/" in path] == []
