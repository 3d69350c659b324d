import numpy as np
import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors
from tests import oracles
from tests.fewest_hinges import fewest_hinges
from tests.model.networks import Convolutional, assert_unchanged, snapshot

X = torch.randn(200, 3, 8, 8) * 3


def trained(channels=4, hinges=9, noise=0.05, **settings):
    layer = PiecewiseLinear(channels, hinges, **settings)
    with torch.no_grad():
        layer.values += noise * torch.randn_like(layer.values)
    return layer


def change(layer, before, low, high):
    """Return the largest change over an interval, by NumPy in float64."""
    x = torch.linspace(low, high, 4001, dtype=torch.float64)
    x = torch.cat((x, before.hinges.double()))[:, None].expand(-1, before.channels)
    first, second = (
        oracles.per_channel(x, c.hinges.detach(), c.values.detach(), 1, c.tails)
        for c in (before, layer.curve())
    )
    return (first - second).abs().max().item()


@pytest.mark.parametrize("tolerance", [0.0, 0.02, 0.1, 0.5])
@pytest.mark.parametrize("tails", ["linear", "constant"])
def test_the_output_is_within_the_tolerance_one_range_beyond_the_range(tails, tolerance):
    layer = trained(tails=tails)
    before = hinged.copy_curves(layer)[""]
    done = hinged.simplify(layer, tolerance).layers[""]
    gap = change(layer, before, -9, 9)
    assert gap == pytest.approx(done.error, abs=1e-5)
    assert gap <= tolerance + 1e-5
    assert layer.hinges.shape[-1] == done.hinges[1] <= 9
    assert layer.tails == tails


@pytest.mark.parametrize("tolerance", [0.05, 0.2, 0.5])
@pytest.mark.parametrize("seed", range(6))
def test_no_layer_could_have_fewer_hinges(seed, tolerance):
    torch.manual_seed(seed)
    layer = trained(2, 6, noise=0.5, dtype=torch.float64)
    # The bound holds for linear tails up to one range beyond the range: these ends are candidates.
    inner = layer.hinges.numpy()
    wide = np.r_[2 * inner[0] - inner[-1], inner, 2 * inner[-1] - inner[0]]
    values = layer(torch.tensor(wide)[:, None].expand(-1, 2)).T.detach().numpy()
    done = hinged.simplify(layer, tolerance).layers[""]
    fewest = max(fewest_hinges(wide, row, tolerance) for row in values)
    assert done.hinges == (6, min(fewest, 6))


def test_with_data_the_mean_square_over_the_inputs_is_bounded():
    model = Convolutional().eval()
    with torch.no_grad():
        for module in (model.first, model.second):
            module.values += 0.1 * torch.randn_like(module.values)
    calls = {}
    for name in ("first", "second"):
        getattr(model, name).register_forward_hook(
            lambda _, args, y, name=name: calls.setdefault(name, []).append((args[0], y))
        )
    before = hinged.copy_curves(model)
    model(X)
    done = hinged.simplify(model, 0.08, X)
    assert done.measure == "rms" and "rms error" in str(done)
    for name, dim in (("first", 1), ("second", -1)):
        layer, inputs = getattr(model, name), calls[name][0][0]
        assert layer.hinges.shape[-1] < 9
        gap = layer(inputs) - before[name](inputs, dim=dim)
        rms = gap.movedim(dim, 0).flatten(1).square().mean(dim=1).sqrt()
        # The library knows the distribution by the bins of a histogram only.
        assert rms.max().item() == pytest.approx(done.layers[name].error, rel=0.05)
        assert done.layers[name].error <= 0.08 + 1e-6
    assert done.layers["spare"].reason == "no data reached it"


def test_hinges_without_inputs_are_dropped():
    layer = trained()
    bound = hinged.simplify(nn.Sequential(trained()), 1e-3).layers["0"].hinges
    done = hinged.simplify(layer, 1e-3, 1 + torch.rand(500, 4)).layers[""]
    assert done.hinges[1] < bound[1] == 9


def test_a_model_of_relus_remains_equal_bit_for_bit():
    model = Convolutional().eval()
    model.second = PiecewiseLinear(4, dim=-1)
    expected = model(X)
    done = hinged.simplify(model, 0.0)
    assert torch.equal(model(X), expected)
    assert [layer.hinges for layer in done.layers.values()] == [(9, 3)] * 3
    # The hinges are uniform and shared by all channels; the ends of the range stay.
    assert model.first.hinges.tolist() == [-3, 0, 3]
    assert model.first._spacing.is_uniform(model.first.hinges)
    assert done.parameters == (99, 33)


def test_channels_share_a_row_of_hinges_only_where_all_need_the_same():
    layer = PiecewiseLinear(3, hinges=torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]), init="identity")
    with torch.no_grad():
        layer.values[1] = layer.hinges.relu()
    hinged.simplify(layer, 0.0)
    assert layer.hinges.tolist() == [-3, 0, 3]
    layer = PiecewiseLinear(2, hinges=torch.tensor([-3.0, -1.0, 0.0, 1.0, 3.0]))
    with torch.no_grad():
        layer.values[1] = (layer.hinges - 1).relu()
    hinged.simplify(layer, 0.0)
    assert layer.hinges.tolist() == [[-3, 0, 3], [-3, 1, 3]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_everything_else_of_a_layer_is_kept(dtype):
    layer, calls = PiecewiseLinear(4, dim=-1, dtype=dtype).eval(), []
    layer.register_forward_hook(lambda *_: calls.append(1))
    layer.values.requires_grad_(False)
    model = nn.ModuleList([layer, nn.Sequential(layer)])
    hinged.simplify(model, 0.01)
    assert model[0] is model[1][0] is layer
    assert layer.values.shape == (4, 3) and layer.values.dtype == layer.hinges.dtype == dtype
    assert not layer.values.requires_grad and not layer.training and layer.dim == -1
    x = torch.randn(5, 7, 4, dtype=dtype)
    assert torch.equal(layer(x), x.relu()) and calls == [1]


def test_a_simplified_layer_is_saved_loaded_and_trained():
    layer = trained()
    hinged.simplify(layer, 0.2)
    other = PiecewiseLinear(4, layer.hinges.shape[-1])
    other.load_state_dict(layer.state_dict())
    x = torch.randn(50, 4)
    assert torch.equal(other(x), layer(x))
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    before = layer.values.clone()
    layer(x).square().mean().backward()
    optimiser.step()
    assert not torch.equal(layer.values, before)


def test_unchanged_layers_have_a_reason():
    layers = {name: trained() for name in ("needed", "held", "parametrised", "lost", "meta")}
    hinged.constrain(layers["held"], lipschitz=100.0)
    torch.nn.utils.parametrize.register_parametrization(
        layers["parametrised"], "values", nn.Identity()
    )
    with torch.no_grad():
        layers["lost"].values[0, 0] = float("nan")
    layers["meta"].to("meta")
    values = layers["needed"].values
    done = hinged.simplify(nn.ModuleDict(layers), 0.0)
    reasons = {name: layer.reason for name, layer in done.layers.items()}
    assert reasons == {
        "needed": "it needs all its hinges",
        "held": "it has a constraint; hinged.constrain(model) removes the constraint",
        "parametrised": "its values have a parametrization of torch",
        "lost": "it holds NaN or infinity",
        "meta": "it is on the meta device",
    }
    assert layers["needed"].values is values and layers["needed"].hinges.shape == (9,)
    assert str(done).splitlines()[2] == "    it needs all its hinges"
    assert str(done).splitlines()[-1] == "parameters: 180 before, 180 after (100%)"


@pytest.mark.parametrize("verb", [hinged.simplify, hinged.share, hinged.to_native])
def test_refusals_change_nothing(verb):
    model, plain = Convolutional(), nn.Linear(2, 2)
    before = snapshot(model)
    for tolerance in (-1, float("nan"), "0.1", None):
        with pytest.raises(errors.ArgumentError, match=r"tolerance=\.\.\.\)`: got .* 0 or more"):
            verb(model, tolerance)
    with pytest.raises(errors.ArgumentError, match="a Linear without curves"):
        verb(plain, 0.1)
    if verb is not hinged.share:
        with pytest.raises(errors.ArgumentError, match="got no batches"):
            verb(model, 0.1, [])
    assert_unchanged(model, before)
