import copy
import json
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors, load_curves, save_curves
from hinged._torchvision_operators import declare_missing


def network(seed=0, dtype=torch.float32, hinges=9, tails="linear", channels=6):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, channels, 3),
        nn.BatchNorm2d(channels),
        PiecewiseLinear(channels, hinges=hinges, tails=tails),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(channels, 5),
        PiecewiseLinear(1, init="gelu"),
    ).to(dtype)


def shaken(model):
    """The model with curves, statistics and normalisation of its own."""
    torch.manual_seed(7)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, PiecewiseLinear | nn.BatchNorm2d):
                for tensor in (*module.parameters(), *module.buffers()):
                    if tensor.is_floating_point() and tensor is not module._buffers.get("hinges"):
                        tensor.copy_(torch.rand_like(tensor) + 0.1)
    return model


def bits(model):
    return {
        name: tensor.clone().reshape(-1).view(torch.uint8)
        for name, tensor in model.state_dict().items()
    }


def same_bits(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "curves.safetensors"


@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_curves_come_back_to_the_last_bit(path, dtype, tails):
    trained, fresh = shaken(network(dtype=dtype, tails=tails)), network(dtype=dtype, tails=tails)
    assert not same_bits(bits(trained), bits(fresh))
    save_curves(trained, path)
    load_curves(fresh, path)
    assert same_bits(bits(trained), bits(fresh))
    x = torch.randn(4, 3, 8, 8, dtype=dtype)
    assert torch.equal(trained.eval()(x), fresh.eval()(x))


def test_a_file_holds_what_state_dict_holds_and_nothing_else(path):
    model = shaken(network())
    save_curves(model, path)
    held, state = load_file(path), model.state_dict()
    assert held.keys() == {name for name in state if name.split(".")[0] in "126"}
    assert all(torch.equal(held[name], state[name]) for name in held)


def test_hinges_of_each_channel_and_tails_come_with_the_file(path):
    moved = torch.linspace(-4, 4, 9).repeat(6, 1) * torch.arange(1.0, 7.0)[:, None]
    trained, fresh = network(hinges=moved, tails="constant"), network()
    save_curves(shaken(trained), path)
    load_curves(fresh, path)
    assert fresh[2].tails == "constant" and torch.equal(fresh[2].hinges, moved)


def test_a_head_is_kept_where_asked(path):
    trained, fresh = shaken(network()), network()
    nn.init.normal_(trained[5].weight)
    save_curves(trained, path, also="5")
    load_curves(fresh, path)
    assert same_bits(bits(trained), bits(fresh))
    headless = nn.Sequential(*list(network())[:5], nn.Identity(), PiecewiseLinear(1, init="gelu"))
    with pytest.raises(
        errors.CurveFileError, match=r"2 names of tensors .*only the file has '5.bias'"
    ):
        load_curves(headless, path)


@pytest.mark.slow
def test_a_resnet18_takes_less_than_300_kb_and_a_fresh_one_gives_the_same_outputs(path):
    declare_missing()
    resnet18 = pytest.importorskip("torchvision").models.resnet18
    plain, x = resnet18(), torch.randn(2, 3, 64, 64)
    trained = shaken(hinged.convert(copy.deepcopy(plain), x))
    save_curves(trained, path)
    assert path.stat().st_size < 300_000

    fresh = resnet18()
    fresh.load_state_dict(plain.state_dict())
    fresh = hinged.convert(fresh, torch.randn(3, 3, 32, 32))  # Other data, other hinges.
    assert not same_bits(bits(trained), bits(fresh))
    load_curves(fresh, path)
    assert same_bits(bits(trained), bits(fresh))
    with torch.no_grad():
        assert torch.equal(trained.eval()(x), fresh.eval()(x))


def test_other_weights_are_said(path):
    save_curves(network(), path)
    with pytest.warns(errors.OtherWeightsWarning, match="outputs will differ too") as caught:
        load_curves(network(seed=1), path)
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("error")
def test_where_that_warning_is_an_error_nothing_changes(path):
    save_curves(shaken(network()), path)
    model = network(seed=1)
    before = bits(model)
    with pytest.raises(errors.OtherWeightsWarning):
        load_curves(model, path)
    assert same_bits(bits(model), before)


def cut(path, share):
    contents = path.read_bytes()
    path.write_bytes(contents[: int(len(contents) * share)])


def flip(path, place):
    contents = bytearray(path.read_bytes())
    contents[place] ^= 1
    path.write_bytes(contents)


def rewrite(path, change):
    """Change the header's metadata and keep the rest of the file."""
    contents = path.read_bytes()
    (length,) = struct.unpack("<Q", contents[:8])
    header = json.loads(contents[8 : 8 + length])
    change(header["__metadata__"])
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + contents[8 + length :])


DAMAGE = {
    "empty": (lambda path: path.write_bytes(b""), "truncated, or not a safetensors file"),
    "cut in the header": (lambda path: cut(path, 0.1), "truncated, or not a safetensors file"),
    "cut in the data": (lambda path: cut(path, 0.9), "truncated, or not a safetensors file"),
    "a byte short": (lambda path: cut(path, 0.9999), "truncated, or not a safetensors file"),
    "text": (lambda path: path.write_text("curves" * 99), "truncated, or not a safetensors file"),
    "a pickle": (lambda path: torch.save({}, path), "truncated, or not a safetensors file"),
    "a bit of the data": (lambda path: flip(path, -9), "differ from its checksum"),
    "the metadata": (
        lambda path: rewrite(path, lambda held: held.update(also='["5"]')),
        "differ from its checksum",
    ),
    "no checksum": (
        lambda path: rewrite(path, lambda held: held.pop("checksum")),
        "differ from its checksum",
    ),
    "a later version": (
        lambda path: rewrite(path, lambda held: held.update(version="2")),
        r"format version '2'; this release of hinged reads only format version 1: update hinged",
    ),
    "another program's": (
        lambda path: save_file(network().state_dict(), path),
        "a file from another program; expected a file that hinged.save_curves has",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_in_a_sentence_and_changes_nothing(path, damage):
    save_curves(shaken(network()), path)
    harm, message = DAMAGE[damage]
    harm(path)
    model = network()
    before = bits(model)
    with pytest.raises(errors.CurveFileError, match=message) as caught:
        load_curves(model, path)
    assert same_bits(bits(model), before)
    assert str(caught.value).startswith("`hinged.load_curves(path)`: got ")


@pytest.mark.parametrize("step", range(0, 4000, 97))
def test_no_flipped_bit_passes(path, step):
    save_curves(shaken(network()), path)
    flip(path, step % path.stat().st_size)
    model = network()
    before = bits(model)
    with pytest.raises(errors.CurveFileError):
        load_curves(model, path)
    assert same_bits(bits(model), before)


OTHERS = {
    "channels": ({"channels": 7}, r"values of shape \(6, 9\)|shape \(6,\)"),
    "hinges": ({"hinges": 5}, r"values of shape \(6, 9\); this layer has \(6, 5\)"),
    "tails": ({"tails": "free"}, "1 names of tensors differ"),
    "dtype": (
        {"dtype": torch.float64},
        "torch.float32 of shape .* the model needs torch.float64",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_file_of_another_model_is_refused_and_changes_nothing(path, what):
    save_curves(shaken(network()), path)
    given, message = OTHERS[what]
    model = network(**given)
    before = bits(model)
    with pytest.raises(errors.CurveFileError, match=message):
        load_curves(model, path)
    assert same_bits(bits(model), before)


def test_other_names_are_refused(path):
    save_curves(network(), path)
    with pytest.raises(errors.CurveFileError, match="belongs to a model with other layers"):
        load_curves(nn.Sequential(*list(network())[2:]), path)


def test_a_failed_save_leaves_the_old_file_and_no_other(path, monkeypatch):
    save_curves(network(), path)
    before = path.read_bytes()
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        save_curves(shaken(network()), path)
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_layer_alone_and_one_of_two_names_are_models(path):
    layer = PiecewiseLinear(3)
    save_curves(layer, path)
    load_curves(copy.deepcopy(layer), path)
    shared = nn.Sequential(layer, nn.Linear(3, 3), layer)
    save_curves(shared, path)
    load_curves(copy.deepcopy(shared), path)


def test_a_model_without_curves_and_an_unknown_head_are_refused(path):
    with pytest.raises(errors.ArgumentError, match="a Linear without curves"):
        save_curves(nn.Linear(2, 2), path)
    with pytest.raises(errors.UnknownNameError, match="'fc'"):
        save_curves(network(), path, also="fc")
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        hinged.load_curves(network(), path)


def simplified(model):
    hinged.simplify(model, 0.3)


def shared(model):
    for layer in (model[2], model[6]):
        layer.values.data.copy_(layer.values.data[:1].clone())
    hinged.share(model, 0.0)


def calibrated(model):
    hinged.calibrate(model, torch.randn(50, 3, 9, 9), hinges=17, placement="quantile")


def with_free_tails(model):
    slopes = torch.rand(model[2].channels, 2)
    curve = model[2].curve()
    model[2].set_curve(hinged.Curve(curve.hinges, curve.values, "free", slopes))


CHANGES = [simplified, shared, calibrated, with_free_tails]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("target", [lambda: network(hinges=33), lambda: shaken(network(hinges=5))])
def test_curves_of_another_size_fit_where_resizing_is_allowed(path, change, target):
    model, x = shaken(network()), torch.randn(2, 3, 9, 9)
    change(model)
    save_curves(model, path)
    fresh = target()
    before = bits(fresh)
    with pytest.raises(errors.CurveFileError):
        load_curves(fresh, path)
    assert same_bits(bits(fresh), before)
    load_curves(fresh, path, resize=True)
    assert torch.equal(fresh.eval()(x), model.eval()(x))
    assert [str(layer) for layer in fresh] == [str(layer) for layer in model]
    load_curves(fresh, path)


def test_all_curves_fit_a_model_whose_channels_share_one(path):
    model, x = shaken(network()), torch.randn(2, 3, 9, 9)
    save_curves(model, path)
    fresh = network()
    shared(fresh)
    load_curves(fresh, path, resize=True)
    assert torch.equal(fresh.eval()(x), model.eval()(x))


def test_resizing_does_not_change_the_number_of_channels(path):
    save_curves(shaken(network(channels=4)), path)
    fresh = network()
    before = bits(fresh)
    with pytest.raises(errors.HingedError, match="4 channels"):
        load_curves(fresh, path, resize=True)
    assert same_bits(bits(fresh), before)


class Wrapper(nn.Module):
    """Stands for the models of peft: a module in a module, and a module with a trained copy."""

    def __init__(self, model):
        super().__init__()
        self.base_model = nn.Module()
        self.base_model.model = model
        trained = nn.Module()
        trained.original_module = model[2]
        trained.modules_to_save = nn.ModuleDict({"default": copy.deepcopy(model[2])})
        model[2] = trained


@pytest.mark.parametrize("wrap", [Wrapper, torch.compile])
def test_names_that_wrappers_add_do_not_count(path, wrap):
    wrapped = wrap(network())
    shaken(wrapped)
    save_curves(
        wrapped, path, also=[name for name, _ in wrapped.named_modules() if name[-1:] == "5"]
    )
    plain = network()
    load_curves(plain, path)
    changed = next(m for n, m in wrapped.named_modules() if n.endswith(("default", "_orig_mod.2")))
    assert torch.equal(plain[2].values, changed.values) and plain[2].values.min() > 0
    save_curves(shaken(network()), path)
    load_curves(wrapped, path)


@pytest.mark.parametrize(
    "package, error",
    [("numpy", errors.MissingExtraError), ("a", ModuleNotFoundError), ("z", ModuleNotFoundError)],
)
def test_only_a_missing_numpy_is_explained(tmp_path, monkeypatch, package, error):
    def save(*_):
        raise ModuleNotFoundError(name=package)

    monkeypatch.setattr("safetensors.torch.save", save)
    with pytest.raises(error):
        hinged.save_curves(nn.Sequential(PiecewiseLinear(2)), tmp_path / "curves.safetensors")
