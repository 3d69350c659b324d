import inspect
import subprocess
import sys
from types import SimpleNamespace

import huggingface_hub
import pytest
import torch
import yaml
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors, hub


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), PiecewiseLinear(6, hinges=7), nn.Flatten(),
        nn.Linear(54, 4), PiecewiseLinear(4, tails="free", init="gelu"), nn.Linear(4, 2),
    ).eval()  # fmt: skip


def trained():
    model = network()
    with torch.no_grad():
        for index in (1, 2, 5):
            for parameter in model[index].parameters():
                parameter.add_(torch.randn_like(parameter))
        model[1].running_mean.normal_()
    return model


def same(first, second):
    x = torch.randn(4, 3, 5, 5)
    return torch.equal(first(x), second(x))


def front_matter(card):
    _, head, text = card.split("---\n", 2)
    return yaml.safe_load(head), text


class Api:
    """Replaces the Hub by local folders, one for each repository, and records all calls."""

    def __init__(self, root):
        self.root, self.calls = root, []

    def __call__(self, **settings):
        self.settings = settings
        return self

    def create_repo(self, repo_id, **settings):
        self.calls.append(("create", repo_id, settings))
        (self.root / repo_id).mkdir(parents=True, exist_ok=settings["exist_ok"])

    def file_exists(self, repo_id, filename, revision):
        assert revision is None
        return (self.root / repo_id / filename).exists()

    def upload_folder(self, *, repo_id, folder_path, ignore_patterns, **settings):
        self.calls.append(("upload", repo_id, settings))
        for path in type(self.root)(folder_path).iterdir():
            if path.name not in ignore_patterns:
                (self.root / repo_id / path.name).write_bytes(path.read_bytes())
        return SimpleNamespace(commit_url=f"https://huggingface.co/{repo_id}/commit/1")

    def download(self, repo_id, filename, **settings):
        self.calls.append(("download", repo_id, settings))
        return str(self.root / repo_id / filename)


@pytest.fixture
def api(tmp_path, monkeypatch):
    made = Api(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", made)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", made.download)
    return made


def test_curves_loaded_from_a_folder_compute_the_same_function(tmp_path):
    model, fresh = trained(), network()
    assert not same(model, fresh)
    hub.save_curves(model, tmp_path / "made" / "anew")
    hub.load_curves(fresh, tmp_path / "made" / "anew")
    assert same(model, fresh)


def test_the_file_in_a_folder_can_be_loaded_directly(tmp_path):
    model, fresh = trained(), network()
    hub.save_curves(model, tmp_path)
    hinged.load_curves(fresh, tmp_path / "curves.safetensors")
    assert same(model, fresh)


def test_the_model_card_describes_the_curves(tmp_path):
    hub.save_curves(trained(), tmp_path, base_model="some: one/net#1", also="6")
    head, text = front_matter((tmp_path / "README.md").read_text())
    assert head["library_name"] == "hinged" and head["base_model"] == "some: one/net#1"
    assert "hinged" in head["tags"]
    assert "| layers of curves | 2 |" in text and "| curves | 10 |" in text
    assert "| hinges per curve | 7, 9 |" in text
    values = 6 * 7 + 4 * 9 + 4 * 2
    assert f"| parameters in curves | {values} |" in text
    total = 6 * 28 + 12 + 55 * 4 + 5 * 2 + values
    assert f"| parameters in the whole model | {total} |" in text
    assert "modules `6`" in text and f'load_curves(model, "{tmp_path}")' in text


def test_names_in_a_card_are_code_whatever_characters_they_have(tmp_path):
    model = trained()
    model.__class__ = type("Net`s | <b>*one*</b>", (type(model),), {})
    hub.save_curves(model, tmp_path, base_model="a`b\n# c")
    _, text = front_matter((tmp_path / "README.md").read_text())
    assert "activations of a `` Net`s | <b>*one*</b> ``, for the weights of `` a`b # c ``." in text


def test_a_card_without_a_base_model_names_none(tmp_path):
    hub.save_curves(trained(), tmp_path)
    head, _ = front_matter((tmp_path / "README.md").read_text())
    assert "base_model" not in head


def test_an_edited_card_is_not_changed(tmp_path, api):
    (tmp_path / "README.md").write_text("mine")
    hub.save_curves(trained(), tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"
    hub.push_curves(trained(), "me/curves")
    card = api.root / "me" / "curves" / "README.md"
    card.write_text("mine")
    hub.push_curves(trained(), "me/curves")
    assert card.read_text() == "mine"


def test_pushed_curves_can_be_loaded(api):
    model, fresh = trained(), network()
    model[6].bias.data.add_(1.0)
    url = hub.push_curves(
        model, "me/curves", also="6", private=True, token="secret", message="Better curves"
    )
    assert url == "https://huggingface.co/me/curves/commit/1"
    assert api.settings["token"] == "secret"
    create, upload = api.calls
    assert create == ("create", "me/curves", {"private": True, "exist_ok": True})
    assert upload[2] == {"commit_message": "Better curves", "revision": None}
    files = sorted(path.name for path in (api.root / "me" / "curves").iterdir())
    assert files == ["README.md", "curves.safetensors"]
    _, text = front_matter((api.root / "me" / "curves" / "README.md").read_text())
    assert 'load_curves(model, "me/curves")' in text

    hub.load_curves(fresh, "me/curves", revision="v1", token="secret")
    assert same(model, fresh)
    settings = {"revision": "v1", "token": "secret", "library_name": "hinged"}
    assert api.calls[-1] == ("download", "me/curves", settings)


def test_the_functions_of_the_hub_accept_the_arguments_used_here():
    """The class `Api` above has the same arguments as the real functions."""
    for name, arguments in {
        "create_repo": {"private", "exist_ok"},
        "file_exists": {"revision"},
        "upload_folder": {"repo_id", "folder_path", "commit_message", "revision",
                          "ignore_patterns"},
    }.items():  # fmt: skip
        signature = inspect.signature(getattr(huggingface_hub.HfApi, name))
        assert arguments <= set(signature.parameters)


def test_a_model_without_curves_raises_before_any_folder_is_created(tmp_path, api):
    with pytest.raises(errors.ArgumentError, match=r"hinged.hub.push_curves\(model\)"):
        hub.push_curves(nn.Linear(2, 2), "me/curves")
    with pytest.raises(errors.ArgumentError, match=r"hinged.hub.save_curves\(model\)"):
        hub.save_curves(nn.Linear(2, 2), tmp_path / "folder")
    assert not api.calls and not (tmp_path / "folder").exists()


def test_an_unknown_module_raises_before_any_upload(api):
    with pytest.raises(errors.UnknownNameError, match=r"push_curves\(also=\.\.\.\)`: got 'head'"):
        hub.push_curves(trained(), "me/curves", also="head")
    assert not api.calls


def test_a_revision_of_a_folder_raises(tmp_path):
    hub.save_curves(trained(), tmp_path)
    with pytest.raises(errors.ArgumentError, match="a folder has no revisions"):
        hub.load_curves(network(), tmp_path, revision="v1")


def test_curves_of_another_model_raise(tmp_path):
    hub.save_curves(trained(), tmp_path)
    with pytest.raises(errors.CurveFileError, match=r"`hinged\.hub\.load_curves\(path\)`: got"):
        hub.load_curves(network()[:3], tmp_path)


@pytest.mark.slow
def test_folders_need_no_extra_but_repositories_need_huggingface_hub(tmp_path):
    code = (
        "import importlib.util as u, sys; find = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n == 'huggingface_hub' else find(n, *a)\n"
        "import hinged; model = hinged.PiecewiseLinear(2)\n"
        f"hinged.hub.save_curves(model, {str(tmp_path)!r})\n"
        f"hinged.hub.load_curves(model, {str(tmp_path)!r})\n"
        "print('huggingface_hub' in sys.modules)\n"
        "hinged.hub.load_curves(model, 'me/curves')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n"
    assert "MissingExtraError" in done.stderr and "pip install 'hinged[hub]'" in done.stderr


@pytest.mark.parametrize("source", ["no/such/folder", "./curves", "a" * 300, "a\0b"])
def test_a_source_that_cannot_be_on_the_hub_raises(source):
    message = (
        r"load_curves\(source\)`: got .* which is not a folder, and cannot be a name on the Hub"
    )
    with pytest.raises(errors.ArgumentError, match=message):
        hub.load_curves(network(), source)
