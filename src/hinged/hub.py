"""Saves and loads curves on the Hugging Face Hub, or in a local folder with the same files.

>>> import hinged, tempfile, torch
>>> model = torch.nn.Sequential(torch.nn.Linear(2, 8), hinged.PiecewiseLinear(8))
>>> folder = tempfile.mkdtemp()
>>> hinged.hub.save_curves(model, folder)
>>> hinged.hub.load_curves(model, folder)
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from hinged import errors
from hinged.model.adaptation.curve_files import load_curve_file, write_curve_file
from hinged.nn import curve_layers

FILE, CARD = "curves.safetensors", "README.md"
SAVE, PUSH, LOAD = "hinged.hub.save_curves", "hinged.hub.push_curves", "hinged.hub.load_curves"
Names = str | Sequence[str]


def save_curves(
    model: nn.Module,
    folder: str | os.PathLike[str],
    *,
    also: Names = (),
    base_model: str | None = None,
) -> None:
    """Write the curves of a model, with a model card, into a local folder.

    The folder then has two files. `curves.safetensors` is the file that `hinged.save_curves`
    writes. `README.md` is the model card; an existing card is not changed.

    Args:
        model: a model with `PiecewiseLinear` layers.
        folder: the folder; it is created if it does not exist.
        also: name, or sequence of names, of other modules to save, such as a trained head.
        base_model: name on the Hub of the model with the other weights, to be written into the
            card. None writes no name.

    Raises:
        ArgumentError: if the model has no curves.
        UnknownNameError: if the model has no module with a name in `also`.

    >>> import hinged, tempfile, torch
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8), nn.Linear(8, 1))
    >>> folder = tempfile.mkdtemp()
    >>> save_curves(model, folder)
    >>> sorted(path.name for path in Path(folder).iterdir())
    ['README.md', 'curves.safetensors']
    >>> load_curves(model, folder)
    """
    _write_folder(model, Path(folder), str(folder), also, base_model, SAVE)


def push_curves(
    model: nn.Module,
    repo_id: str,
    *,
    also: Names = (),
    base_model: str | None = None,
    private: bool | None = None,
    revision: str | None = None,
    message: str = "Add curves",
    token: str | bool | None = None,
) -> str:
    """Upload the curves of a model, with a model card, to a repository on the Hugging Face Hub.

    The other weights of the model are not uploaded, so the upload is small. The repository is
    created if it does not exist. An existing card is not changed.

    Args:
        model: a model with `PiecewiseLinear` layers.
        repo_id: name of the repository, `"user/name"`.
        also: name, or sequence of names, of other modules to upload, such as a trained head.
        base_model: name on the Hub of the model with the other weights, to be written into the
            card. None writes no name.
        private: whether a new repository is private. None means the default of the account.
        revision: the branch to commit to. None means the main branch.
        message: the commit message.
        token: the access token of the Hub, True for the token of the logged-in user, or False for
            none. None means the token of the logged-in user, if there is one.

    Returns:
        The URL of the commit.

    Raises:
        MissingExtraError: if the package huggingface_hub is not installed.
        ArgumentError: if the model has no curves.
        UnknownNameError: if the model has no module with a name in `also`.
    """
    errors.require_extra("hub", ["huggingface_hub"])
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name="hinged")
    with tempfile.TemporaryDirectory() as folder:
        _write_folder(model, Path(folder), repo_id, also, base_model, PUSH)
        api.create_repo(repo_id, private=private, exist_ok=True)
        has_card = api.file_exists(repo_id, CARD, revision=revision)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            commit_message=message,
            revision=revision,
            ignore_patterns=[CARD] if has_card else [],
        )
    return commit.commit_url


def load_curves(
    model: nn.Module,
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    resize: bool = False,
) -> None:
    """Load curves into a model, from the Hugging Face Hub or from a folder that `save_curves`
    wrote.

    Args:
        model: a model of the same architecture as the saved model, with curves in the same layers.
            The names, shapes and dtypes of its tensors must be those of the saved model.
        source: a local folder, or the name `"user/name"` of a repository on the Hub. If a folder
            with this name exists, the folder is used.
        revision: branch, tag or commit of the repository. None means the main branch.
        token: the access token of the Hub, True for the token of the logged-in user, or False for
            none. None means the token of the logged-in user, if there is one.
        resize: whether curve layers take their sizes from the file, as in `hinged.load_curves`.

    Raises:
        MissingExtraError: if `source` is not a folder, and the package huggingface_hub is not
            installed.
        CurveFileError: if the file is damaged, or its curves do not fit the model. The model is
            then unchanged.
        ArgumentError: if the model has no curves, if `source` is neither a folder nor a possible
            name on the Hub, or if `source` is a folder and `revision` is not None.
        OSError: if the folder has no `curves.safetensors`, or the repository cannot be reached.

    Warns:
        OtherWeightsWarning: if the curves fit, but the other weights of the model are not the
            weights of the saved model. The outputs will then differ too.

    >>> import hinged, tempfile, torch
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8))
    >>> folder = tempfile.mkdtemp()
    >>> save_curves(model, folder)
    >>> _ = nn.init.zeros_(model[1].values)
    >>> load_curves(model, folder)
    >>> model[1].values.max().item()
    3.0
    """
    if not os.path.isdir(source):  # `Path.is_dir` refuses long names.
        file = _download(os.fspath(source), revision, token)
        load_curve_file(model, file, LOAD, resize=resize)
        return
    if revision is not None:
        hint = "source is a local folder, and a folder has no revisions: leave revision out"
        raise errors.ArgumentError(errors.message(f"{LOAD}(revision=...)", repr(revision), hint))
    load_curve_file(model, Path(source) / FILE, LOAD, resize=resize)


def _download(repo_id: str, revision: str | None, token: str | bool | None) -> str:
    errors.require_extra("hub", ["huggingface_hub"])
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HFValidationError

    try:
        return hf_hub_download(repo_id, FILE, revision=revision, token=token, library_name="hinged")
    except HFValidationError:
        got = f"{repo_id!r}, which is not a folder, and cannot be a name on the Hub"
        hint = "give an existing folder, or a name such as 'user/name'"
        raise errors.ArgumentError(errors.message(f"{LOAD}(source)", got, hint)) from None


def _write_folder(
    model: nn.Module, folder: Path, source: str, also: Names, base: str | None, call: str
) -> None:
    names = [also] if isinstance(also, str) else list(also)
    card = _card(model, source, names, base, call)
    folder.mkdir(parents=True, exist_ok=True)
    write_curve_file(model, folder / FILE, names, call)
    if not (folder / CARD).exists():
        (folder / CARD).write_text(card, encoding="utf-8")


def _card(model: nn.Module, source: str, also: Sequence[str], base: str | None, call: str) -> str:
    layers = curve_layers(model, call).values()
    # JSON is valid YAML, and it quotes every name correctly.
    base_line = "" if base is None else f"base_model: {json.dumps(base)}\n"
    with_also = f", and the modules {', '.join(map(_code, also))}" if also else ""
    return _TEXT.format(
        base_line=base_line,
        base="" if base is None else f", for the weights of {_code(base)}",
        network=_code(type(model).__name__),
        layers=len(layers),
        curves=sum(layer.channels for layer in layers),
        hinges=", ".join(map(str, sorted({layer.hinges.shape[-1] for layer in layers}))),
        trained=sum(p.numel() for layer in layers for p in layer.parameters()),
        total=sum(p.numel() for p in model.parameters()),
        also=with_also,
        source=json.dumps(source),
    )


def _code(name: str) -> str:
    """Return a name as code in Markdown, whatever characters it has.

    >>> _code("layer1.conv"), _code("a`b")
    ('`layer1.conv`', '`` a`b ``')
    """
    name = " ".join(name.split())
    if "`" not in name:
        return f"`{name}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", name))))
    return f"{fence} {name} {fence}"


_TEXT = """\
---
library_name: hinged
{base_line}tags:
- hinged
- activation-functions
---

# Curves of a {network}

This repository has the trained piecewise-linear activations of a {network}{base}. It also has
the state of the normalisation layers{also}.

| | |
|---|---:|
| layers of curves | {layers:,} |
| curves | {curves:,} |
| hinges per curve | {hinges} |
| parameters in curves | {trained:,} |
| parameters in the whole model | {total:,} |

## How to load them

```python
import hinged  # pip install 'hinged[hub]'

model = ...  # the network with its original weights, and with curves at the same sites
# For a converted model: model = hinged.convert(model, batch, hinges=...), with the same number of
# hinges as above and any batch
hinged.hub.load_curves(model, {source})
```

If the curves do not fit the model, the call raises an error and the model is unchanged. If the
curves were trained with other weights than the model has, the call warns.
"""
