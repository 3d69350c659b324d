import itertools

import numpy as np
import pytest
import torch
import torch.multiprocessing
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors
from hinged.curve import is_uniform
from hinged.curve.placement.place_hinges import METHODS
from tests.model.networks import Convolutional, snapshot
from tests.processes import in_two_processes

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
    assert model.first._spacing.is_uniform(model.first.hinges)
    assert done.layers["first"].after != done.layers["first"].before


@pytest.mark.parametrize("hinges", [None, 7])
def test_curves_calibrated_in_inference_mode_can_be_trained(hinges):
    model = Convolutional()
    with torch.inference_mode():
        hinged.calibrate(model, X, hinges=hinges)
    model(X).sum().backward()
    assert model.first.values.grad.any()


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
    model = nn.Sequential(PiecewiseLinear(2))
    nn.utils.parametrize.register_parametrization(model[0], "values", nn.Identity())
    done = hinged.calibrate(model, torch.randn(5, 2))
    assert done.layers["0"].reason == "its values have a parametrization of torch"
    done = hinged.calibrate(nn.Sequential(PiecewiseLinear(2)), torch.ones(5, 2))
    assert done.layers["0"].reason == "all its inputs are equal"
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
    assert lines[-2].startswith("spare") and lines[-1] == "    no data reached it"


@pytest.mark.parametrize("spread", [0.0, -1.0, float("inf"), float("nan")])
def test_a_spread_must_be_positive(spread):
    with pytest.raises(errors.ArgumentError, match=r"spread=\.\.\.\)`: got .* positive number"):
        hinged.calibrate(Convolutional(), X, spread=spread)


def trained(channels=3, **how):
    layer = PiecewiseLinear(channels, **how)
    with torch.no_grad():
        layer.values += torch.randn_like(layer.values)
    return layer


def numpys(layer, x):
    """What numpy makes of a layer with linear tails, channel by channel, in float64."""
    values, x = layer.values.detach().double().numpy(), x.double().numpy()
    hinges = np.broadcast_to(layer.hinges.double().numpy(), values.shape)
    columns = []
    for h, v, column in zip(hinges, values, x.T, strict=True):
        left, right = (v[1] - v[0]) / (h[1] - h[0]), (v[-1] - v[-2]) / (h[-1] - h[-2])
        y = np.interp(column, h, v)
        y += left * np.minimum(column - h[0], 0) + right * np.maximum(column - h[-1], 0)
        columns.append(y)
    return np.stack(columns, axis=1)


def test_coverage_leaves_out_the_tails():
    act = PiecewiseLinear(3, init="identity")
    x = torch.distributions.Exponential(1.0).sample((20_000, 3))
    done = hinged.calibrate(act, x, coverage=0.9).layers[""]
    bin_width = 2.0 ** np.ceil(np.log2(x.max().item() / 256))
    np.testing.assert_allclose(done.after, np.quantile(x.numpy(), [0.05, 0.95]), atol=bin_width)
    outside = ((x < done.after[0]) | (x >= done.after[1])).double().mean()
    assert outside.item() == pytest.approx(0.1, abs=0.01)


def test_hinges_of_each_channel_follow_its_own_inputs():
    rows = torch.tensor([-1.0, 0, 1]) * torch.tensor([[1.0], [2], [4]])
    act = PiecewiseLinear(3, hinges=rows)
    x = torch.randn(4000, 3) * torch.tensor([0.1, 10.0, 0.0]) + torch.tensor([0.0, 5.0, 2.0])
    done = hinged.calibrate(act, x).layers[""]
    assert done.reason == "" and torch.equal(act(x), x.relu())
    mean, std = x.mean(dim=0), x.std(dim=0, correction=0)
    low, high = act.hinges[:2, 0], act.hinges[:2, -1]
    assert (low <= (mean - 2.999 * std)[:2]).all() and (high >= (mean + 2.999 * std)[:2]).all()
    # The kink in the middle of three: as far to the other side.
    assert (high <= 1.001 * (mean.abs() + 3 * std)[:2]).all()
    assert act.hinges[2].tolist() == [-4, 0, 4]


def test_sharing_sets_the_rows_of_hinges():
    x = torch.randn(2000, 3) * torch.tensor([0.1, 1.0, 10.0])
    act = trained()
    hinged.calibrate(act, x, sharing="channel")
    assert act.hinges.shape == (3, 9)
    hinged.calibrate(act, x)
    assert act.hinges.shape == (3, 9)
    hinged.calibrate(act, x, sharing="layer")
    assert act.hinges.shape == (9,) and act.values.shape == (3, 9)


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_the_search_changes_a_curve_least(tails, own):
    x = torch.cat((torch.randn(3000, 3), 0.2 * torch.randn(1000, 3) + 2)) * 1.5
    rms = {}
    for method in METHODS:
        torch.manual_seed(1)
        act = trained(tails=tails)
        done = hinged.calibrate(
            act, x, placement=method, sharing="channel" if own else "layer"
        ).layers[""]
        rms[method] = done.rms
        assert done.before != done.after and act.hinges.dim() == 1 + own
        covered = x.mean().item() - 2.999 * x.std().item()
        assert own or act.hinges.min() <= covered
    assert rms["search"] <= min(rms.values()) * 1.000001
    assert rms["search"] < 0.9 * rms["uniform"]


@pytest.mark.parametrize("seed", range(4))
def test_the_search_changes_a_layer_no_more_than_the_best_of_all_choices(seed):
    torch.manual_seed(seed)
    act, x = trained(2, hinges=7), 1.5 * torch.randn(2000, 2)
    expected = numpys(act, x)
    done = hinged.calibrate(act, x, hinges=5, placement="search").layers[""]
    other, best = PiecewiseLinear(2, hinges=5), np.inf
    torch.manual_seed(seed)
    before = trained(2, hinges=7)
    for inner in itertools.combinations(np.linspace(*done.after, 17)[1:-1], 3):
        hinges = torch.tensor([done.after[0], *inner, done.after[1]], dtype=torch.float64)
        other.hinges = hinges
        heights = numpys(before, hinges[:, None].expand(-1, 2)).T
        other.values = nn.Parameter(torch.tensor(heights))
        best = min(best, np.sqrt(((numpys(other, x) - expected) ** 2).mean()))
    # The distribution is known by bins.
    assert done.rms <= 1.01 * best


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["relu", "abs", "leaky_relu", "relu6", "hardtanh"])
def test_kinks_stay_on_hinges(name, method):
    act = PiecewiseLinear(4, init=name)
    x = 5 + 7 * torch.randn(2000, 4)
    before = act(x).detach()
    hinged.calibrate(act, x, placement=method)
    torch.testing.assert_close(act(x).detach(), before, atol=1e-5, rtol=1e-6)
    kinks = hinged.curve.resolve_start(name).kinks
    assert all((act.hinges == kink).any() for kink in kinks)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("own", [False, True])
def test_more_hinges_do_not_change_a_trained_curve(method, own):
    act = trained()
    x = torch.randn(3000, 3) * 4
    expected = numpys(act, x)
    done = hinged.calibrate(
        act, x, hinges=17, placement=method, sharing="channel" if own else "layer"
    ).layers[""]
    assert done.added == 8 and act.values.shape == (3, 17)
    size = np.abs(expected).max()
    # Slopes and intercepts of float32 values: a few units in the last place of what they cancel.
    np.testing.assert_allclose(numpys(act, x), expected, atol=3e-6 * size, rtol=0)
    assert done.error < 3e-6 * size and done.after[0] < done.before[0]


def test_more_uniform_hinges_for_a_relu_stay_uniform():
    act = PiecewiseLinear(3)
    x = torch.randn(500, 3) * 20
    hinged.calibrate(act, x, hinges=33)
    assert is_uniform(act.hinges) and len(act.hinges) == 33
    assert act._spacing.is_uniform(act.hinges) and torch.equal(act(x), x.relu())


def test_fewer_hinges_change_the_curve_by_what_is_reported():
    act = trained()
    x = torch.randn(5000, 3)
    expected = numpys(act, x)
    done = hinged.calibrate(act, x, hinges=5, placement="search").layers[""]
    gap = np.abs(numpys(act, x) - expected)
    assert done.added == -4 and done.error > 0.01
    assert gap.max() == pytest.approx(done.error, rel=0.05)
    assert np.sqrt((gap**2).mean()) == pytest.approx(done.rms, rel=0.05)


def test_optimisers_train_new_parameters_in_place_of_the_old():
    model = nn.Sequential(nn.Linear(3, 4), PiecewiseLinear(4), nn.Linear(4, 1))
    optimiser = torch.optim.Adam(hinged.param_groups(model, 0.1))
    x = torch.randn(50, 3)
    model(x).sum().backward()
    optimiser.step()
    old, weights = model[1].values, optimiser.state[model[0].weight]
    done = hinged.calibrate(model, x, hinges=12, optimizers=optimiser)
    assert done.stale == () and optimiser.param_groups[1]["params"] == [model[1].values]
    assert old not in optimiser.state and optimiser.state[model[0].weight] is weights
    before = model[1].values.detach().clone()
    optimiser.zero_grad()
    model(x).sum().backward()
    optimiser.step()
    assert not torch.equal(model[1].values, before)
    done = hinged.calibrate(model, x, hinges=9)
    assert done.stale == ("1",)
    assert str(done).splitlines()[1].endswith("-3 hinges")
    assert str(done).splitlines()[-1].startswith("The parameters of 1 are new: create new")


def test_a_constraint_is_kept():
    model = nn.Sequential(PiecewiseLinear(3, hinges=5))
    hinged.constrain(model, convex=True)
    x = torch.randn(500, 3)
    for count in (7, 4):
        hinged.calibrate(model, x * 3, hinges=count)
        slopes = model[0].values.diff() / model[0].hinges.diff()
        assert (slopes.diff() >= 0).all()


def _calibrate(rank, folder):
    model = torch.load(f"{folder}/model.pt", weights_only=False)
    # The second process has less, and does not reach one layer.
    x = torch.load(f"{folder}/x.pt")[:300] if rank == 0 else torch.load(f"{folder}/x.pt")[300:]
    model.rank = rank
    hinged.calibrate(model, list(x.split(64)), coverage=0.98, placement="search", hinges=7)
    torch.save(model.state_dict(), f"{folder}/coverage{rank}.pt")
    hinged.calibrate(model, x)
    torch.save(model.state_dict(), f"{folder}/spread{rank}.pt")


class Skipping(nn.Module):
    """Two layers, of which the second is reached in the first process alone."""

    rank = 0

    def __init__(self):
        super().__init__()
        self.first, self.second = trained(3), trained(3)

    def forward(self, x):
        return self.second(self.first(x)) if self.rank == 0 else self.first(x)


@pytest.mark.slow
def test_two_processes_calibrate_as_one_would_over_all_data(tmp_path):
    torch.manual_seed(0)
    model = Skipping()
    x = torch.randn(500, 3) * 2 + torch.linspace(-3, 3, 500)[:, None]
    torch.save(model, tmp_path / "model.pt")
    torch.save(x, tmp_path / "x.pt")
    in_two_processes(_calibrate, tmp_path)
    hinged.calibrate(model.first, x, coverage=0.98, placement="search", hinges=7)
    for kind in ("coverage", "spread"):
        if kind == "spread":
            hinged.calibrate(model.first, x)
        first, second = (torch.load(tmp_path / f"{kind}{rank}.pt") for rank in range(2))
        assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())
        assert first["second.hinges"][0] != -3
        torch.testing.assert_close(first["first.hinges"], model.first.hinges, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(
            first["first.values"], model.first.values.detach(), atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize(
    "how, said",
    [
        ({"coverage": 0.0}, r"coverage=\.\.\.\)`: got 0.0; expected a fraction"),
        ({"coverage": 1.5}, "expected a fraction"),
        ({"hinges": 1}, r"hinges=\.\.\.\)`: got 1; expected a whole number of hinges"),
        ({"hinges": 2.5}, "expected a whole number of hinges"),
        ({"placement": "quantiles"}, "did you mean 'quantile'"),
    ],
)
def test_refusals(how, said):
    with pytest.raises(errors.ArgumentError, match=said):
        hinged.calibrate(Convolutional(), X, **how)


def test_a_channel_that_hardly_varies_keeps_its_range():
    x = torch.randn(256, 3) * torch.tensor([1.0, 1e-6, 2.0])
    act = PiecewiseLinear(3, hinges=9)
    hinged.calibrate(act, x, sharing="channel")
    width = act.hinges[:, -1] - act.hinges[:, 0]
    assert width[1] == 6 and torch.equal(act(x), x.relu())
    assert width[0] < 8 < width[2]
