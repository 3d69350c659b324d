import copy
import io

import pytest
import torch
from torch import nn

import hinged
from hinged import errors
from hinged.model.conversion.splice_calls import Rewritten
from tests.model.activated import (
    Aliased,
    Called,
    Elsewhere,
    Functional,
    Gated,
    Looped,
    Named,
    OneForAll,
    OnlyInTraining,
    Reparametrised,
    Swish,
)

MAPS, ROWS = torch.randn(8, 3, 5, 5), torch.randn(8, 4)
EXACT = [
    (lambda: OneForAll(), MAPS),
    (lambda: OneForAll(inplace=False), MAPS),
    (lambda: Looped(), ROWS),
    (lambda: Aliased(), ROWS),
    (lambda: Named(), ROWS[:, :3]),
    (lambda: Elsewhere(), ROWS[:, :3]),
    (lambda: Reparametrised(), ROWS[:, :3]),
    (lambda: nn.Sequential(nn.Linear(4, 4), nn.PReLU(4), nn.ReLU6(), nn.Hardtanh(-2, 2)), ROWS),
]
SMOOTH = [(lambda: Functional(), MAPS), (lambda: Called(), ROWS), (lambda: Gated(), MAPS)]


def outputs(model, x):
    with torch.no_grad():
        result = model(x)
    return result if isinstance(result, tuple) else (result,)


def close(one, other, tolerance=0.0):
    return all(
        (a - b).abs().max() <= tolerance * a.abs().max() for a, b in zip(one, other, strict=True)
    )


def layers(model):
    return [m for m in model.modules() if isinstance(m, hinged.PiecewiseLinear)]


def described(model):
    return [(site.name, site.activation, site.channels) for site in hinged.sites(model).converted]


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("make, x", EXACT)
def test_piecewise_linear_activations_start_as_the_same_function(make, x, train):
    model = make().train(train)
    before, state = outputs(model, x), copy.deepcopy(model.state_dict())
    kind, random = type(model), torch.get_rng_state()
    assert hinged.convert(model, x) is model
    assert close(before, outputs(model, x), 1e-6)
    assert type(model) is kind and model.training is train
    assert torch.equal(torch.get_rng_state(), random)
    kept = model.state_dict()
    replaced = {"1.weight"} if isinstance(model, nn.Sequential) else set()  # PReLU's own
    assert all(torch.equal(kept[key], state[key]) for key in state.keys() - replaced)


@pytest.mark.parametrize("make, x", EXACT + SMOOTH)
def test_revert_gives_back_outputs_and_state_bit_for_bit(make, x):
    model = make()
    before, state = outputs(model.eval(), x), copy.deepcopy(model.state_dict())
    hinged.convert(model, x)
    for layer in layers(model):
        nn.init.normal_(layer.values)
    assert not close(before, outputs(model, x), 1e-3)
    assert hinged.revert(model) is model
    assert close(before, outputs(model, x))
    assert list(model.state_dict()) == list(state) and not layers(model)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    assert "forward" not in vars(model)


@pytest.mark.parametrize("make, x", SMOOTH)
def test_smooth_activations_are_off_by_what_is_reported(make, x):
    model = make().eval()
    before = outputs(model, x)
    hinged.convert(model, x, hinges=65, spread=5.0)
    sites = hinged.sites(model)
    worst = max(site.error for site in sites)
    assert 0 < worst < 0.01
    assert close(before, outputs(model, x), 0.05)
    (note,) = [note for note in sites.notes if "differ by" in note]
    said = float(note.split("differ by ")[1].split(" ")[0])
    (a,), (b,) = before, outputs(model, x)
    assert said == pytest.approx(((a - b).abs().max() / a.abs().max()).item(), rel=0.1)


def test_functions_and_methods():
    model = hinged.convert(Functional().eval(), MAPS)
    assert described(model) == [
        ("hinged.relu_1", "ReLU()", 6),
        ("hinged.relu_2", "ReLU()", 6),
        ("hinged.relu_3", "ReLU()", 6),
        ("hinged.leaky_relu_1", "LeakyReLU(negative_slope=0.2)", 5),
        ("hinged.gelu_1", "GELU(approximate='tanh')", 5),
    ]
    assert [site.axis for site in hinged.sites(model)] == [1, 1, 1, -1, -1]
    assert model.forward.__func__.__doc__ == Functional.forward.__doc__


def test_one_module_at_three_places_becomes_three_curves():
    model = hinged.convert(OneForAll(), MAPS)
    assert described(model) == [
        ("hinged.relu_1", "ReLU()", 4),
        ("hinged.relu_2", "ReLU()", 4),
        ("hinged.relu_3", "ReLU()", 8),
    ]
    assert isinstance(model.relu, nn.ReLU)
    model(MAPS).sum().backward()
    assert all(layer.values.grad is not None for layer in layers(model))


def test_one_module_in_a_sequential_twice():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 5), relu, nn.Linear(5, 6), relu)
    hinged.convert(model, ROWS)
    assert described(model) == [("1", "ReLU()", 5), ("3", "ReLU()", 6)]
    assert model[1] is not model[3]


def test_one_module_of_two_parents():
    relu = nn.ReLU()
    first = nn.Sequential(nn.Linear(4, 5), relu)
    model = nn.Sequential(first, nn.Sequential(nn.Linear(5, 6), relu))
    hinged.convert(model, ROWS)
    assert described(model) == [("0.1", "ReLU()", 5), ("1.1", "ReLU()", 6)]


def test_places_in_loops_have_a_curve_for_each_time():
    model = hinged.convert(Looped(), ROWS)
    names = [(name, channels) for name, _, channels in described(model)]
    assert names == [
        ("hinged.relu_1.0", 4),
        ("hinged.relu_1.1", 6),
        ("hinged.relu_1.2", 3),
        ("layers.1", 5),
        ("layers.3", 7),
        ("hinged.relu_2.0", 2),
        ("hinged.relu_2.1", 2),
    ]
    model.lines.append(nn.Linear(3, 3))  # A time more than was seen: what was there applies.
    assert model(ROWS).shape == (8, 2)


def test_a_name_that_is_now_a_layer_and_now_an_activation():
    model = Called()
    before = model(ROWS, scale=2.0)
    hinged.convert(model, ROWS, hinges=129, spread=6.0)
    names = [name for name, _, _ in described(model)]
    assert names == ["act", "hinged.silu_1", "hinged.function_1"] or len(names) == 3
    assert torch.allclose(model(ROWS, scale=2.0), before, atol=0.01)


def test_gates_and_bounded_outputs_stay_unless_asked_for():
    model = hinged.convert(Gated(), MAPS)
    sites = hinged.sites(model)
    assert [bool(site.skipped) for site in sites] == [True, False, True]
    assert sites[0].skipped.startswith("a gate") and "output" in sites[2].skipped
    assert len(hinged.sites(hinged.convert(Gated(), MAPS, gates=True)).converted) == 3


def test_what_cannot_be_converted_is_listed_with_its_reason():
    for model, x, reason in [
        (Aliased(), ROWS, "overwrites its input, which is read again"),
        (Elsewhere(), ROWS[:, :3], "called in elsewhere (activated.py:"),
        (Reparametrised(), ROWS[:, :3], "does not depend on the data"),
        (nn.Sequential(nn.Linear(4, 4), nn.RReLU()), ROWS, "random in training"),
        (nn.Sequential(nn.Linear(4, 4), nn.Hardshrink()), ROWS, "jumps"),
    ]:
        (site,) = hinged.sites(model.eval(), x).skipped
        assert reason in site.skipped and site.name
        assert reason in str(hinged.sites(model, x))


def test_a_branch_of_the_other_mode_is_found_too():
    model = OnlyInTraining().eval()
    hinged.convert(model, ROWS[:, :3])
    assert described(model) == [("hinged.relu_1", "ReLU()", 3)]


def test_a_mode_that_cannot_be_looked_at_is_noted():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()).eval()
    hinged.convert(model, ROWS[:1])
    assert "In training mode it could not be looked at: ValueError" in str(hinged.sites(model))


def test_activations_of_several_operations_by_their_class():
    model = nn.Sequential(nn.Linear(4, 4), Swish(), nn.Linear(4, 2))
    assert "a gate" in str(hinged.sites(model, ROWS))
    hinged.convert(model, ROWS, activations=[Swish])
    assert described(model) == [("1", "Swish()", 4)]
    assert hinged.sites(model)[0].error > 0


def test_a_model_that_is_an_activation_is_returned_anew():
    relu = nn.ReLU()
    curve = hinged.convert(relu, ROWS)
    assert isinstance(curve, hinged.PiecewiseLinear) and torch.equal(curve(ROWS), ROWS.relu())
    assert hinged.revert(curve) is relu


def test_copies_and_pickles_are_independent():
    model = hinged.convert(OneForAll(), MAPS)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert torch.equal(other(MAPS), model(MAPS))
        assert isinstance(other.forward, Rewritten) and other.forward.__self__ is other
        for layer in layers(other):
            nn.init.zeros_(layer.values)
        assert not other(MAPS).any() and model(MAPS).any()
        assert hinged.revert(other)(MAPS).any()
        assert [site.name for site in hinged.sites(model)] == [s.name for s in hinged.sites(model)]


def test_converting_again_adds_what_is_left():
    model = OneForAll()
    hinged.convert(model, MAPS, where=lambda site: site.name.endswith("_2"))
    assert described(model) == [("hinged.relu_2", "ReLU()", 4)]
    before = outputs(model, MAPS)
    hinged.convert(model, MAPS)
    assert [channels for _, _, channels in described(model)] == [4, 4, 8]
    assert close(before, outputs(model, MAPS), 1e-6) and len(layers(model)) == 3
    assert not layers(hinged.revert(model))


def test_hooks_stay_and_can_be_removed():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    seen = []
    handle = model[1].register_forward_hook(lambda module, args, y: seen.append(type(module)))
    hinged.convert(model, ROWS)
    seen.clear()
    model(ROWS)
    assert seen == [hinged.PiecewiseLinear]
    handle.remove()
    model(ROWS)
    assert len(seen) == 1


def test_settings():
    model = hinged.convert(
        OneForAll(), MAPS, 17, init="identity", sharing="layer", tails="constant", spread=1.0
    )
    for layer in layers(model):
        assert layer.channels == 1 and layer.hinges.numel() == 17 and layer.tails == "constant"
    assert "another function" in str(hinged.sites(model))
    assert hinged.sites(model)[0].outside > 0.1


def test_ranges_are_mean_and_spread_of_all_batches():
    model = nn.Sequential(nn.Identity(), nn.Linear(1, 1, bias=False), nn.GELU())
    nn.init.ones_(model[1].weight)
    batches = [(torch.full((4, 1), 1.0), None), (torch.full((4, 1), 3.0), None)]
    hinged.convert(model, batches, spread=2.0)
    assert hinged.sites(model)[0].range == pytest.approx((0.0, 4.0), abs=1e-4)


def test_dtype_and_device_are_the_models():
    model = hinged.convert(OneForAll().double(), MAPS.double())
    assert {layer.values.dtype for layer in layers(model)} == {torch.float64}
    with torch.autocast("cpu", torch.bfloat16):
        model = hinged.convert(OneForAll(), MAPS)
    assert {layer.values.dtype for layer in layers(model)} == {torch.float32}


def test_optimisers_train_the_curves_and_no_longer_what_they_replace():
    model = nn.Sequential(nn.Linear(4, 4), nn.PReLU(4), nn.Linear(4, 2), nn.ReLU())
    slopes = model[1].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    hinged.convert(model, ROWS, optimizers=optimizer)
    weights, curves = optimizer.param_groups
    assert all(parameter is not slopes for parameter in weights["params"])
    assert curves["params"] == [model[1].values, model[3].values]
    assert curves["weight_decay"] == 0 and curves["lr"] == 0.2


def test_a_transformers_layer_loses_its_fast_path_and_gets_it_back():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 4, 8)
    (before,) = outputs(layer, x)
    hinged.convert(layer, x)
    assert described(layer) == [("hinged.relu_1", "ReLU()", 16)]
    assert torch.allclose(outputs(layer, x)[0], before, atol=1e-5)
    nn.init.zeros_(layer.hinged.relu_1.values)
    assert not torch.allclose(outputs(layer, x)[0], before, atol=1e-3)
    hinged.revert(layer)
    assert layer.activation_relu_or_gelu == 1 and torch.equal(outputs(layer, x)[0], before)


@pytest.mark.parametrize(
    "call, said",
    [
        (lambda: hinged.convert(OneForAll(), MAPS, 2), "At site 'hinged.relu_1', ReLU(): "),
        (lambda: hinged.convert(OneForAll(), MAPS, sharing="row"), "expected one of: channel"),
        (lambda: hinged.convert(OneForAll(), MAPS, spread=0), "positive number"),
        (lambda: hinged.convert(OneForAll(), []), "no batches"),
        (lambda: hinged.convert(torch.compile(OneForAll()), MAPS), "before it is compiled"),
        (lambda: hinged.convert(nn.DataParallel(OneForAll()), MAPS), "a model in DataParallel"),
        (lambda: hinged.sites(OneForAll()), "give a batch: sites(model, data)"),
        (lambda: hinged.revert(OneForAll()), "convert it first"),
    ],
)
def test_refusals(call, said):
    with pytest.raises(errors.ArgumentError) as refused:
        call()
    assert said in str(refused.value)


def test_a_refused_conversion_changes_nothing():
    model = OneForAll()
    before = dict(vars(model))
    with pytest.raises(errors.ArgumentError):
        hinged.convert(model, MAPS, 2)
    with pytest.raises(RuntimeError):
        hinged.convert(model, torch.randn(2, 7, 5, 5))
    assert dict(vars(model)) == before and not layers(model)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


def test_nothing_to_convert_warns():
    with pytest.warns(errors.NoEffectWarning, match="with 0 activations, none to convert"):
        hinged.convert(nn.Linear(4, 4), ROWS)


def test_the_table():
    table = str(hinged.sites(Gated(), MAPS))
    assert table.splitlines()[0].split()[:4] == ["site", "was", "channels", "axis"]
    assert "left alone: a gate" in table
