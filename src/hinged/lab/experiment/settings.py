"""The settings of networks, curves and training: plain data with defaults.

The text below each setting is its description everywhere: in the reference, and in the help of the
command line, which reads it from `model_fields[name].description`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from hinged.lab.experiment.environment import Precision, fast_precision
from hinged.nn.parameter_groups import CURVE_LR_FACTOR
from hinged.optim import METHODS

OPTIMIZERS = ("adamw", "sgd", *METHODS)
"""Names of the optimizers that can train a network."""


class Settings(pydantic.BaseModel):
    """Immutable settings that reject unknown names."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class NetworkSettings(Settings):
    """The network. Only `cnn` and `mlp` use `width`, `depth` and `batch_norm`."""

    kind: str = "cnn"
    """Network: a built-in one, `timm:NAME`, or a function of your own file, `my.py:make_net`."""
    width: int = pydantic.Field(default=8, ge=1)
    """Filters of the first block of a CNN, or hidden units of each layer of an MLP."""
    depth: int = pydantic.Field(default=2, ge=1)
    """VGG blocks of a CNN, or hidden layers of an MLP."""
    batch_norm: bool = False
    """Whether to normalise before every activation."""
    pretrained: str | None = None
    """Weights to start from: `imagenet` (published by torchvision or timm), a file, or a run
    folder. The head is new if the number of classes differs. By default all weights are new."""
    image_size: int | None = pydantic.Field(default=None, ge=1)
    """Side in pixels of the square that images are resized to. By default the size that the
    pretrained weights were trained on; without such weights, images keep their size."""


class CurveSettings(Settings):
    """The trained curves of the activation `hinged`; the other activations ignore them."""

    hinges: int = pydantic.Field(default=9, ge=2)
    """Number of hinges of each curve."""
    low: float = -3.0
    """Position of the first hinge, in units of the activation's input."""
    high: float = 3.0
    """Position of the last hinge, in units of the activation's input."""
    init: str = "relu"
    """Function that the curves start as. `same` starts each curve as the activation that it
    replaces, over the range that `hinged.convert` finds, or as ReLU if the network leaves its
    activation open."""
    tails: str = "linear"
    """Continuation of the curves outside the first and last hinge: `linear`, `constant` or
    `free`."""
    sharing: Literal["channel", "layer"] = "channel"
    """`channel` for one curve per channel, `layer` for one curve per layer."""
    trained: bool = True
    """Whether the curves are trained; if not, they stay the function `init`."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_old_record(cls, values: Any) -> Any:
        """Accept records from the time when `sharing` was the flag `shared`."""
        if not (isinstance(values, Mapping) and "shared" in values):
            return values
        rest = {name: value for name, value in values.items() if name != "shared"}
        return rest | {"sharing": "layer" if values["shared"] else "channel"}


class TrainingSettings(Settings):
    """The training, which is the same for every activation of an experiment."""

    trains: Literal["everything", "head", "head+norm", "head+curves", "head+curves+norm"] = (
        "everything"
    )
    """Parts of the network to train: `everything`, or `head`, optionally with the trained
    activations (`+curves`) and the normalisation (`+norm`)."""
    optimizer: str = "adamw"
    """`adamw`, `sgd` (with Nesterov momentum 0.9), or a second-order method of
    `hinged.optim.METHODS`. These methods need a regression and the network `bypass-mlp`, and use
    only `epochs` of the training settings."""
    epochs: int = pydantic.Field(default=20, ge=1)
    """Passes over the training data."""
    batch_size: int = pydantic.Field(default=32, ge=2)
    """Samples per step."""
    lr: float = pydantic.Field(default=0.006, gt=0)
    """Largest learning rate of the one-cycle schedule."""
    curve_lr_factor: float = pydantic.Field(default=CURVE_LR_FACTOR, gt=0)
    """Learning rate of trained activations (curves and the slopes of PReLU) divided by that of
    the weights."""
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    """Weight decay of the weights; trained activations are never decayed."""
    curve_penalty: float = pydantic.Field(default=0.0, ge=0)
    """Weight of the curves' curvature (`hinged.penalty`) in the loss."""
    calibrate_after: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Share of the training during which the curves are frozen. They are calibrated when it ends
    (`hinged.calibrate_after`). 0 trains them from the start without calibration."""
    augment: tuple[str, ...] = ()
    """Random changes of the training images, in this order: names in
    `hinged.lab.data.AUGMENTATIONS`."""
    gradient_clip: float = pydantic.Field(default=1.0, ge=0)
    """Largest norm of all gradients together; larger ones are scaled down to it. 0 never
    scales."""
    label_smoothing: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Share of each target that is spread over all classes. Only classifications use it."""
    precision: Precision = "float32"
    """`float32`, or `bf16` for convolutions and matrix products in bfloat16 (autocast) with
    weights, curves and gradients in float32. `auto` takes the faster one on this machine."""
    channels_last: bool = False
    """Whether images are stored with their channels as the innermost axis."""
    compile: bool = False
    """Whether to use `torch.compile`, which takes about half a minute at the start."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_old_record(cls, values: Any) -> Any:
        """Accept records from the time when `calibrate_after` was called `warm_up`."""
        if not (isinstance(values, Mapping) and "warm_up" in values):
            return values
        rest = {name: value for name, value in values.items() if name != "warm_up"}
        return rest | {"calibrate_after": values["warm_up"]}

    @pydantic.field_validator("precision", mode="before")
    @classmethod
    def _replace_auto(cls, value: Any) -> Any:
        """Resolve `auto` at once, so that settings and records name the precision in use."""
        return fast_precision() if value == "auto" else value


def merge_settings(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings; later ones override earlier ones.

    >>> merge_settings({"training": {"lr": 0.1, "epochs": 2}}, {"training": {"epochs": 3}})
    {'training': {'lr': 0.1, 'epochs': 3}}
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            earlier = merged.get(name)
            both = isinstance(earlier, Mapping) and isinstance(value, Mapping)
            merged[name] = merge_settings(earlier or {}, value) if both else value
    return merged


def nest_setting(dotted_name: str, value: Any) -> dict[str, Any]:
    """Return one setting as nested settings.

    >>> nest_setting("training.lr", 0.1)
    {'training': {'lr': 0.1}}
    """
    first, _, rest = dotted_name.partition(".")
    return {first: nest_setting(rest, value) if rest else value}
