"""The settings of networks, curves and training: plain data with defaults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from hinged.lab.experiment.environment import Precision, fast_precision
from hinged.nn.parameter_groups import CURVE_LR_FACTOR
from hinged.optim import METHODS

OPTIMIZERS = ("adamw", "sgd", *METHODS)
"""What trains the networks of an experiment."""


class Settings(pydantic.BaseModel):
    """Frozen, and strict about names."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NetworkSettings(Settings):
    """The network: its kind and size.

    Attributes:
        kind: a name in `hinged.lab.networks.catalogue.MODELS`, `timm:NAME`, or `file.py:function` of the
            user's.
        width: filters of the first block, or hidden units of each layer.
        depth: VGG blocks of a CNN, or hidden layers of an MLP.
        batch_norm: normalise before every activation.
        pretrained: the weights to start from, with a new head where the classes are others:
            `imagenet` for those that torchvision or timm publish, or a file or a run folder
            (`hinged.lab.networks.pretrained`); None for new ones. Width, depth and normalisation concern
            `cnn` and `mlp` alone.
        image_size: side of the square that images are resized to before the network; None for that
            of the images the weights were trained on, or else none.
    """

    kind: str = "cnn"
    width: int = pydantic.Field(default=8, ge=1)
    depth: int = pydantic.Field(default=2, ge=1)
    batch_norm: bool = False
    pretrained: str | None = None
    image_size: int | None = pydantic.Field(default=None, ge=1)


class CurveSettings(Settings):
    """The trained curves of the activation `hinged`; the other activations ignore them.

    Attributes:
        hinges: number of hinges `K`.
        low, high: the range, in units of the activation's input.
        init: the function the curves start as; `same` is what a network applies there, with the
            range found by `hinged.convert` instead of this one, and ReLU where a network leaves its
            activation open.
        tails: as in `hinged.PiecewiseLinear`.
        sharing: `channel` for a curve a channel, `layer` for one curve a layer.
        trained: whether the values are trained, or stay those of `init`.
    """

    hinges: int = pydantic.Field(default=9, ge=2)
    low: float = -3.0
    high: float = 3.0
    init: str = "relu"
    tails: str = "linear"
    sharing: Literal["channel", "layer"] = "channel"
    trained: bool = True

    @pydantic.model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        """Read records that were written when `sharing` was a flag, `shared`."""
        if not (isinstance(values, Mapping) and "shared" in values):
            return values
        rest = {name: value for name, value in values.items() if name != "shared"}
        return rest | {"sharing": "layer" if values["shared"] else "channel"}


class TrainingSettings(Settings):
    """How every network of the experiment is trained: by default AdamW under a one-cycle schedule.

    Attributes:
        trains: `everything`, or the parts of the network that are trained while all others stay:
            `head`, and with it the trained activations (`curves`) and the normalisation (`norm`).
        optimizer: `adamw`, `sgd` (momentum 0.9 after Nesterov, the same schedule), or, for a
            regression by the network `bypass-mlp`, a method of `hinged.optim.METHODS`. These take
            all data at once and have no rates: of these settings only `epochs` concerns them.
        epochs: passes over the training data.
        batch_size: samples a step.
        lr: largest learning rate of the schedule.
        curve_lr_factor: learning rate of trained activations, curves and PReLU's slopes alike, over
            that of the weights.
        weight_decay: of the weights; trained activations are never decayed.
        curve_penalty: weight of the curves' curvature (`hinged.penalty`) in the loss.
        calibrate_after: share of the training through which curves are frozen, to be calibrated at its end
            (`hinged.calibrate_after`); 0 for none.
        augment: random changes of the training images, names in
            `hinged.lab.data.AUGMENTATIONS`, done in this order.
        gradient_clip: largest norm of the gradients of all weights and curves together; longer ones
            are scaled down to it. 0 for none.
        label_smoothing: share of the target spread over all classes; ignored
            where samples have none.
        precision: `float32`, or `bf16` for convolutions and products in bfloat16 (autocast), with
            weights, curves and their gradients in float32. `auto` becomes that in which this
            machine is fast (`hinged.lab.experiment.environment.fast_precision`).
        channels_last: keep images with their channels innermost.
        compile: by `torch.compile`, which takes half a minute at first.
    """

    trains: Literal["everything", "head", "head+norm", "head+curves", "head+curves+norm"] = (
        "everything"
    )
    optimizer: str = "adamw"
    epochs: int = pydantic.Field(default=20, ge=1)
    batch_size: int = pydantic.Field(default=32, ge=2)
    lr: float = pydantic.Field(default=0.006, gt=0)
    curve_lr_factor: float = pydantic.Field(default=CURVE_LR_FACTOR, gt=0)
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    curve_penalty: float = pydantic.Field(default=0.0, ge=0)
    calibrate_after: float = pydantic.Field(default=0.0, ge=0, lt=1)
    augment: tuple[str, ...] = ()
    gradient_clip: float = pydantic.Field(default=1.0, ge=0)
    label_smoothing: float = pydantic.Field(default=0.0, ge=0, lt=1)
    precision: Precision = "float32"
    channels_last: bool = False
    compile: bool = False

    @pydantic.model_validator(mode="before")
    @classmethod
    def _renamed(cls, values: Any) -> Any:
        """Read records that were written when `calibrate_after` was called `warm_up`."""
        if not (isinstance(values, Mapping) and "warm_up" in values):
            return values
        rest = {name: value for name, value in values.items() if name != "warm_up"}
        return rest | {"calibrate_after": values["warm_up"]}

    @pydantic.field_validator("precision", mode="before")
    @classmethod
    def _chosen(cls, value: Any) -> Any:
        """Settings, and with them records, name the precision that is used."""
        return fast_precision() if value == "auto" else value


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested settings, later ones over earlier ones.

    >>> merged({"training": {"lr": 0.1, "epochs": 2}}, {"training": {"epochs": 3}})
    {'training': {'lr': 0.1, 'epochs': 3}}
    """
    found: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            under = found.get(name)
            both = isinstance(under, Mapping) and isinstance(value, Mapping)
            found[name] = merged(under or {}, value) if both else value
    return found


def nested(path: str, value: Any) -> dict[str, Any]:
    """Return a setting of a dotted name as nested settings.

    >>> nested("training.lr", 0.1)
    {'training': {'lr': 0.1}}
    """
    first, _, rest = path.partition(".")
    return {first: nested(rest, value) if rest else value}
