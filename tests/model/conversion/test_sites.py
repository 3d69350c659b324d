import pytest
import torch
from torch import nn

import hinged
from hinged import errors
from tests.model.conversion.example_networks import Gated

MAPS, ROWS = torch.randn(8, 3, 5, 5), torch.randn(8, 4)


def test_sites_print_as_a_table():
    table = str(hinged.sites(Gated(), MAPS))
    assert table.splitlines()[0].split()[:4] == ["site", "was", "channels", "axis"]
    assert "not converted: a gate" in table


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(), nn.Identity()])
def test_outputs_of_exact_starts_are_said_to_be_unchanged(activation):
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), activation)
    before = model(ROWS)
    sites = hinged.sites(hinged.convert(model, ROWS))
    assert torch.equal(model(ROWS), before)
    assert sites.notes == (
        "The conversion left the outputs of the first batch unchanged, bit for bit.",
    )
    assert all(site.error == 0 and "closest fit" not in site.note for site in sites)


def test_outputs_of_closest_fits_are_said_to_differ_and_why():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.GELU(), nn.SiLU())
    before = model(ROWS)
    sites = hinged.sites(hinged.convert(model, ROWS))
    assert [site.note for site in sites] == ["", "closest fit", "closest fit"]
    difference = (model(ROWS) - before).abs().max().item()
    (note,) = sites.notes
    assert note.startswith(
        f"The conversion changed the outputs of the first batch by at most {difference:.1e} ("
    )
    assert note.endswith(
        "GELU and SiLU have no exact curve, so the closest curve with 9 hinges was taken. More "
        "hinges bring it closer."
    )
    assert "same function" not in str(sites)


def test_rounding_and_constant_tails_are_named_as_reasons():
    slopes = nn.Sequential(nn.Linear(4, 4, bias=False), nn.LeakyReLU(0.3))
    note = hinged.sites(hinged.convert(slopes, 1e3 * torch.randn(999, 4))).notes[-1]
    assert "unchanged" in note or note.endswith("equal the activations except for rounding.")
    flat = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with pytest.warns(errors.ChangedOutputsWarning, match="constant tails differ"):
        hinged.convert(flat, ROWS, tails="constant", spread=0.5)
    note = hinged.sites(flat).notes[-1]
    assert note.endswith(
        "constant tails differ from the activations outside the range of the hinges."
    )


class TwoBlocks(nn.Module):
    """Two equal blocks, each with a module and a function as activations."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.act = nn.Linear(4, 4), nn.ReLU()

        def forward(self, x):
            return torch.tanh(self.linear(self.act(x))) + torch.relu(x)

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = self.Block(), self.Block(), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(self.second(self.first(x)))


def test_sites_of_a_reverted_submodule_are_listed_as_reverted():
    model = hinged.convert(TwoBlocks(), ROWS)
    assert len(hinged.sites(model).converted) == 6
    hinged.revert(model.second)
    for found in (hinged.sites(model), hinged.sites(model, ROWS)):
        assert {site.name.split(".")[0] for site in found.converted} == {"first"}
        assert {site.skipped for site in found.skipped} == {"reverted"}
        assert {site.hinges for site in found.skipped} == {0} and len(found) == 6


def test_sites_that_became_native_again_are_not_listed_as_reverted():
    model = hinged.convert(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), ROWS)
    hinged.to_native(model, tolerance=0.1)
    (site,) = hinged.sites(model)
    assert site.note == "now ReLU()" and not site.skipped
