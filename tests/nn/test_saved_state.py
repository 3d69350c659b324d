import copy
import io
import itertools
import pickle

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils.parametrize import register_parametrization

from hinged import PiecewiseLinear, errors
from hinged.nn.saved_state import has_shape_of

INPUTS = 4 * torch.randn(64, 3, 5, generator=torch.Generator().manual_seed(1))


def free_hinges(*shape):
    return torch.linspace(-2, 2, 9) + 0.2 * torch.rand(*shape, 9)


HINGES = {
    "uniform": lambda: 9,
    "free": free_hinges,
    "one row": lambda: free_hinges(1),
    "per channel": lambda: free_hinges(3),
}


def layer(hinges="uniform", tails="linear", **kwargs):
    """A layer with values of its own, as if it had been trained."""
    made = PiecewiseLinear(3, HINGES[hinges](), init="gelu", tails=tails, **kwargs)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
    return made


def assert_same_function(first, second):
    assert first.tails == second.tails
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name
    for x in (INPUTS, INPUTS.bfloat16()):
        assert torch.equal(first(x), second(x))
    assert repr(first) == repr(second)


@pytest.mark.parametrize(("hinges", "other"), list(itertools.product(HINGES, HINGES)))
def test_state_dict_restores_the_function_bit_for_bit(hinges, other):
    same_kind = (("linear", "linear"), ("constant", "linear"), ("linear", "constant"))
    for tails, others in (*same_kind, ("free", "free")):
        source, target = layer(hinges, tails), layer(other, others)
        assert not torch.equal(source(INPUTS), target(INPUTS))
        assert not target.load_state_dict(source.state_dict()).missing_keys
        assert_same_function(source, target)


def test_state_dict_of_another_range_brings_its_range():
    source, target = layer(range=(-1.3, 0.2)), layer(range=(-7.0, 9.0))
    target.load_state_dict(source.state_dict())
    assert_same_function(source, target)


def test_state_dict_holds_everything_and_only_tensors():
    state = layer(tails="free").state_dict()
    assert set(state) == {"values", "hinges", "tail_slopes", "_extra_state"}
    assert all(isinstance(entry, torch.Tensor) for entry in state.values())


def test_training_goes_on_after_loading():
    target = layer("free")
    optimiser = torch.optim.SGD(target.parameters(), lr=0.1)
    target.load_state_dict(layer("per channel").state_dict())
    before = target.values.detach().clone()
    target(INPUTS).square().mean().backward()
    optimiser.step()
    assert not torch.equal(target.values, before)


@pytest.mark.parametrize("hinges", HINGES)
@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_copies_compute_the_same_and_share_nothing(hinges, tails):
    source = layer(hinges, tails)
    for copied in (copy.deepcopy(source), pickle.loads(pickle.dumps(source))):
        assert_same_function(source, copied)
        with torch.no_grad():
            copied.values.add_(1)
            copied.hinges.mul_(2)
        assert not torch.equal(source.values, copied.values)
        assert not torch.equal(source.hinges, copied.hinges)


@pytest.mark.parametrize("hinges", HINGES)
@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_files_restore_a_model_bit_for_bit(hinges, tails, tmp_path):
    source = nn.Sequential(nn.Conv1d(3, 3, 1), layer(hinges, tails))
    torch_file, safe_file = tmp_path / "model.pt", str(tmp_path / "model.safetensors")
    torch.save(source.state_dict(), torch_file)
    safetensors.torch.save_model(source, safe_file)
    target = nn.Sequential(nn.Conv1d(3, 3, 1), layer("uniform", tails))
    target.load_state_dict(torch.load(torch_file, weights_only=True))
    assert torch.equal(source(INPUTS), target(INPUTS))
    target = nn.Sequential(nn.Conv1d(3, 3, 1), layer("uniform", tails))
    assert safetensors.torch.load_model(target, safe_file) == (set(), [])
    assert torch.equal(source(INPUTS), target(INPUTS))
    assert target[1].tails == tails


def test_a_whole_layer_survives_torch_save():
    source, file = layer("per channel", "free"), io.BytesIO()
    torch.save(source, file)
    file.seek(0)
    assert_same_function(source, torch.load(file, weights_only=False))


UNFIT = {
    "channels": (lambda: PiecewiseLinear(4), "values of shape (4, 9)", "(3, 9)"),
    "hinges": (lambda: PiecewiseLinear(3, 5), "values of shape (3, 5)", "(3, 9)"),
    "free": (lambda: layer(tails="free"), "tails='free'", "tails='linear'"),
}


@pytest.mark.parametrize("case", UNFIT)
@pytest.mark.parametrize("strict", [True, False])
def test_a_state_that_does_not_fit_names_both_and_changes_nothing(case, strict):
    source, got, expected = UNFIT[case]
    target = layer("free")
    before = copy.deepcopy(target)
    tensors = [target.values, target.hinges]
    with pytest.raises(RuntimeError) as caught:
        target.load_state_dict(source().state_dict(), strict=strict)
    assert got in str(caught.value)
    assert expected in str(caught.value)
    assert_same_function(target, before)
    assert target.values is tensors[0]
    assert target.hinges is tensors[1]


def test_linear_tails_do_not_load_into_free_ones():
    target = layer(tails="free")
    before = copy.deepcopy(target)
    message = (
        "got tails='linear'; this layer has tails='free': create it with the tails of the saved"
    )
    with pytest.raises(RuntimeError, match=message):
        target.load_state_dict(layer().state_dict())
    assert_same_function(target, before)


def test_hinges_of_a_wrong_shape_are_refused_and_change_nothing():
    target = layer()
    before = copy.deepcopy(target)
    for shape in ((7,), (2, 9), (9, 3)):
        state = target.state_dict() | {"hinges": torch.zeros(shape)}
        with pytest.raises(RuntimeError, match=r"this layer takes \(9,\) or \(3, 9\)") as caught:
            target.load_state_dict(state)
        assert f"hinges of shape {shape}" in str(caught.value)
        assert_same_function(target, before)


def test_the_message_names_the_place_in_a_model():
    model = nn.Sequential(nn.Identity(), nn.Sequential(layer()))
    other = nn.Sequential(nn.Identity(), nn.Sequential(PiecewiseLinear(4)))
    with pytest.raises(RuntimeError, match=r"dict\(1\.0\)`: got values of shape \(4, 9\)"):
        model.load_state_dict(other.state_dict())


def test_hinges_that_collapse_when_loaded_into_bfloat16_are_refused():
    source = PiecewiseLinear(hinges=[1.0, 1.001, 1.002], init="identity")
    target = PiecewiseLinear(hinges=3, init="identity", dtype=torch.bfloat16)
    before = copy.deepcopy(target)
    with pytest.raises((RuntimeError, errors.ArgumentError), match="a repeated hinge"):
        target.load_state_dict(source.state_dict())
    assert_same_function(target, before)


@pytest.mark.parametrize("hinges", HINGES)
@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
def test_moving_there_and_back_keeps_the_function(hinges, tails):
    source = layer(hinges, tails)
    for moved in (
        copy.deepcopy(source).to(torch.float64).to(torch.float32),
        copy.deepcopy(source).double().float(),
        copy.deepcopy(source).to("cpu"),
    ):
        assert_same_function(source, moved)
    wide = copy.deepcopy(source).double()
    assert wide.values.dtype == wide.hinges.dtype == torch.float64
    torch.testing.assert_close(wide(INPUTS.double()), source(INPUTS).double(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("hinges", HINGES)
def test_moving_to_half_rounds_hinges_and_values_and_nothing_else(hinges, dtype):
    source = layer(hinges)
    rounded = PiecewiseLinear(3, source.hinges.to(dtype), init=lambda x: x, dtype=dtype)
    with torch.no_grad():
        rounded.values.copy_(source.values)
    moved = source.to(dtype)
    assert torch.equal(moved.hinges, rounded.hinges)
    assert moved.values.dtype == dtype
    assert torch.equal(moved(INPUTS.to(dtype)), rounded(INPUTS.to(dtype)))


def test_meta_layers_are_built_without_memory():
    positions = free_hinges(3)
    with torch.device("meta"):
        inside = PiecewiseLinear(3, positions, init="gelu", tails="free")
    for meta in (PiecewiseLinear(3, device="meta"), inside, PiecewiseLinear(3).to("meta")):
        tensors = [*meta.parameters(), *meta.buffers()]
        assert all(tensor.is_meta for tensor in tensors)
        assert meta(torch.zeros(2, 3, 4, device="meta")).shape == (2, 3, 4)
        assert "hinges=9" in repr(meta)


@pytest.mark.parametrize("hinges", HINGES)
def test_meta_layers_become_real_by_loading(hinges):
    source = layer(hinges, "constant")
    assigned = PiecewiseLinear(3, device="meta")
    assigned.load_state_dict(source.state_dict(), assign=True)
    emptied = PiecewiseLinear(3, device="meta").to_empty(device="cpu")
    emptied.load_state_dict(source.state_dict())
    for loaded in (assigned, emptied):
        assert_same_function(source, loaded)
        assert loaded.values.requires_grad


def test_the_default_dtype_and_device_are_followed():
    torch.set_default_dtype(torch.float64)
    try:
        made = PiecewiseLinear(3)
    finally:
        torch.set_default_dtype(torch.float32)
    assert made.values.dtype == made.hinges.dtype == torch.float64


ODD_CODES = [
    torch.tensor(-1),
    torch.tensor(3),
    torch.tensor([0, 1]),
    torch.tensor([]),
    torch.tensor(float("nan")),
    torch.tensor(1j),
    torch.tensor(1 + 0j),
    torch.empty((), device="meta"),
    torch.tensor([1]).to_sparse(),
    "linear",
    None.__class__,
    [1] * 100,
]


@pytest.mark.parametrize("code", ODD_CODES, ids=range(len(ODD_CODES)))
def test_an_odd_kind_of_tails_in_a_state(code):
    layer = PiecewiseLinear(3)
    with pytest.raises(RuntimeError, match="expected a number from 0 to 2 for the kind of tails"):
        layer.load_state_dict(layer.state_dict() | {"_extra_state": code})
    assert layer.tails == "linear"


def test_slopes_of_another_shape_are_refused_in_words():
    target = layer(tails="free")
    state = target.state_dict() | {"tail_slopes": torch.zeros(2, 2)}
    with pytest.raises(
        RuntimeError, match=r"load_state_dict\(\)`: got tail_slopes of shape \(2, 2\)"
    ):
        target.load_state_dict(state)


@pytest.mark.parametrize("tails", ["linear", "free"])
def test_a_state_of_parameters_only_is_loaded_onto_the_hinges_of_the_layer(tails):
    source, target = layer(tails=tails), layer(tails=tails)
    hinges = target.hinges
    state = {f"0.{name}": tensor.detach() for name, tensor in source.named_parameters()}
    loaded = nn.Sequential(target).load_state_dict(state, strict=False)
    assert set(loaded.missing_keys) == {"0.hinges", "0._extra_state"}
    assert target.hinges is hinges
    assert_same_function(target, source)
    with pytest.raises(RuntimeError, match=r'Missing key.*"0\.hinges"'):
        nn.Sequential(target).load_state_dict(state)


@pytest.mark.parametrize("assign", [False, True])
@pytest.mark.parametrize("missing", ["values", "tail_slopes"])
def test_a_state_without_a_trained_tensor_leaves_the_curves_as_they_are(missing, assign):
    source, target = layer("free", "free"), layer("uniform", "free")
    before = copy.deepcopy(target)
    state = source.state_dict()
    del state[missing], state["_extra_state"]
    loaded = target.load_state_dict(state | {"valuez": 1}, strict=False, assign=assign)
    assert set(loaded.missing_keys) == {missing, "_extra_state"}
    assert loaded.unexpected_keys == ["valuez"]
    assert_same_function(target, before)


def test_a_state_of_values_leaves_a_layer_whose_values_are_parametrised():
    target = PiecewiseLinear(3)
    register_parametrization(target, "values", nn.Tanh())
    before = target(INPUTS)
    loaded = target.load_state_dict(layer("free").state_dict(), strict=False)
    assert loaded.missing_keys == ["parametrizations.values.original"]
    assert torch.equal(target(INPUTS), before)
    source = copy.deepcopy(target)
    nn.init.normal_(source.parametrizations["values"].original)
    target.load_state_dict(source.state_dict())
    assert torch.equal(target(INPUTS), source(INPUTS))


def test_a_layer_has_the_shape_of_its_own_state_with_any_hinges():
    made = layer()
    state = made.state_dict()
    assert has_shape_of(made, state | {"hinges": torch.zeros(3, 9)})
    assert not has_shape_of(made, state | {"values": torch.zeros(4, 9)})
    assert not has_shape_of(made, {"hinges": state["hinges"]})
