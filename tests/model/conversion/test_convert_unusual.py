import copy
import gc
import inspect
import weakref

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import hinged
from hinged import errors
from hinged.model.conversion.protection import ONLY_EVALUATION
from tests.model.conversion import unusual_networks as unusual

ROWS, MAPS = torch.randn(8, 4), torch.randn(6, 3, 7, 7)


def layers(model):
    return [m for m in model.modules() if isinstance(m, hinged.PiecewiseLinear)]


def outputs(model, x):
    with torch.no_grad():
        return model(x.clone())


def randomise_curves(model):
    """Change the values of all curves, so that they affect the output."""
    for layer in layers(model):
        nn.init.normal_(layer.values)


@pytest.mark.parametrize(
    "make, x, names",
    [
        (unusual.ReversedLayers, ROWS, ["layers.2", "layers.0"]),
        (unusual.KeywordInput, ROWS, ["act"]),
        (unusual.KeywordInputInABranch, ROWS, ["act"]),
        (unusual.KeywordAndPositionalInput, ROWS, ["hinged.act_1", "hinged.act_2"]),
        (unusual.ForwardOfModule, ROWS, ["act.hinged.relu_1", "hinged.act_1"]),
        (unusual.CallOfModule, ROWS, ["hinged.act_1"]),
        (unusual.InPlaceOnUnusedView, ROWS, ["hinged.relu_1"]),
        (unusual.InPlaceOnModelInput, ROWS, ["act"]),
        (unusual.CheckpointedMethod, ROWS, ["hinged.relu_1"]),
        (unusual.RenamedMethod, ROWS, ["hinged.relu_1"]),
        (unusual.SamplesAndChannelsOnOneAxis, MAPS, ["hinged.relu_1", "hinged.relu_2"]),
        (unusual.IntegerInput, ROWS, ["hinged.relu_1"]),
        (unusual.CustomFunction, ROWS, ["hinged.relu_1", "hinged.relu_2"]),
        (unusual.decorated_layers, ROWS, ["0.act", "1.act"]),
        (unusual.LoopOverSamples, ROWS, ["hinged.relu_1"]),
    ],
)
def test_unusual_calls_are_converted_and_reverted(make, x, names):
    model, given = make().eval(), x.clone()
    before = outputs(model, x)
    hinged.convert(model, x)
    assert torch.equal(x, given)
    assert [site.name for site in hinged.sites(model).converted] == names
    assert torch.allclose(outputs(model, x), before, atol=1e-6)
    assert len(outputs(model, x.repeat_interleave(2, 0))) == 2 * len(x)
    randomise_curves(model)
    assert not torch.allclose(outputs(model, x), before, atol=1e-2)
    assert torch.equal(outputs(hinged.revert(model), x), before)


@pytest.mark.parametrize(
    "make, reason",
    [
        (unusual.PartialFunction, "would not call a curve"),
        (unusual.FunctionInMap, "would not call a curve"),
        (unusual.PlainList, "would not call a curve"),
        (unusual.InPlaceOnView, "reads the input again"),
        (unusual.CheckpointedLambda, "is a nested function"),
        (unusual.AttributeNamedHinged, "need the attribute 'hinged'"),
        (unusual.ComplexInput, "its input has dtype torch.complex64"),
        (unusual.OutArgument, "out=..."),
    ],
)
def test_calls_that_cannot_be_replaced_stay_and_have_a_reason(make, reason):
    model = make().eval()
    before, state = outputs(model, ROWS), dict(vars(model))
    with pytest.warns(errors.NoEffectWarning):
        hinged.convert(model, ROWS)
    assert not layers(model) and dict(vars(model)) == state
    assert torch.equal(outputs(model, ROWS), before)
    sites = hinged.sites(model, ROWS)
    assert len(sites) > 0
    if "would not call" not in reason:  # Only `convert` runs the converted model and notices that.
        assert all(reason in site.skipped for site in sites)


def test_an_unreached_curve_is_listed_and_the_others_are_converted():
    model = nn.Sequential(unusual.PlainList(), nn.ReLU())
    hinged.convert(model, ROWS)
    missed, converted = hinged.sites(model)
    assert "would not call a curve" in missed.skipped and missed.name == "0.act"
    assert not converted.skipped and isinstance(model[0].act, nn.ReLU)


def test_functions_that_call_tensor_methods_are_converted():
    model = unusual.FunctionsThatCallMethods().eval()
    before = outputs(model, ROWS)
    hinged.convert(model, ROWS, hinges=129, spread=5.0, gates=True)
    assert [site.name for site in hinged.sites(model).converted] == [
        "hinged.tanh_1",
        "hinged.sigmoid_1",
    ]
    assert torch.allclose(outputs(model, ROWS), before, atol=0.01)


def test_one_module_in_many_slots_gets_a_curve_per_use():
    model = unusual.ModuleInManySlots()
    before = outputs(model, ROWS)
    hinged.convert(model, ROWS)
    assert [site.channels for site in hinged.sites(model).converted] == [4, 6, 5, 7, 7, 7]
    assert torch.allclose(outputs(model, ROWS), before, atol=1e-6)
    assert model.body.act is not model.head[1] and model.head[1] is not model.head[3]
    assert torch.equal(outputs(hinged.revert(model), ROWS), before)
    assert model.body.act is model.act and model.head[3] is model.act


def test_gradients_are_the_same_with_and_without_checkpointing():
    model = unusual.CheckpointedMethod()
    hinged.convert(model, ROWS)
    randomise_curves(model)
    model(ROWS).sum().backward()
    (layer,) = layers(model)
    with_checkpoint, layer.values.grad = layer.values.grad, None
    x = ROWS
    for line in model.layers:
        x = model.step(line, x)
    x.sum().backward()
    assert torch.allclose(with_checkpoint, layer.values.grad)


def test_outputs_in_a_dataclass_are_recognised_as_outputs():
    model = hinged.convert(unusual.DataclassOutput(), ROWS)
    hidden, output = hinged.sites(model)
    assert not hidden.skipped and output.skipped.startswith("the model's output")


def test_a_failure_while_installing_changes_nothing():
    def fail_if_converted(_module, _args):
        if layers(model):
            raise KeyError("not with curves")

    model = unusual.ModuleInManySlots()
    model.register_forward_pre_hook(fail_if_converted)
    state = [(m, dict(vars(m)), dict(m._modules)) for m in model.modules()]
    with pytest.raises(KeyError, match="not with curves"):
        hinged.convert(model, ROWS)
    assert state == [(m, dict(vars(m)), dict(m._modules)) for m in model.modules()]
    assert not layers(model)


def test_the_state_of_an_optimiser_can_be_saved_and_loaded_after_a_conversion():
    model = nn.Sequential(nn.Linear(4, 4), nn.PReLU(4))
    optimizer = torch.optim.Adam(model.parameters())
    model(ROWS).sum().backward()
    optimizer.step()
    hinged.convert(model, ROWS, optimizers=optimizer)
    model(ROWS).sum().backward()
    optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    assert len(state["state"]) == 3
    optimizer.load_state_dict(state)


def test_the_optimiser_keeps_a_module_that_is_still_used():
    prelu = nn.PReLU()
    model = nn.Sequential(nn.Linear(4, 4), prelu, nn.Linear(4, 3), prelu)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hinged.convert(model, ROWS, optimizers=optimizer, where=lambda site: site.name == "1")
    assert any(each is prelu.weight for each in optimizer.param_groups[0]["params"])


def test_a_part_can_be_converted_before_the_whole_model():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 5), nn.ReLU()), nn.Linear(5, 3), nn.ReLU())
    hinged.convert(model[0], ROWS)
    hinged.convert(model, ROWS)
    assert [site.name for site in hinged.sites(model)] == ["0.1", "2"]
    hinged.revert(model)
    assert not layers(model)
    with pytest.raises(errors.ArgumentError, match="was not converted"):
        hinged.sites(model[0])


def test_curves_made_in_inference_mode_can_be_trained():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with torch.inference_mode():
        hinged.convert(model, ROWS)
    model(ROWS).sum().backward()
    assert model[1].values.grad is not None


def test_revert_uses_the_dtype_that_the_model_has_now():
    model = nn.Sequential(nn.Linear(4, 4), nn.PReLU(4))
    hinged.convert(model, ROWS)
    hinged.revert(model.double())
    assert model(ROWS.double()).dtype == torch.float64


def test_a_rewritten_method_has_the_signature_of_the_original():
    model = unusual.RenamedMethod()
    hinged.convert(model, ROWS)
    assert str(inspect.signature(model.forward)) == "(x)"


def test_a_model_on_the_meta_device_is_rejected():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with pytest.raises(errors.ArgumentError, match="to_empty"):
        hinged.convert(model, ROWS)


def test_no_tensor_of_the_trace_stays_alive():
    references = []
    model = unusual.KeywordInput()
    handle = model.first.register_forward_hook(lambda m, args, y: references.append(weakref.ref(y)))
    x = ROWS.clone()
    references.append(weakref.ref(x))
    hinged.convert(model, x)
    handle.remove()
    del x
    gc.collect()
    assert len(references) > 2 and all(each() is None for each in references)


@pytest.mark.parametrize("make", [unusual.NewModuleInEachCall, unusual.ModuleOutsideOfTheModel])
def test_a_module_outside_of_the_model_is_one_site_with_a_reason(make):
    (site,) = hinged.sites(make(), [ROWS, ROWS + 1, ROWS - 1])
    assert "calls a module that the model does not contain" in site.skipped
    assert "forward (unusual_networks.py:" in site.skipped


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize(
    "make, passes", [(unusual.OneModuleForEachMode, 2), (unusual.OneFunctionForEachMode, 1)]
)
def test_a_call_of_another_module_or_function_in_each_mode_has_curves_in_training(
    make, passes, mode
):
    model = hinged.convert(make().train(mode), ROWS)
    assert [site.skipped for site in hinged.sites(model).skipped] == passes * [ONLY_EVALUATION]
    model.train()(ROWS).square().sum().backward()
    assert len(layers(model)) == passes
    assert all(layer.values.grad.any() for layer in layers(model))


def test_a_loop_in_which_modules_change_places_is_left_alone():
    sites = hinged.sites(unusual.ModulesChangePlaces(), ROWS)
    assert len(sites) == 4
    assert all("another at other times" in site.skipped for site in sites)


@pytest.mark.parametrize("make", [unusual.ListInTraining, unusual.PartialInTraining])
def test_an_activation_that_only_training_calls_by_another_reference_is_left_alone(make):
    model = hinged.convert(make().eval(), ROWS)
    (layer,), (skipped,) = layers(model), hinged.sites(model).skipped
    assert "by another reference" in skipped.skipped
    model.train()(ROWS).sum().backward()
    assert layer.values.grad.any()


def test_a_module_that_calls_convert_is_not_taken_for_a_part_of_the_model():
    class Positive(nn.Module):
        def forward(self, x):
            return torch.relu(x)

    class Trainer(nn.Module):
        def convert(self):
            return hinged.convert(Positive(), ROWS)

    model = Trainer().convert()
    assert len(layers(model)) == 1
    assert torch.equal(outputs(model, ROWS), ROWS.relu())


@pytest.mark.parametrize(
    "edit",
    [
        lambda model: model.insert(0, nn.Identity()),
        lambda model: model.__delitem__(0),
        lambda model: model.__delitem__(4),
        lambda model: model.__setitem__(4, nn.Tanh()),
    ],
)
def test_revert_finds_the_curves_of_a_container_that_has_changed(edit):
    model = nn.Sequential(
        nn.Identity(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.LeakyReLU(), nn.Linear(4, 4)
    )
    expected = copy.deepcopy(model)
    for each in (expected, hinged.convert(model, ROWS)):
        edit(each)
    hinged.revert(model)
    assert str(model) == str(expected)
    assert torch.equal(outputs(model, ROWS), outputs(expected, ROWS))


def test_curves_in_another_model_are_reverted():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    part = nn.Sequential(*list(hinged.convert(model, ROWS).children())[:-1])
    assert isinstance(hinged.revert(part)[1], nn.ReLU)
    assert len(layers(model)) == 1


def test_the_curves_of_a_single_activation_are_reverted_in_another_model():
    model = nn.Sequential(nn.Linear(4, 4), hinged.convert(nn.PReLU(), ROWS))
    assert isinstance(hinged.revert(model)[1], nn.PReLU)


def test_revert_restores_the_first_activation_after_a_second_conversion():
    model = hinged.convert(nn.Sequential(nn.Linear(4, 4), nn.PReLU()), ROWS)
    hinged.to_native(model, 0.0)
    hinged.convert(model, ROWS)
    assert isinstance(hinged.revert(model)[1], nn.PReLU)


class Scale(nn.Module):
    """An activation that computes in float32, whatever the dtype of its input is."""

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([0.123456]))

    def forward(self, x):
        return torch.maximum(x.float(), self.slope * x.float()).to(x.dtype)


def test_revert_keeps_the_dtype_of_an_activation_that_differs_from_that_of_its_input():
    model = nn.Sequential(nn.Linear(4, 4).bfloat16(), Scale())
    hinged.convert(model, ROWS.bfloat16(), activations=[Scale])
    assert layers(model)[0].values.dtype == torch.bfloat16
    hinged.revert(model)
    assert torch.equal(model[1].slope, Scale().slope)


@pytest.mark.parametrize(
    "make", [unusual.StepsAndSum, unusual.LoopOverSteps, unusual.SlicesOfSteps]
)
def test_an_activation_in_the_method_of_a_container_stays_with_a_reason(make):
    model = nn.Sequential(make(), nn.Linear(4, 4), nn.ReLU())
    before, children = outputs(model, ROWS), list(dict(model.named_modules()))
    hinged.convert(model, ROWS)
    assert [site.name for site in hinged.sites(model).converted] == ["2"]
    assert "a container that runs all its children" in hinged.sites(model).skipped[-1].skipped
    assert list(dict(model.named_modules())) == children
    assert torch.equal(outputs(model, ROWS), before)


def test_a_wrapper_that_finds_attributes_in_its_module_is_converted():
    model = unusual.Delegating(unusual.KeywordAndPositionalInput())
    before = outputs(model, ROWS)
    hinged.convert(model, ROWS)
    assert [site.name for site in hinged.sites(model).converted] == [
        "wrapped.hinged.act_1",
        "wrapped.hinged.act_2",
        "hinged.relu_1",
    ]
    assert torch.equal(outputs(model, ROWS), before)
    randomise_curves(model)
    assert not torch.allclose(outputs(model, ROWS), before, atol=1e-2)
    assert torch.equal(outputs(hinged.revert(model), ROWS), before)


def test_an_activation_module_without_length_is_converted():
    model = unusual.EmptyActivationTwice()
    before = outputs(model, ROWS)
    hinged.convert(model, ROWS)
    assert len(layers(model)) == 2
    assert torch.allclose(outputs(model, ROWS), before)


def add_in_place(block, x):
    x += block(x)
    return x


def write_a_part(block, x):
    y = block(x)
    x[:, :2] = 0
    return x + y


def drop_in_place(block, x):
    y = block(x)
    return F.dropout(x, 0.5, True, True) + y


class Residual(nn.Module):
    def __init__(self, join):
        super().__init__()
        self.join = join
        self.line = nn.Linear(4, 4)
        self.block = nn.Sequential(nn.ReLU(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))

    def forward(self, x):
        return self.join(self.block, self.line(x))


@pytest.mark.parametrize("join", [add_in_place, write_a_part, drop_in_place])
def test_an_activation_whose_input_is_overwritten_later_stays(join):
    model, x = Residual(join), torch.randn(8, 4)
    model(x).sum().backward()  # The gradients of a ReLU need no inputs.
    hinged.convert(model, x)
    assert "overwrites its input later" in hinged.sites(model)[0].skipped
    assert isinstance(model.block[2], hinged.PiecewiseLinear)
    model(x).sum().backward()
