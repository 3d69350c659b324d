"""Records the curves of a model at several steps of its training."""

from __future__ import annotations

import json
import os

import safetensors.torch
import torch
from torch import Tensor, nn

from hinged import errors
from hinged.atomic_files import atomic_write
from hinged.curve import Curve
from hinged.model.adaptation.curve_files import CURVE_FILES
from hinged.model.adaptation.file_paths import path_to_write
from hinged.nn import curve_layers

CALL = "hinged.History"
FORMAT, VERSION = "hinged history", "1"
_PARTS = ("hinges", "values", "tail_slopes")


class History:
    """A record of the curves of a model at several steps of its training.

    A curve is the trainable piecewise-linear function of one channel of a `PiecewiseLinear` layer.
    It bends only at fixed positions, called hinges. Call `record(model, step)` during the training.
    `hinged.animate` shows the recorded curves.

    Args:
        channels: how many channels of each layer to record. They are evenly spaced from the first
            to the last channel. None records all channels.

    Attributes:
        steps: the recorded steps, in ascending order.
        frames: for each recorded step, a dictionary with the `Curve` of each layer by the layer's
            name.

    Raises:
        ArgumentError: if `channels` is below 1.

    >>> import hinged, tempfile
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Linear(2, 8), hinged.PiecewiseLinear(8))
    >>> history = hinged.History()
    >>> for step in range(0, 300, 100):
    ...     history.record(model, step)
    ...     _ = nn.init.normal_(model[1].values)
    >>> path = tempfile.mkdtemp() + "/history.safetensors"
    >>> history.save(path)
    >>> hinged.History.load(path).steps
    [0, 100, 200]
    """

    def __init__(self, channels: int | None = None) -> None:
        if channels is not None and not errors.is_whole_number(channels, 1):
            hint = "expected a whole number of channels, at least 1, or None to record all channels"
            raise errors.ArgumentError(
                errors.message(f"{CALL}(channels=...)", errors.shown(channels), hint)
            )
        self.channels = None if channels is None else int(channels)
        self.steps: list[int] = []
        self.frames: list[dict[str, Curve]] = []

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of the recorded layers."""
        return tuple(self.frames[0]) if self.frames else ()

    def record(self, model: nn.Module, step: int | None = None) -> None:
        """Record copies of the current curves of a model.

        Earlier records of this step and of later steps are deleted first. Training can therefore be
        resumed from an earlier step.

        Args:
            model: any module with `PiecewiseLinear` layers. Pass the same model each time.
            step: the current step of the training. None means one more than the last recorded step.

        Raises:
            ArgumentError: if the model has no curves, or has other layers than in earlier records,
                or if `step` is not a whole number.
        """
        layers = curve_layers(model, f"{CALL}.record")
        curves = {name: layer.curve().snapshot() for name, layer in layers.items()}
        frame = {name: _select_channels(curve, self.channels) for name, curve in curves.items()}
        if self.frames and frame.keys() != self.frames[0].keys():
            different = sorted(frame.keys() ^ set(self.layers))
            got = f"a model that differs in the layers {different} from the recorded model"
            hint = "record the same model each time, or create a new History"
            raise errors.ArgumentError(errors.message(f"{CALL}.record(model)", got, hint))
        if step is None:
            step = self.steps[-1] + 1 if self.steps else 0
        step = _whole_number(step)
        while self.steps and self.steps[-1] >= step:
            self.steps.pop()
            self.frames.pop()
        self.steps.append(step)
        self.frames.append(frame)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the history to a safetensors file.

        The file is written under a temporary name and then renamed, so it is never incomplete.

        Args:
            path: the file to write. An existing file is replaced.

        Raises:
            ArgumentError: if nothing was recorded, or if the folder of the file does not exist.
        """
        if not self.frames:
            hint = "call history.record(model) before history.save(path)"
            raise errors.ArgumentError(errors.message(f"{CALL}.save", "an empty history", hint))
        tensors = {
            f"{number}/{name}/{part}": getattr(curve, part).contiguous()
            for number, frame in enumerate(self.frames)
            for name, curve in frame.items()
            for part in _PARTS
            if getattr(curve, part) is not None
        }
        tails = [{name: curve.tails for name, curve in frame.items()} for frame in self.frames]
        contents = {"steps": self.steps, "tails": tails, "channels": self.channels}
        metadata = {"format": FORMAT, "version": VERSION, "contents": json.dumps(contents)}
        file = path_to_write(path, f"{CALL}.save(path)")
        atomic_write(file, safetensors.torch.save(tensors, metadata))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Read a history from a file that `save` has written.

        Args:
            path: the file to read.

        Returns:
            The history.

        Raises:
            CurveFileError: if the file is truncated, does not contain a history, or has a format
                version that this release cannot read.
            ArgumentError: if `path` is a folder.
            OSError: if the file does not exist or cannot be opened.
        """
        metadata, tensors = _read_history_file(path)
        with CURVE_FILES.explain_read_errors(f"{CALL}.load(path)", f"{os.fspath(path)!r}"):
            contents = json.loads(metadata["contents"])
            history = cls(contents["channels"])
            history.steps = [_whole_number(step) for step in contents["steps"]]
            history.frames = [
                {name: _read_curve(tensors, f"{number}/{name}", tails[name]) for name in tails}
                for number, tails in enumerate(contents["tails"])
            ]
            if len(history.steps) != len(history.frames):
                raise ValueError(f"{len(history.steps)} steps with {len(history.frames)} records")
        return history


def _read_curve(tensors: dict[str, Tensor], name: str, tails: str) -> Curve:
    hinges, values = tensors[f"{name}/hinges"], tensors[f"{name}/values"]
    return Curve(hinges, values, tails, tensors.get(f"{name}/tail_slopes"))


def _whole_number(step: int) -> int:
    if not errors.is_whole_number(step):
        hint = "expected a whole number, for example the number of trained steps or epochs"
        call = f"{CALL}.record(step=...)"
        raise errors.ArgumentError(errors.message(call, errors.shown(step), hint))
    return int(step)


def _select_channels(curve: Curve, count: int | None) -> Curve:
    """Return `count` channels of a curve, evenly spaced from the first to the last channel."""
    if count is None or count >= curve.channels:
        return curve
    rows = torch.linspace(0, curve.channels - 1, count).round().long()
    hinges = curve.hinges if curve.hinges.dim() == 1 else curve.hinges[rows]
    slopes = None if curve.tail_slopes is None else curve.tail_slopes[rows]
    return Curve(hinges, curve.values[rows], curve.tails, slopes)


def _read_history_file(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, Tensor]]:
    call = f"{CALL}.load(path)"
    metadata, tensors = CURVE_FILES.read(path, call)
    if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
        kind, version = metadata.get("format"), metadata.get("version")
        got = f"{os.fspath(path)!r}, a file of format {kind!r} and version {version!r}"
        hint = f"expected a file that {CALL}.save has written, format {FORMAT!r}, version {VERSION}"
        raise errors.CurveFileError(errors.message(call, got, hint))
    return metadata, tensors
