from pathlib import Path

import pytest
import torch

import hinged
from hinged import PiecewiseLinear, errors


def history():
    found = hinged.History()
    found.record(PiecewiseLinear(2))
    return found


WRITERS = {
    "hinged.save_curves(path)": lambda path: hinged.save_curves(PiecewiseLinear(2), path),
    "hinged.History.save(path)": lambda path: history().save(path),
}
READERS = {
    "hinged.load_curves(path)": lambda path: hinged.load_curves(PiecewiseLinear(2), path),
    "hinged.History.load(path)": hinged.History.load,
}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("call", WRITERS)
def test_a_missing_folder_is_named(call, tmp_path):
    with pytest.raises(errors.ArgumentError) as caught:
        WRITERS[call]("no/such/file.safetensors")
    assert str(caught.value) == (
        f"`{call}`: got 'no/such/file.safetensors', but there is no folder 'no/such'; create this "
        "folder first."
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", WRITERS | READERS)
def test_a_folder_is_no_file(call, tmp_path):
    with pytest.raises(errors.ArgumentError, match="which is a folder; give the path of a file"):
        (WRITERS | READERS)[call](tmp_path)


@pytest.mark.parametrize("call", WRITERS | READERS)
@pytest.mark.parametrize("given", [None, 3, torch.zeros(2)], ids=str)
def test_other_things_are_no_paths(call, given):
    with pytest.raises(errors.ArgumentError, match="expected the path of a file, for example"):
        (WRITERS | READERS)[call](given)


@pytest.mark.parametrize("call", READERS)
def test_a_missing_file_is_looked_for_in_the_present_folder(call, tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        READERS[call](Path("none.safetensors"))
    assert str(caught.value) == (
        f"`{call}`: got 'none.safetensors', which does not exist; give the path of an existing "
        f"file, seen from the folder {str(tmp_path)!r}."
    )


def test_the_sign_of_the_home_folder_is_explained():
    with pytest.raises(errors.ArgumentError, match=r"no folder '~'; write Path\(\.\.\.\)\.expand"):
        hinged.save_curves(PiecewiseLinear(2), "~/curves.safetensors")
    with pytest.raises(FileNotFoundError, match=r"write Path\(\.\.\.\)\.expanduser\(\)"):
        hinged.load_curves(PiecewiseLinear(2), "~/curves.safetensors")
