"""Run folders with a file of damaged bytes: `RunFolderError` is the only error."""

import shutil

import pytest
import safetensors.torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import errors
from hinged.lab.bench.record import read_benchmark_record
from hinged.lab.experiment.schema import Trial
from hinged.lab.reporting.report_data import read_report_data
from hinged.lab.runs.run_folder import RunFolder
from tests.damage import damaged
from tests.lab.helpers import make_failure

NAMES = ["config.json", "results.jsonl", "trials/relu-seed0.json", "failed/relu-seed0.json"]
CURVES = "curves/hinged-seed0.safetensors"
NAMES += [CURVES, "predictions/relu-seed0.safetensors"]


@pytest.fixture(scope="module")
def run(finished, tmp_path_factory):
    path = tmp_path_factory.mktemp("damaged") / "run"
    shutil.copytree(finished.path, path)
    folder = RunFolder(path)
    folder.save_failure(Trial(activation="relu", seed=0), make_failure())
    return folder


def read_or_explain(folder, name, content):
    """Return the error for a run folder in which one file has other contents, or else its name."""
    path = folder.path / name
    valid = path.read_bytes()
    path.write_bytes(content)
    try:
        folder.failures()
        folder.read_results_file()
        read_report_data(folder)
    except errors.RunFolderError as error:
        return str(error)
    finally:
        path.write_bytes(valid)
    return name


@given(st.data(), st.sampled_from(NAMES))
def test_damaged_bytes_of_a_file(run, choices, name):
    content = choices.draw(damaged([(run.path / name).read_bytes()]))
    said = read_or_explain(run, name, content)
    assert name in said, said


def test_results_of_other_settings_name_the_settings(run):
    """A damaged byte can leave a valid file of settings. The trial may be right then."""
    valid = (run.path / "config.json").read_bytes()
    content = valid.replace(b'"digits"', b'"\x7figits"')
    said = read_or_explain(run, "config.json", content)
    assert "other settings than those in config.json: data is 'digits', not '\\x7figits'" in said
    assert said.endswith(
        "If config.json is right, delete this file, and run the same command again "
        "to train the trial again."
    )


def test_curves_with_hinges_out_of_order_name_their_file(run):
    saved = safetensors.torch.load((run.path / CURVES).read_bytes())
    turned = {n: each.flip(-1) if n.endswith("hinges") else each for n, each in saved.items()}
    said = read_or_explain(run, CURVES, safetensors.torch.save(turned))
    assert f"{CURVES} is not a file of curves: reading it raises ArgumentError. " in said


RECORD = b'{"kind": "models", "format": 1, "made": "", "environment": {}, "cases": []}'


@given(damaged([RECORD, b"\xff", b"[" * 1000]))
def test_damaged_records_of_benchmarks(run, content):
    path = run.path.parent / "record.json"
    path.write_bytes(content)
    with pytest.raises(errors.ArgumentError, match=r"record\.json, which cannot be read"):
        read_benchmark_record(path)
