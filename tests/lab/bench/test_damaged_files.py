"""Tests of the benchmark that gives damaged files to the readers."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "damaged_files.py"


def test_the_inputs_of_a_reader_are_counted(tmp_path):
    record = tmp_path / "record.json"
    options = ["-k", "test_gzipped_files or test_csv", "-p", "no:cacheprovider"]
    subprocess.run([sys.executable, SCRIPT, record, "7", *options], check=True, cwd=tmp_path)
    (csv, gzipped) = json.loads(record.read_text())["tests"]
    assert csv["test"].endswith("test_damaged_files.py::test_csv")
    assert gzipped["test"].endswith("test_damaged_files.py::test_gzipped_files")
    assert csv["outcome"] == gzipped["outcome"] == "passed"
    assert csv["inputs"] == gzipped["inputs"] == 7
