"""Curves on the Hugging Face Hub, or in a folder laid out as there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from hinged import errors
from hinged.model import load_curves as load_file
from hinged.model import save_curves as save_file
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
    """Write a model's curves and a card that describes them into a folder.

    The folder holds `curves.safetensors`, as `hinged.save_curves` writes it, and `README.md`, the
    model card; a card that is there already stays.

    Args:
        model: a model with curves.
        folder: made if it is not there.
        also: names of modules to include, such as a head that was trained.
        base_model: the name on the Hub of the model whose weights the curves belong to.

    Raises:
        ArgumentError: a model without curves.
        UnknownNameError: a module that the model does not have.

    >>> import hinged, tempfile, torch
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8), nn.Linear(8, 1))
    >>> folder = tempfile.mkdtemp()
    >>> save_curves(model, folder)
    >>> sorted(path.name for path in Path(folder).iterdir())
    ['README.md', 'curves.safetensors']
    >>> load_curves(model, folder)
    """
    _write(model, Path(folder), str(folder), also, base_model, SAVE)


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
    """Upload a model's curves and their card to the Hub, making the repository where there is none.

    Kilobytes, whatever the size of the model. A card that the repository has already stays.

    Args:
        model: a model with curves.
        repo_id: `"user/name"` of the repository.
        also: names of modules to include, such as a head that was trained.
        base_model: the name on the Hub of the model whose weights the curves belong to.
        private: whether a repository that is made is private; None for the account's default.
        revision: the branch to commit to; None for the main one.
        message: the commit's message.
        token: as everywhere in `huggingface_hub`; None for the one that is logged in.

    Returns:
        The address of the commit.

    Raises:
        MissingExtraError: huggingface_hub is not installed.
        ArgumentError: a model without curves.
        UnknownNameError: a module that the model does not have.
    """
    errors.require_extra("hub", ["huggingface_hub"])
    from huggingface_hub import HfApi

    api = HfApi(token=token, library_name="hinged")
    with tempfile.TemporaryDirectory() as folder:
        _write(model, Path(folder), repo_id, also, base_model, PUSH)
        api.create_repo(repo_id, private=private, exist_ok=True)
        kept = [CARD] if api.file_exists(repo_id, CARD, revision=revision) else []
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            commit_message=message,
            revision=revision,
            ignore_patterns=kept,
        )
    return commit.commit_url


def load_curves(
    model: nn.Module,
    source: str | os.PathLike[str],
    *,
    revision: str | None = None,
    token: str | bool | None = None,
) -> None:
    """Put curves from the Hub, or from a folder laid out as there, into a model.

    Args:
        model: the model that was saved, made anew: the same names, shapes and dtypes.
        source: a folder, or the `"user/name"` of a repository; a folder of that name comes first.
        revision: branch, tag or commit of the repository.
        token: as everywhere in `huggingface_hub`; None for the one that is logged in.

    Raises:
        MissingExtraError: no folder, and huggingface_hub is not installed.
        CurveFileError: what `hinged.load_curves` refuses.
        ArgumentError: a model without curves, or a revision of a folder.
        OSError: the folder holds no curves, or the repository cannot be reached.

    Warns:
        OtherWeightsWarning: the model's other weights are not those the curves were saved with.
    """
    if not Path(source).is_dir():
        load_file(model, _download(os.fspath(source), revision, token))
        return
    if revision is not None:
        hint = "a folder has no revisions: leave it out"
        raise errors.ArgumentError(errors.message(f"{LOAD}(revision=...)", repr(revision), hint))
    load_file(model, Path(source) / FILE)


def _download(repo_id: str, revision: str | None, token: str | bool | None) -> str:
    errors.require_extra("hub", ["huggingface_hub"])
    from huggingface_hub import hf_hub_download

    return hf_hub_download(repo_id, FILE, revision=revision, token=token, library_name="hinged")


def _write(
    model: nn.Module, folder: Path, source: str, also: Names, base: str | None, call: str
) -> None:
    names = [also] if isinstance(also, str) else list(also)
    card = _card(model, source, names, base, call)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model, folder / FILE, also=names)
    if not (folder / CARD).exists():
        (folder / CARD).write_text(card, encoding="utf-8")


def _card(model: nn.Module, source: str, also: Sequence[str], base: str | None, call: str) -> str:
    layers = curve_layers(model, f"{call}(model)").values()
    # JSON is YAML: any name is quoted as it must be.
    base_line = "" if base is None else f"base_model: {json.dumps(base)}\n"
    with_also = f", and the modules {', '.join(f'`{name}`' for name in also)}" if also else ""
    return _TEXT.format(
        base_line=base_line,
        base="" if base is None else f", for the weights of `{base}`",
        network=type(model).__name__,
        layers=len(layers),
        curves=sum(layer.channels for layer in layers),
        hinges=", ".join(map(str, sorted({layer.hinges.shape[-1] for layer in layers}))),
        trained=sum(p.numel() for layer in layers for p in layer.parameters()),
        total=sum(p.numel() for p in model.parameters()),
        also=with_also,
        source=json.dumps(source),
    )


_TEXT = """\
---
library_name: hinged
{base_line}tags:
- hinged
- activation-functions
---

# Curves of a {network}

Trained piecewise-linear activations of a `{network}`{base}, and the state of its normalisation
layers{also}.

| | |
|---|---:|
| layers of curves | {layers:,} |
| curves | {curves:,} |
| hinges a curve | {hinges} |
| parameters in curves | {trained:,} |
| parameters in the whole model | {total:,} |

## How to load them

```python
import hinged  # pip install 'hinged[hub]'

model = ...  # the {network} as it was: its own weights, curves in the same places
# If hinged.convert put them there: model = hinged.convert(model, batch), any batch, as many hinges
hinged.hub.load_curves(model, {source})
```

Curves that do not fit are refused whole; weights that are not those they were trained with give a
warning.
"""
