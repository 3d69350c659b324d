import json

import pytest

from hinged.lab.data import DATA_SETS
from hinged.lab.experiment.setting_list import list_settings
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.networks.catalogue import NETWORK_KINDS
from tests.cli.run_command import error_of, run


@pytest.fixture(autouse=True)
def narrow(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")


def test_all_settings_are_listed_and_nothing_is_cut_off():
    lines = run("settings").output.splitlines()
    first = [line.split()[0] for line in lines if line.strip()]
    assert [name for name in list_settings() if name not in first] == []
    assert max(map(len, lines)) <= 80 and "…" not in "".join(lines)


def test_json_has_every_setting_with_default_meaning_and_option():
    found = {each["name"]: each for each in json.loads(run("settings", "--json").output)}
    assert found.keys() == list_settings().keys()
    assert found["training.lr"]["default"] == 0.006 and found["training.lr"]["option"] == "--lr"
    assert found["training.calibrate_after"]["option"] is None
    assert "frozen" in found["training.calibrate_after"]["meaning"]


@pytest.mark.parametrize(
    ("name", "known"), [("data", DATA_SETS), ("model", NETWORK_KINDS), ("activations", ACTIVATIONS)]
)
def test_a_setting_is_explained_with_all_its_names(name, known):
    output = run("settings", name).output
    assert [each for each in known if f" {each} " not in output] == []


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("network.kind", "network.kind"),
        ("model", "network.kind"),
        ("kind", "network.kind"),
        ("calibrate_after", "training.calibrate_after"),
        ("batch-size", "training.batch_size"),
        ("batch_size", "training.batch_size"),
        ("folds", "folds"),
    ],
)
def test_a_setting_is_found_by_its_name_its_end_or_its_option(name, setting):
    [found] = json.loads(run("settings", name, "--json").output)
    assert found["name"] == setting


def test_a_section_lists_its_settings():
    found = [each["name"] for each in json.loads(run("settings", "curves", "--json").output)]
    assert found == [name for name in list_settings() if name.startswith("curves.")]


def test_an_unknown_name_gets_the_nearest(capsys):
    error = error_of(capsys, "settings", "modle")
    assert "`hinged settings`: got 'modle'; did you mean 'model'" in error
    assert error.count("\n") == 1
