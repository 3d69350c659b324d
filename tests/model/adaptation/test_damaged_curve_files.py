"""Damaged files of curves and histories: the errors are documented, and the model is unchanged."""

import json
import warnings

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors
from hinged.model.adaptation import curve_files
from tests.damage import JSON, damaged


def network(tails="linear"):
    torch.manual_seed(0)
    curves = PiecewiseLinear(3, hinges=5, tails=tails)
    return nn.Sequential(nn.Linear(2, 3), curves, nn.BatchNorm1d(3), nn.Linear(3, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def curve_file(folder):
    hinged.save_curves(network(), folder / "valid.safetensors", also="3")
    return (folder / "valid.safetensors").read_bytes()


def load_or_explain(path, resize):
    """Load a file: the file fits, or a documented error leaves the model unchanged."""
    model = network()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", errors.OtherWeightsWarning)
            hinged.load_curves(model, path, resize=resize)
    except errors.CurveFileError:
        after = model.state_dict()
        assert all(torch.equal(before[name], after[name]) for name in before)
        return
    assert model(torch.ones(4, 2)).shape == (4, 1)


@given(st.data(), st.booleans())
def test_damaged_bytes(folder, curve_file, choices, resize):
    path = folder / "bytes.safetensors"
    path.write_bytes(choices.draw(damaged([curve_file, b"", b"\0" * 8])))
    load_or_explain(path, resize)


def write_with_checksum(path, metadata, tensors):
    metadata = {name: value for name, value in metadata.items() if name != "checksum"}
    metadata["checksum"] = curve_files._checksum(metadata, tensors)
    path.write_bytes(safetensors.torch.save(tensors, metadata))


ODD_TENSORS = st.builds(
    lambda dtype, shape, value: torch.full(shape, value).to(dtype),
    st.sampled_from([torch.uint8, torch.bool, torch.int64, torch.float32, torch.float64]),
    st.sampled_from([(), (0,), (1,), (5,), (3,), (3, 5), (3, 2), (2, 2, 2)]),
    st.sampled_from([0.0, 1.0, 9.0, -1.0, float("nan"), float("inf")]),
)
NAMES = ["1.hinges", "1.values", "1._extra_state", "1.tail_slopes", "2.weight", "3.bias", "x"]
TEXTS = st.text(max_size=6) | JSON.map(json.dumps)


@given(st.data(), st.booleans())
def test_odd_contents_with_a_valid_checksum(folder, curve_file, choices, resize):
    path = folder / "contents.safetensors"
    path.write_bytes(curve_file)
    metadata, tensors = curve_files.CURVE_FILES.read(path, "f")
    metadata |= choices.draw(st.dictionaries(st.sampled_from(["also", "weights", "z"]), TEXTS))
    tensors |= choices.draw(st.dictionaries(st.sampled_from(NAMES), ODD_TENSORS, max_size=2))
    for name in choices.draw(st.sets(st.sampled_from([*metadata, *tensors]), max_size=1)):
        metadata.pop(name, None)
        tensors.pop(name, None)
    write_with_checksum(path, metadata, tensors)
    load_or_explain(path, resize)


@pytest.mark.parametrize("also", ["", "{", "null", "3", '"3"', "[3]", "[[]]", "[" * 10**5])
def test_odd_metadata_with_a_valid_checksum(folder, curve_file, also):
    path = folder / "odd.safetensors"
    path.write_bytes(curve_file)
    metadata, tensors = curve_files.CURVE_FILES.read(path, "f")
    write_with_checksum(path, metadata | {"also": also}, tensors)
    with pytest.raises(errors.CurveFileError, match=r"odd\.safetensors.*save the curves again"):
        hinged.load_curves(network(), path)


@pytest.fixture(scope="module")
def history_file(folder):
    history = hinged.History()
    for _ in range(2):
        history.record(network("free"))
    history.save(folder / "history.safetensors")
    return (folder / "history.safetensors").read_bytes()


def load_history(path):
    try:
        history = hinged.History.load(path)
    except errors.CurveFileError as error:
        said = str(error)
    else:
        said = path.name
        assert len(history.steps) == len(history.frames)
    assert path.name in said


@given(st.data())
def test_histories_with_damaged_bytes(folder, history_file, choices):
    path = folder / "bytes.history"
    path.write_bytes(choices.draw(damaged([history_file])))
    load_history(path)


@given(st.dictionaries(st.sampled_from(["steps", "tails", "channels"]), JSON), st.booleans())
def test_histories_with_odd_contents(folder, history_file, odd, whole):
    path = folder / "contents.history"
    path.write_bytes(history_file)
    metadata, tensors = curve_files.CURVE_FILES.read(path, "f")
    contents = (json.loads(metadata["contents"]) if whole else {}) | odd
    metadata["contents"] = json.dumps(contents)
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    load_history(path)


@pytest.mark.parametrize("path", ["a\0b", "a" * 300])
@pytest.mark.parametrize("call", [hinged.save_curves, hinged.load_curves])
def test_paths_that_no_file_system_allows(tmp_path, monkeypatch, call, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ArgumentError, match="give a path that the file system allows"):
        call(network(), path)
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(errors.ArgumentError, match="give a path that the file system allows"):
        call(network(), tmp_path / "loop")
