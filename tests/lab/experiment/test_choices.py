"""The names in the help of the command line are the names that the laboratory knows."""

import pytest

from hinged.curve import START_FUNCTIONS, TAILS
from hinged.lab.data import AUGMENTATIONS, DATA_SETS
from hinged.lab.experiment import choices
from hinged.lab.experiment.setting_list import list_settings
from hinged.lab.networks.activations import ACTIVATIONS, INIT_SAME
from hinged.lab.networks.catalogue import NETWORK_KINDS
from hinged.optim import METHODS

KNOWN = {
    "DATA_SETS": DATA_SETS,
    "NETWORKS": NETWORK_KINDS,
    "ACTIVATIONS": ACTIVATIONS,
    "START_FUNCTIONS": (*START_FUNCTIONS, INIT_SAME),
    "TAILS": TAILS,
    "OPTIMIZERS": ("adamw", "sgd", *METHODS),
    "AUGMENTATIONS": AUGMENTATIONS,
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_names_are_those_of_the_functions(name):
    assert set(vars(choices)[name]) == set(KNOWN[name])


def test_every_table_of_names_is_compared():
    tables = {name for name, value in vars(choices).items() if isinstance(value, dict)}
    assert {name for name in tables if name[0] != "_"} == set(KNOWN)


def test_every_name_has_a_short_meaning():
    meanings = [meaning for name in KNOWN for meaning in vars(choices)[name].values()]
    assert all(0 < len(meaning) <= 70 for meaning in meanings)


@pytest.mark.parametrize("name", ["curves.sharing", "training.trains", "training.precision"])
def test_settings_with_fixed_values_list_them(name):
    setting = list_settings()[name]
    assert setting.default in setting.choices and len(setting.choices) >= 2
