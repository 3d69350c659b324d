import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors
from tests.model.networks import Convolutional, snapshot

X = torch.randn(200, 3, 8, 8) * 5


def test_the_range_is_where_the_inputs_are():
    model = nn.Sequential(PiecewiseLinear(3))
    x = 10 + 4 * torch.randn(2000, 3)
    done = hinged.calibrate(model, list(x.split(300)), spread=2.0).layers["0"]
    low, high = done.after
    mean, std = x.mean().item(), x.std(correction=0).item()
    assert low <= mean - 2 * std and high >= mean + 2 * std
    # The kink at 0 is kept, with one hinge beyond it: seven steps reach from 0 to the far end.
    assert high - low <= (mean + 2 * std) * 8 / 7 * 1.001
    outside = ((x < -3) | (x >= 3)).double().mean().item()
    assert done.before == (-3, 3) and done.outside_before == pytest.approx(outside)


def test_a_relu_stays_one_bit_for_bit_and_the_optimisers_parameters_stay():
    model = Convolutional().eval()
    model.second = PiecewiseLinear(4, dim=-1)
    values = model.first.values
    expected = model(X)
    done = hinged.calibrate(model, X)
    assert torch.equal(model(X), expected)
    assert [moved.error for moved in done.layers.values()] == [0, 0, 0]
    assert model.first.values is values
    assert model.first._uniform_hinges is model.first.hinges
    assert done.layers["first"].after != done.layers["first"].before


def test_only_the_curves_change():
    model = Convolutional()
    state, flags, random = snapshot(model)
    hinged.calibrate(model, X)
    changed = {n for n, tensor in model.state_dict().items() if not torch.equal(tensor, state[n])}
    assert changed == {"first.hinges", "first.values", "second.hinges", "second.values"}
    assert [module.training for module in model.modules()] == flags
    assert torch.equal(torch.get_rng_state(), random)


def test_a_trained_curve_changes_by_what_is_reported():
    act = PiecewiseLinear(4)
    with torch.no_grad():
        act.values += torch.randn(4, 9)
    x = torch.randn(5000, 4) * 2
    before = act(x).detach()
    done = hinged.calibrate(act, x).layers[""]
    gap = (act(x).detach() - before).abs()
    # The distribution is known by bins, of which there are hundreds, not by its every number.
    assert gap.max().item() == pytest.approx(done.error, rel=0.05)
    assert gap.square().mean().sqrt().item() == pytest.approx(done.rms, rel=0.05)
    assert done.error > 0.01


@pytest.mark.parametrize("tails", ["constant", "free"])
def test_other_tails(tails):
    act = PiecewiseLinear(2, tails=tails)
    x = torch.randn(500, 2)
    before = act(x)
    done = hinged.calibrate(act, x, spread=5.0).layers[""]
    assert act.tails == tails
    assert (act(x) - before).abs().max().item() == pytest.approx(done.error, abs=1e-6)


def test_layers_that_are_left_alone_are_reported():
    model = nn.Sequential(PiecewiseLinear(2, hinges=torch.tensor([[-1.0, 0, 1], [-2, 0, 2]])))
    assert hinged.calibrate(model, torch.randn(5, 2)).layers["0"].reason.startswith("its channels")
    done = hinged.calibrate(nn.Sequential(PiecewiseLinear(2)), torch.ones(5, 2))
    assert done.layers["0"].reason == "its inputs are all the same"
    done = hinged.calibrate(Convolutional(), X)
    assert done.layers["spare"].reason == "no data reached it"
    lines = str(done).splitlines()
    assert lines[0].split() == [
        "layer",
        "range",
        "before",
        "range",
        "after",
        "outside",
        "before",
        "rms",
        "largest",
    ]
    assert lines[-1].startswith("spare") and lines[-1].endswith("no data reached it")


@pytest.mark.parametrize("spread", [0.0, -1.0, float("inf"), float("nan")])
def test_a_spread_must_be_positive(spread):
    with pytest.raises(errors.ArgumentError, match=r"spread=\.\.\.\)`: got .* positive number"):
        hinged.calibrate(Convolutional(), X, spread=spread)
