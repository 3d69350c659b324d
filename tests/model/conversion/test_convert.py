import copy
import io
import re
from collections import OrderedDict

import pytest
import torch
from torch import nn

import hinged
from hinged import errors
from hinged.model.conversion.rewrite_method import RewrittenMethod
from tests.model.conversion.example_networks import (
    FreeFunction,
    Functional,
    Gated,
    LayerOrActivation,
    Loops,
    OnlyInTraining,
    OverwrittenInput,
    PrivateNames,
    Reparametrised,
    SharedModule,
    Swish,
)

MAPS, ROWS = torch.randn(8, 3, 5, 5), torch.randn(8, 4)
EXACT = [
    (SharedModule, MAPS),
    (lambda: SharedModule(inplace=False), MAPS),
    (Loops, ROWS),
    (OverwrittenInput, ROWS),
    (PrivateNames, ROWS[:, :3]),
    (FreeFunction, ROWS[:, :3]),
    (Reparametrised, ROWS[:, :3]),
    (lambda: nn.Sequential(nn.Linear(4, 4), nn.PReLU(4), nn.ReLU6(), nn.Hardtanh(-2, 2)), ROWS),
]
SMOOTH = [
    (Functional, MAPS),
    (LayerOrActivation, ROWS),
    (Gated, MAPS),
]


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


def converted(model):
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
    new_state = model.state_dict()
    replaced = {"1.weight"} if isinstance(model, nn.Sequential) else set()  # Slopes of the PReLU.
    assert all(torch.equal(new_state[key], state[key]) for key in state.keys() - replaced)


@pytest.mark.parametrize("make, x", EXACT + SMOOTH)
def test_revert_restores_outputs_and_state_bit_for_bit(make, x):
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
def test_the_reported_errors_of_smooth_activations_are_right(make, x):
    model = make().eval()
    before = outputs(model, x)
    hinged.convert(model, x, hinges=65, spread=5.0)
    sites = hinged.sites(model)
    worst = max(site.error for site in sites)
    assert 0 < worst < 0.01
    assert close(before, outputs(model, x), 0.05)
    (note,) = [note for note in sites.notes if "changed the outputs of the first batch" in note]
    absolute, share = re.search(r"at most (\S+) \((\S+) % of the largest output\)", note).groups()
    (a,), (b,) = before, outputs(model, x)
    largest = (a - b).abs().max().item()
    assert float(absolute) == pytest.approx(largest, rel=0.1)
    assert float(share) == pytest.approx(100 * largest / a.abs().max().item(), rel=0.1)
    assert "no exact curve, so the closest curve with 65 hinges was taken" in note


def test_functions_and_tensor_methods_are_converted():
    model = hinged.convert(Functional().eval(), MAPS)
    assert converted(model) == [
        ("hinged.relu_1", "ReLU()", 6),
        ("hinged.relu_2", "ReLU()", 6),
        ("hinged.relu_3", "ReLU()", 6),
        ("hinged.leaky_relu_1", "LeakyReLU(negative_slope=0.2)", 5),
        ("hinged.gelu_1", "GELU(approximate='tanh')", 5),
    ]
    assert [site.axis for site in hinged.sites(model)] == [1, 1, 1, -1, -1]
    assert model.forward.__func__.__doc__ == Functional.forward.__doc__


def test_a_module_that_is_called_three_times_becomes_three_curves():
    model = hinged.convert(SharedModule(), MAPS)
    assert converted(model) == [
        ("hinged.relu_1", "ReLU()", 4),
        ("hinged.relu_2", "ReLU()", 4),
        ("hinged.relu_3", "ReLU()", 8),
    ]
    assert isinstance(model.relu, nn.ReLU)
    model(MAPS).sum().backward()
    assert all(layer.values.grad is not None for layer in layers(model))


def test_a_module_in_two_slots_of_a_sequential_becomes_two_curves():
    relu = nn.ReLU()
    model = nn.Sequential(nn.Linear(4, 5), relu, nn.Linear(5, 6), relu)
    hinged.convert(model, ROWS)
    assert converted(model) == [("1", "ReLU()", 5), ("3", "ReLU()", 6)]
    assert model[1] is not model[3]


def test_a_module_with_two_parents_becomes_two_curves():
    relu = nn.ReLU()
    first = nn.Sequential(nn.Linear(4, 5), relu)
    model = nn.Sequential(first, nn.Sequential(nn.Linear(5, 6), relu))
    hinged.convert(model, ROWS)
    assert converted(model) == [("0.1", "ReLU()", 5), ("1.1", "ReLU()", 6)]


def test_a_call_in_a_loop_has_a_curve_per_iteration():
    model = hinged.convert(Loops(), ROWS)
    names = [(name, channels) for name, _, channels in converted(model)]
    assert names == [
        ("hinged.relu_1.0", 4),
        ("hinged.relu_1.1", 6),
        ("hinged.relu_1.2", 3),
        ("layers.1", 5),
        ("layers.3", 7),
        ("hinged.relu_2.0", 2),
        ("hinged.relu_2.1", 2),
    ]
    model.lines.append(nn.Linear(3, 3))
    with pytest.warns(errors.MorePassesWarning, match="the others apply relu without a curve"):
        assert model(ROWS).shape == (8, 2)


def test_a_name_that_is_sometimes_a_layer_and_sometimes_an_activation():
    model = LayerOrActivation()
    before = model(ROWS, scale=2.0)
    hinged.convert(model, ROWS, hinges=129, spread=6.0)
    assert len(converted(model)) == 3
    assert torch.allclose(model(ROWS, scale=2.0), before, atol=0.01)


def test_gates_and_bounded_outputs_are_converted_only_with_gates_true():
    model = hinged.convert(Gated(), MAPS)
    sites = hinged.sites(model)
    assert [bool(site.skipped) for site in sites] == [True, False, True]
    assert sites[0].skipped.startswith("a gate") and "output" in sites[2].skipped
    assert len(hinged.sites(hinged.convert(Gated(), MAPS, gates=True)).converted) == 3


@pytest.mark.parametrize(
    "make, x, reason",
    [
        (OverwrittenInput, ROWS, "writes into its input, and the model reads the input again"),
        (FreeFunction, ROWS[:, :3], "called in free_function (example_networks.py:"),
        (Reparametrised, ROWS[:, :3], "does not depend on the data"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.RReLU()), ROWS, "random in training"),
        (lambda: nn.Sequential(nn.Linear(4, 4), nn.Hardshrink()), ROWS, "has a jump"),
    ],
)
def test_activations_that_cannot_be_converted_are_listed_with_the_reason(make, x, reason):
    sites = hinged.sites(make().eval(), x)
    (site,) = sites.skipped
    assert reason in site.skipped and site.name
    assert reason in str(sites)


def test_activations_of_the_other_mode_are_found():
    model = OnlyInTraining().eval()
    hinged.convert(model, ROWS[:, :3])
    assert converted(model) == [("hinged.relu_1", "ReLU()", 3)]


def test_a_mode_in_which_the_model_fails_is_noted():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()).eval()
    hinged.convert(model, ROWS[:1])
    assert "could not be examined in training mode, because it raised ValueError" in str(
        hinged.sites(model)
    )


def test_activations_of_several_operations_are_given_by_their_class():
    model = nn.Sequential(nn.Linear(4, 4), Swish(), nn.Linear(4, 2))
    assert hinged.sites(model, ROWS)[0].activation == "Swish()"
    hinged.convert(model, ROWS, activations=[Swish])
    assert converted(model) == [("1", "Swish()", 4)]
    assert hinged.sites(model)[0].error > 0


def test_a_model_that_is_an_activation_is_replaced_by_the_curves():
    relu = nn.ReLU()
    curve = hinged.convert(relu, ROWS)
    assert isinstance(curve, hinged.PiecewiseLinear) and torch.equal(curve(ROWS), ROWS.relu())
    assert hinged.revert(curve) is relu


def test_copies_and_pickles_are_independent():
    model = hinged.convert(SharedModule(), MAPS)
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    for other in (copy.deepcopy(model), torch.load(file, weights_only=False)):
        assert torch.equal(other(MAPS), model(MAPS))
        assert isinstance(other.forward, RewrittenMethod) and other.forward.__self__ is other
        for layer in layers(other):
            nn.init.zeros_(layer.values)
        assert not other(MAPS).any() and model(MAPS).any()
        assert hinged.revert(other)(MAPS).any()
        assert [site.name for site in hinged.sites(model)] == [s.name for s in hinged.sites(model)]


def test_converting_again_adds_the_remaining_sites():
    model = SharedModule()
    hinged.convert(model, MAPS, where=lambda site: site.name.endswith("_2"))
    assert converted(model) == [("hinged.relu_2", "ReLU()", 4)]
    before = outputs(model, MAPS)
    hinged.convert(model, MAPS)
    assert [channels for _, _, channels in converted(model)] == [4, 4, 8]
    assert close(before, outputs(model, MAPS), 1e-6) and len(layers(model)) == 3
    assert not layers(hinged.revert(model))


def test_hooks_stay_and_can_be_removed():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    called = []
    handle = model[1].register_forward_hook(lambda module, args, y: called.append(type(module)))
    hinged.convert(model, ROWS)
    called.clear()
    model(ROWS)
    assert called == [hinged.PiecewiseLinear]
    handle.remove()
    model(ROWS)
    assert len(called) == 1


def test_settings_reach_the_curves():
    model = hinged.convert(
        SharedModule(), MAPS, 17, init="identity", sharing="layer", tails="constant", spread=1.0
    )
    for layer in layers(model):
        assert layer.channels == 1 and layer.hinges.numel() == 17 and layer.tails == "constant"
    assert "the curves start as the function in init=..." in str(hinged.sites(model))
    assert hinged.sites(model)[0].outside > 0.1


def test_ranges_come_from_the_inputs_of_all_batches():
    model = nn.Sequential(nn.Identity(), nn.Linear(1, 1, bias=False), nn.GELU())
    nn.init.ones_(model[1].weight)
    batches = [(torch.full((4, 1), 1.0), None), (torch.full((4, 1), 3.0), None)]
    hinged.convert(model, batches, spread=2.0)
    assert hinged.sites(model)[0].range == pytest.approx((0.0, 4.0), abs=1e-4)


def test_the_dtype_is_that_of_the_model():
    model = hinged.convert(SharedModule().double(), MAPS.double())
    assert {layer.values.dtype for layer in layers(model)} == {torch.float64}
    with torch.autocast("cpu", torch.bfloat16):
        model = hinged.convert(SharedModule(), MAPS)
    assert {layer.values.dtype for layer in layers(model)} == {torch.float32}


def test_optimisers_train_the_curves_instead_of_the_replaced_activations():
    model = nn.Sequential(nn.Linear(4, 4), nn.PReLU(4), nn.Linear(4, 2), nn.ReLU())
    slopes = model[1].weight
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1)
    hinged.convert(model, ROWS, optimizers=optimizer)
    weights, curves = optimizer.param_groups
    assert all(parameter is not slopes for parameter in weights["params"])
    assert curves["params"] == [model[1].values, model[3].values]
    assert curves["weight_decay"] == 0 and curves["lr"] == pytest.approx(0.05)


def test_a_transformers_layer_loses_its_fast_path_and_gets_it_back():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 4, 8)
    (before,) = outputs(layer, x)
    hinged.convert(layer, x)
    assert converted(layer) == [("hinged.relu_1", "ReLU()", 16)]
    assert torch.allclose(outputs(layer, x)[0], before, atol=1e-5)
    nn.init.zeros_(layer.hinged.relu_1.values)
    assert not torch.allclose(outputs(layer, x)[0], before, atol=1e-3)
    hinged.revert(layer)
    assert layer.activation_relu_or_gelu == 1 and torch.equal(outputs(layer, x)[0], before)


@pytest.mark.parametrize(
    "call, expected",
    [
        (
            lambda: hinged.convert(SharedModule(), MAPS, 2),
            "At site 'hinged.relu_1', ReLU(): `hinged.convert(hinges=...)`: got 2 hinges",
        ),
        (lambda: hinged.convert(SharedModule(), MAPS, sharing="row"), "expected one of: channel"),
        (lambda: hinged.convert(SharedModule(), MAPS, spread=0), "positive number"),
        (lambda: hinged.convert(SharedModule(), []), "no batches"),
        (lambda: hinged.convert(torch.compile(SharedModule()), MAPS), "before it is compiled"),
        (lambda: hinged.convert(nn.DataParallel(SharedModule()), MAPS), "a model in DataParallel"),
        (
            lambda: hinged.sites(SharedModule()),
            "pass a batch to run the model on: hinged.sites(model, data)",
        ),
        (lambda: hinged.revert(SharedModule()), "only a model that hinged.convert has changed"),
    ],
)
def test_errors_say_what_to_do(call, expected):
    with pytest.raises(errors.ArgumentError) as error:
        call()
    assert expected in str(error.value)


def test_a_failed_conversion_changes_nothing():
    model = SharedModule()
    before = dict(vars(model))
    with pytest.raises(errors.ArgumentError):
        hinged.convert(model, MAPS, 2)
    with pytest.raises(RuntimeError):
        hinged.convert(model, torch.randn(2, 7, 5, 5))
    assert dict(vars(model)) == before and not layers(model)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


def test_nothing_to_convert_warns():
    with pytest.warns(errors.NoEffectWarning, match="that applies no activation to these"):
        hinged.convert(nn.Linear(4, 4), ROWS)


def test_a_second_conversion_says_that_the_model_is_converted():
    model = hinged.convert(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), ROWS)
    message = (
        r"got a Sequential that has 8 curves already, in place of all its activations; "
        r"hinged\.revert\(model\) restores the activations"
    )
    with pytest.warns(errors.NoEffectWarning, match=message):
        hinged.convert(model, ROWS, hinges=17)
    by_hand = nn.Sequential(nn.Linear(4, 8), hinged.PiecewiseLinear(8))
    with pytest.warns(errors.NoEffectWarning, match="has 8 curves already.*; train it as it is"):
        hinged.convert(by_hand, ROWS)


WRONG = {
    "other name": (
        {"init": "swish"},
        r"convert\(init=\.\.\.\)`: got 'swish'; did you mean 'silu'\?",
    ),
    "capitals": ({"init": "LeakyReLU"}, r"got 'LeakyReLU'; did you mean 'leaky_relu'\? All of"),
    "class": ({"init": nn.ReLU}, r"got the class ReLU; pass an object .* init=ReLU\(\)"),
    "misspelt": ({"init": "sam"}, r"did you mean 'same'\? All"),
    "positions": (
        {"hinges": [-1.0, 0.0, 1.0]},
        r"hinges=\.\.\.\)`: got .* expected a whole number .* put a hinged\.PiecewiseLinear",
    ),
    "tensor": ({"hinges": torch.zeros(3)}, "positions follow from the inputs"),
    "no number": ({"hinges": None}, "got None; expected a whole number of hinges for each curve"),
    "dictionary": ({"hinges": {"1": 2.5}}, r"hinges=\.\.\.\)`: got 2.5; expected a whole number"),
    "text": ({"hinges": "9"}, "got '9'; expected a whole number of hinges for each curve"),
    "spread": ({"spread": "3"}, "got '3'; expected a positive number of standard deviations"),
    "tails": (
        {"tails": "flat"},
        r"convert\(tails=\.\.\.\)`: got 'flat'; did you mean 'constant'\?",
    ),
    "where": ({"where": ["1"]}, r"where=\.\.\.\)`: got \['1'\]; expected a function of a site"),
    "name of a site": ({"where": "1"}, "for example lambda site: site.name == '1'"),
    "one class": (
        {"activations": nn.ReLU},
        r"got the class ReLU itself; expected a list of classes, for example activations=\[ReLU\]",
    ),
    "objects": ({"activations": [nn.ReLU()]}, r"got ReLU\(\); .* for example activations=\[ReLU\]"),
    "names": ({"activations": ["ReLU"]}, "a list of your own activation classes"),
    "optimiser": ({"optimizers": "adam"}, r"got 'adam'; expected an optimizer of torch\.optim"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings_are_refused_before_the_model_runs(case):
    arguments, message = WRONG[case]
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    calls = []
    model.register_forward_hook(lambda *_: calls.append(1))
    with pytest.raises(errors.ArgumentError, match=message) as caught:
        hinged.convert(model, ROWS, **arguments)
    assert str(caught.value).startswith("`hinged.convert(") and not calls


def two_activations():
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3), nn.GELU())


@pytest.mark.parametrize(
    "hinges", [{"3": 17}, lambda site: 17 if site.activation.startswith("GELU") else 9]
)
def test_sites_can_have_different_numbers_of_hinges(hinges):
    model = hinged.convert(two_activations(), ROWS, hinges)
    assert [site.hinges for site in hinged.sites(model)] == [9, 17]
    assert model[3].values.shape == (3, 17)
    assert "the closest curve with 17 hinges" in str(hinged.sites(model))


def test_numbers_of_hinges_for_unknown_sites_are_refused():
    model = two_activations()
    with pytest.raises(errors.UnknownNameError, match=r"got 'act'.*1, 3"):
        hinged.convert(model, ROWS, {"act": 17})
    with pytest.raises(errors.ArgumentError, match="got 'many'; expected a whole number"):
        hinged.convert(model, ROWS, lambda site: "many")
    assert not layers(model)


def test_a_single_layer_of_a_model_cannot_be_reverted():
    model = hinged.convert(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), ROWS)
    with pytest.raises(errors.ArgumentError, match="submodule that contains the layer"):
        hinged.revert(model[1])


def test_curves_join_the_optimizer_that_trains_the_part_around_them():
    def part():
        return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.LeakyReLU())

    model = nn.Sequential(OrderedDict(generator=part(), discriminator=part(), frozen=part()))
    parts = [model.generator, model.discriminator]
    optimizers = [torch.optim.Adam(each.parameters()) for each in parts]
    hinged.convert(model, torch.randn(8, 4), optimizers=optimizers)
    for each, optimizer in zip(parts, optimizers, strict=True):
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert {id(p) for p in each.parameters()} <= trained
    in_first = {id(p) for group in optimizers[0].param_groups for p in group["params"]}
    assert id(model.frozen[1].values) in in_first
