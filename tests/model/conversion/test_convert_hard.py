import copy
import gc
import inspect
import weakref

import pytest
import torch
from torch import nn

import hinged
from hinged import errors
from tests.model import awkward

ROWS, MAPS = torch.randn(8, 4), torch.randn(6, 3, 7, 7)


def layers(model):
    return [m for m in model.modules() if isinstance(m, hinged.PiecewiseLinear)]


def outputs(model, x):
    with torch.no_grad():
        return model(x.clone())


def trained(model):
    """Give all curves other values, so that those that are reached show."""
    for layer in layers(model):
        nn.init.normal_(layer.values)


@pytest.mark.parametrize(
    "make, x, names",
    [
        (awkward.Backwards, ROWS, ["layers.2", "layers.0"]),
        (awkward.Keyword, ROWS, ["act.hinged.relu_1"]),
        (awkward.OwnHalf, ROWS, ["hinged.relu_1"]),
        (awkward.OnItsInput, ROWS, ["act"]),
        (awkward.CheckpointedMethod, ROWS, ["hinged.relu_1"]),
        (awkward.Renamed, ROWS, ["hinged.relu_1"]),
        (awkward.Folded, MAPS, ["hinged.relu_1", "hinged.relu_2"]),
        (awkward.Numbers, ROWS, ["hinged.relu_1"]),
        (awkward.Opaque, ROWS, ["hinged.relu_1", "hinged.relu_2"]),
        (awkward.OneByOne, ROWS, [f"hinged.relu_1.{row}" for row in range(8)]),
    ],
)
def test_awkward_calls_are_converted_and_reverted(make, x, names):
    model, given = make().eval(), x.clone()
    before = outputs(model, x)
    hinged.convert(model, x)
    assert torch.equal(x, given)
    assert [site.name for site in hinged.sites(model).converted] == names
    assert torch.allclose(outputs(model, x), before, atol=1e-6)
    assert len(outputs(model, x.repeat_interleave(2, 0))) == 2 * len(x)
    trained(model)
    assert not torch.allclose(outputs(model, x), before, atol=1e-2)
    assert torch.equal(outputs(hinged.revert(model), x), before)


@pytest.mark.parametrize(
    "make, reason",
    [
        (awkward.Partial, "would not be reached"),
        (awkward.Mapped, "would not be reached"),
        (awkward.Listed, "would not be reached"),
        (awkward.Views, "read again"),
        (awkward.Checkpointed, "a function of its own whose calls cannot be told apart"),
        (awkward.Taken, "something named 'hinged'"),
        (awkward.Waves, "its input is of torch.complex64"),
        (awkward.Into, "out=..."),
    ],
)
def test_what_would_go_wrong_is_left_alone_for_a_reason(make, reason):
    model = make().eval()
    before, state = outputs(model, ROWS), dict(vars(model))
    with pytest.warns(errors.NoEffectWarning):
        hinged.convert(model, ROWS)
    assert not layers(model) and dict(vars(model)) == state
    assert torch.equal(outputs(model, ROWS), before)
    if "reached" not in reason:  # Only running a converted model shows that.
        assert all(reason in site.skipped for site in hinged.sites(model, ROWS))
        assert len(hinged.sites(model, ROWS)) > 0


def test_a_curve_that_is_not_reached_is_listed_where_others_are():
    model = nn.Sequential(awkward.Listed(), nn.ReLU())
    hinged.convert(model, ROWS)
    missed, found = hinged.sites(model)
    assert "would not be reached" in missed.skipped and missed.name == "0.act"
    assert not found.skipped and isinstance(model[0].act, nn.ReLU)


def test_functions_that_call_methods():
    model = awkward.ThroughFunctional().eval()
    before = outputs(model, ROWS)
    hinged.convert(model, ROWS, hinges=129, spread=5.0, gates=True)
    assert [site.name for site in hinged.sites(model).converted] == [
        "hinged.tanh_1",
        "hinged.sigmoid_1",
    ]
    assert torch.allclose(outputs(model, ROWS), before, atol=0.01)


def test_one_module_of_many_places():
    model = awkward.Grouped()
    before = outputs(model, ROWS)
    hinged.convert(model, ROWS)
    found = [(site.name, site.channels) for site in hinged.sites(model).converted]
    assert [channels for _, channels in found] == [4, 6, 5, 7, 7, 7]
    assert torch.allclose(outputs(model, ROWS), before, atol=1e-6)
    assert model.body.act is not model.head[1] and model.head[1] is not model.head[3]
    assert torch.equal(outputs(hinged.revert(model), ROWS), before)
    assert model.body.act is model.act and model.head[3] is model.act


def test_gradients_through_checkpoints_are_those_without():
    model = awkward.CheckpointedMethod()
    hinged.convert(model, ROWS)
    trained(model)
    model(ROWS).sum().backward()
    (layer,) = layers(model)
    found, layer.values.grad = layer.values.grad, None
    x = ROWS
    for line in model.layers:
        x = model.step(line, x)
    x.sum().backward()
    assert torch.allclose(found, layer.values.grad)


def test_outputs_in_a_dataclass_are_seen():
    model = hinged.convert(awkward.Answering(), ROWS)
    found, output = hinged.sites(model)
    assert not found.skipped and output.skipped.startswith("the model's output")


def test_a_failure_while_installing_changes_nothing():
    def once(_module, _args):
        if layers(model):
            raise KeyError("not with curves")

    model = awkward.Grouped()
    model.register_forward_pre_hook(once)
    state = [(m, dict(vars(m)), dict(m._modules)) for m in model.modules()]
    with pytest.raises(KeyError, match="not with curves"):
        hinged.convert(model, ROWS)
    assert state == [(m, dict(vars(m)), dict(m._modules)) for m in model.modules()]
    assert not layers(model)


def test_optimisers_can_be_saved_after_what_they_trained_is_gone():
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


def test_a_module_that_is_still_used_stays_with_the_optimiser():
    prelu = nn.PReLU()
    model = nn.Sequential(nn.Linear(4, 4), prelu, nn.Linear(4, 3), prelu)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hinged.convert(model, ROWS, optimizers=optimizer, where=lambda site: site.name == "1")
    assert any(each is prelu.weight for each in optimizer.param_groups[0]["params"])


def test_a_part_and_then_the_whole():
    model = nn.Sequential(nn.Sequential(nn.Linear(4, 5), nn.ReLU()), nn.Linear(5, 3), nn.ReLU())
    hinged.convert(model[0], ROWS)
    hinged.convert(model, ROWS)
    assert [site.name for site in hinged.sites(model)] == ["0.1", "2"]
    hinged.revert(model)
    assert not layers(model)
    with pytest.raises(errors.ArgumentError, match="was not converted"):
        hinged.sites(model[0])


def test_what_is_made_in_inference_mode_can_be_trained():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with torch.inference_mode():
        hinged.convert(model, ROWS)
    model(ROWS).sum().backward()
    assert model[1].values.grad is not None


def test_what_was_cast_meanwhile_is_reverted_in_its_type():
    model = nn.Sequential(nn.Linear(4, 4), nn.PReLU(4))
    hinged.convert(model, ROWS)
    hinged.revert(model.double())
    assert model(ROWS.double()).dtype == torch.float64


def test_the_signature_of_a_rewritten_method_is_the_methods():
    model = awkward.Renamed()
    hinged.convert(model, ROWS)
    assert str(inspect.signature(model.forward)) == "(x)"


def test_a_model_without_memory_is_refused():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with pytest.raises(errors.ArgumentError, match="to_empty"):
        hinged.convert(model, ROWS)


def test_nothing_of_the_run_is_kept_alive():
    seen = []
    model = awkward.Keyword()
    handle = model.first.register_forward_hook(lambda m, args, y: seen.append(weakref.ref(y)))
    x = ROWS.clone()
    seen.append(weakref.ref(x))
    hinged.convert(model, x)
    handle.remove()
    del x
    gc.collect()
    assert len(seen) > 2 and all(each() is None for each in seen)
