import json

import pytest
import torch

from hinged import errors
from hinged.model.conversion.conversion_check import check_conversion
from tests.cli.run_command import run

SOURCE = """
import torch
from torch import nn
import torch.nn.functional as F

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.act, self.gate = nn.Conv2d(3, 5, 3), nn.GELU(), nn.Sigmoid()
        self.head = nn.Linear(5, 2)
    def forward(self, x):
        x = self.act(self.conv(x))
        x = F.relu(x * self.gate(x.mean(dim=(2, 3), keepdim=True)))
        return self.head(x.mean(dim=(2, 3)))

def make():
    return Network()

def make_both(size=8):
    return Network(), (torch.randn(4, 3, size, size), torch.zeros(4))

def needs(size):
    return Network()

def nothing():
    return None

def relus():
    return nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 2), nn.LeakyReLU())

def linear():
    return nn.Linear(3, 2)
"""


@pytest.fixture
def mine(tmp_path):
    (tmp_path / "mine.py").write_text(SOURCE)
    return tmp_path / "mine.py"


@pytest.mark.parametrize(("name", "shape"), [("make", "3, 8, 8"), ("make_both", None)])
def test_every_site_is_listed_with_the_reason_if_it_is_skipped(mine, name, shape):
    found = check_conversion(f"{mine}:{name}", shape)
    was = [(site.activation, site.channels, site.axis, site.skipped) for site in found.sites]
    gate = "a gate: its output is multiplied by another tensor (gates=True converts it)"
    assert was == [
        ("GELU(approximate='none')", 5, 1, ""),
        ("Sigmoid()", 5, 1, gate),
        ("ReLU()", 5, 1, ""),
    ]
    assert (found.curves, found.values) == (10, 90)
    assert found.parameters == (3 * 9 + 1) * 5 + (5 + 1) * 2
    table = str(found)
    assert "not converted: a gate" in table
    assert "Network: 2 of 3 sites would be converted, to 10 curves with 90 values" in table
    error = found.sites[0].error
    assert error > 0 and found.sites[0].note == "closest fit"
    assert table.endswith(f"\nExact starts: 1. Closest fits: 1, with errors of up to {error:.1e}.")


def test_a_network_of_piecewise_linear_activations_is_said_to_start_exactly(mine):
    table = str(check_conversion(f"{mine}:relus", "3"))
    assert table.endswith("\nExact starts: 2. Closest fits: 0.")


def test_a_network_without_activations(mine):
    assert str(check_conversion(f"{mine}:linear", "3")) == "Linear applies no activation."


def test_the_random_state_does_not_change(mine):
    before = torch.get_rng_state()
    check_conversion(f"{mine}:make_both")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("function", "shape", "message"),
    [
        (":make", None, "returns no batch, and no --input-shape; return (model, batch)"),
        (":make_both", "3,8,8", "returns a batch, and also --input-shape; leave out"),
        (":make", "3,x", "`--input-shape`: got '3,x'; expected the shape of one sample"),
        (":make", "3,0,8", "`--input-shape`: got '3,0,8'; expected"),
        (":make", "", "`--input-shape`: got ''; expected"),
        (":make", "4,8,8", "a network of class Network that raises RuntimeError: Given groups=1"),
        (":needs", "3,8,8", "got a function that needs the argument size; the command calls i"),
        (":nothing", "3,8,8", "a function that returns an object of class NoneType; return an"),
        (":mkae", "3,8,8", "does not define; this file defines Network, make, make_both"),
        ("", "3,8,8", "add the name of a function in this file"),
    ],
)
def test_an_error_is_one_sentence(mine, function, shape, message):
    with pytest.raises(errors.ArgumentError) as refused:
        check_conversion(f"{mine}{function}", shape)
    assert message in str(refused.value) and "\n" not in str(refused.value)


def test_a_text_without_a_file_is_rejected():
    with pytest.raises(
        errors.ArgumentError, match=r"got resnet18; give a file and a function in it"
    ):
        check_conversion("resnet18", "3,8,8")


def test_the_command_prints_a_table_or_json(mine):
    command = ["convert-check", f"{mine}:make", "--input-shape", "3,8,8"]
    printed = run(*command)
    assert printed.exit_code == 0 and "2 of 3 sites would be converted" in printed.stdout
    figures = json.loads(run(*command, "--json").stdout)
    assert (figures["converted"], figures["skipped"], figures["curves"]) == (2, 1, 10)
    names = [site["name"] for site in figures["sites"]]
    assert names == ["act", "gate", "hinged.relu_1"]
    low, high = figures["sites"][0]["range"]
    assert low < 0 < high


def test_activations_that_are_not_reached_are_shown(tmp_path):
    path = tmp_path / "nets.py"
    path.write_text(
        "import torch\nfrom torch import nn\n"
        "def make():\n    return nn.Sequential(nn.LSTM(4, 2)), torch.ones(3, 4)\n"
    )
    check = check_conversion(f"{path}:make")
    assert "applies no activation" in str(check) and "LSTM(4, 2)" in str(check)
    (listed,) = json.loads(json.dumps(check.as_json()))["unreached"]
    assert listed["name"] == "0" and listed["calls"] == 0
