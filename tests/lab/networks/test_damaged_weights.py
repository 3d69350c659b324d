"""Damaged and odd files of weights: `DataError`, with the file's name, is the only error."""

import io
import json
import zipfile

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged import errors
from hinged.lab.networks import pretrained
from tests.damage import JSON, damaged

STATE = {"a.weight": torch.ones(3, 2), "a.bias": torch.zeros(3), "n": torch.tensor(4)}


def saved(contents, **arguments):
    file = io.BytesIO()
    torch.save(contents, file, **arguments)
    return file.getvalue()


def with_image_form(value):
    return safetensors.torch.save(STATE, {"hinged": value})


FORM = {"mean": [1.0, 2.0, 3.0], "std": [1.0, 1.0, 1.0], "side": 32}
TORCH = [
    saved(STATE),
    saved({"state_dict": STATE}),
    saved(STATE, _use_new_zipfile_serialization=False),
]
SAFETENSORS = [safetensors.torch.save(STATE), with_image_form(json.dumps(FORM))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("weights")


def read_or_explain(path, content):
    path.write_bytes(content)
    said = path.name
    try:
        weights = pretrained.read_weights_file(path)
    except errors.DataError as error:
        said = str(error)
    else:
        assert weights.state and weights.name
    assert path.name in said and "\n" not in said, said


@given(damaged(TORCH))
def test_damaged_files_of_torch(folder, content):
    read_or_explain(folder / "weights.pt", content)


@given(damaged(SAFETENSORS))
def test_damaged_safetensors(folder, content):
    read_or_explain(folder / "weights.safetensors", content)


PLACES = st.sampled_from(["mean", "std", "side"])


@given(st.dictionaries(PLACES, JSON, max_size=2), st.booleans(), JSON)
def test_odd_forms_of_images(folder, odd, whole, other):
    content = with_image_form(json.dumps(FORM | odd if whole else other))
    read_or_explain(folder / "form.safetensors", content)


ODD = {
    "numbers as names": ({0: torch.ones(3)}, "the name of a tensor is 0"),
    "mixed names": (
        {"a": torch.ones(3), (1, 2): torch.ones(3)},
        r"the name of a tensor is \(1, 2\)",
    ),
    "sparse": (lambda: {"a": torch.eye(3).to_sparse()}, "a is a tensor of layout torch.sparse_coo"),
    "compressed rows": (lambda: {"a": torch.eye(3).to_sparse_csr()}, "layout torch.sparse_csr"),
    "meta": ({"a": torch.empty(3, device="meta")}, "a is a meta tensor"),
    "expanded": ({"a": torch.zeros(1).expand(10**12)}, "more than 4 times those of the file"),
    "no names": ([torch.ones(3)], "contains no state dict"),
    "a text": ("weights", "contains no state dict"),
}


@pytest.mark.filterwarnings("ignore:.*[Ss]parse")
@pytest.mark.parametrize("name", ODD)
def test_odd_tensors_get_one_sentence(tmp_path, name):
    contents, fault = ODD[name]
    contents = contents() if callable(contents) else contents
    (tmp_path / "odd.pt").write_bytes(saved(contents))
    with pytest.raises(errors.DataError, match=rf"odd\.pt.*{fault}"):
        pretrained.read_weights_file(tmp_path / "odd.pt")


def test_compressed_archives_are_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data/0", bytes(10**7))
    assert (tmp_path / "bomb.pt").stat().st_size < 10**5
    with pytest.raises(errors.DataError, match=r"bomb\.pt.*unpacks to 10,000,000 bytes"):
        pretrained.read_weights_file(tmp_path / "bomb.pt")
