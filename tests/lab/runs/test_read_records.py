"""Files of a run folder that are damaged, lost, or belong to another trial."""

import json
import shutil

import pytest

from hinged import errors
from hinged.lab.experiment.schema import Trial
from hinged.lab.reporting.report_data import read_report_data
from hinged.lab.runs.compare import compare
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.run_folder import RunFolder
from tests.lab.helpers import make_failure

CURVES = Trial(activation="hinged", seed=0)


@pytest.fixture
def run(finished, tmp_path):
    """A copy of a finished comparison, which the test may damage."""
    shutil.copytree(finished.path, tmp_path / "run")
    return RunFolder(tmp_path / "run")


def change(path, **settings):
    found = json.loads(path.read_text())
    found.update(settings)
    path.write_text(json.dumps(found))


def test_a_record_copied_over_that_of_another_trial_is_refused(run):
    trials = run.path / "trials"
    shutil.copy(trials / "hinged-seed1.json", trials / "relu-seed0.json")
    with pytest.raises(errors.RunFolderError) as said:
        run.results()
    assert "relu-seed0.json is the result of hinged with seed 1, and not" in str(said.value)
    assert "Delete this file, and run the same command again" in str(said.value)


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [("training", "epochs", 77), ("training", "lr", 0.5), ("network", "width", 99)],
)
def test_a_record_of_other_settings_is_refused(run, section, name, value):
    path = run.path / "trials" / "hinged-seed0.json"
    settings = json.loads(path.read_text())["experiment"]
    settings[section][name] = value
    change(path, experiment=settings)
    with pytest.raises(errors.RunFolderError, match=rf"{section}\.{name} is {value}, not"):
        run.results()


def test_a_record_of_an_earlier_version_lacks_new_settings(run):
    path = run.path / "trials" / "hinged-seed0.json"
    settings = json.loads(path.read_text())["experiment"]
    del settings["training"]["smoothing"]
    change(path, experiment=settings)
    assert len(run.results()) == len(run.experiment.trials)


def test_a_record_without_losses_is_refused(run):
    change(run.path / "trials" / "relu-seed0.json", loss=[])
    with pytest.raises(errors.RunFolderError, match="a result without losses"):
        run.results()


def test_lost_curves_are_said_and_can_be_redone(run):
    before = run.curves_path(CURVES).read_bytes()
    run.curves_path(CURVES).unlink()
    (said,) = [text for text in read_report_data(run).table.warnings if "missing" in text]
    assert "curves of seeds 0 are missing" in said and "trials/hinged-seed0.json" in said
    (run.path / "trials" / "hinged-seed0.json").unlink()
    compare(run.experiment, run, ProgressListener())
    assert run.curves_path(CURVES).read_bytes() == before
    assert not [text for text in read_report_data(run).table.warnings if "missing" in text]


def read_everything(run):
    run.failures()
    run.read_results_file()
    read_report_data(run)


NONSENSE = [b"", b"\xff\xfe\x00", b"{", b"[1]", b"\x08" + 7 * b"\0" + b"{}      ", b"[" * 100000]


@pytest.mark.parametrize("content", NONSENSE, ids=range(len(NONSENSE)))
@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "trials/relu-seed0.json",
        "failed/relu-seed0.json",
        "results.jsonl",
        "curves/hinged-seed0.safetensors",
        "predictions/relu-seed0.safetensors",
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(run, name, content):
    run.save_failure(Trial(activation="relu", seed=0), make_failure())
    (run.path / name).write_bytes(content)
    empty_is_valid = {b"": ["results.jsonl"], NONSENSE[4]: ["curves/hinged-seed0.safetensors"]}
    if name in empty_is_valid.get(content, ()):
        pytest.skip("the file is valid")
    with pytest.raises(errors.RunFolderError, match=f"{name}.*(Delete|Choose)"):
        read_everything(run)
