"""The settings of networks, curves and training: plain data with defaults."""

from __future__ import annotations

from typing import Literal

import pydantic

from hinged.nn.groups import CURVE_LR_FACTOR


class Settings(pydantic.BaseModel):
    """Frozen, and strict about names."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NetworkSettings(Settings):
    """The network: its kind and size.

    Attributes:
        kind: a name in `hinged.lab.models.MODELS`, or `file.py:function` of the user's.
        width: filters of the first block, or hidden units of each layer.
        depth: VGG blocks of a CNN, or hidden layers of an MLP.
        batch_norm: normalise before every activation.
    """

    kind: str = "cnn"
    width: int = pydantic.Field(default=8, ge=1)
    depth: int = pydantic.Field(default=2, ge=1)
    batch_norm: bool = False


class CurveSettings(Settings):
    """The trained curves of the activation `hinged`; the other activations ignore them.

    Attributes:
        hinges: number of hinges `K`.
        low, high: the range, in units of the activation's input.
        init: the function the curves start as.
        tails: as in `hinged.PiecewiseLinear`.
        shared: one curve for all channels of a layer instead of one each.
        trained: whether the values are trained, or stay those of `init`.
    """

    hinges: int = pydantic.Field(default=9, ge=2)
    low: float = -3.0
    high: float = 3.0
    init: str = "relu"
    tails: str = "linear"
    shared: bool = False
    trained: bool = True


class TrainingSettings(Settings):
    """How every network of the experiment is trained: AdamW under a one-cycle schedule.

    Attributes:
        epochs: passes over the training data.
        batch_size: samples a step.
        lr: largest learning rate of the schedule.
        curve_lr_factor: learning rate of trained activations, curves and PReLU's slopes alike, over
            that of the weights.
        weight_decay: of the weights; trained activations are never decayed.
        curve_penalty: weight of the curves' curvature (`hinged.penalty`) in the loss.
        warm_up: share of the training through which curves are frozen, to be calibrated at its end
            (`hinged.warm_up`); 0 for none.
        augment: random changes of the training images, names in
            `hinged.lab.data.AUGMENTATIONS`, done in this order.
        gradient_clip: largest norm of the gradients of all weights and curves together; longer ones
            are scaled down to it. 0 for none.
        label_smoothing: share of the target spread over all classes; ignored
            where samples have none.
        precision: `float32`, or `bf16` for convolutions and products in bfloat16 (autocast), with
            weights, curves and their gradients in float32.
        channels_last: keep images with their channels innermost.
    """

    epochs: int = pydantic.Field(default=20, ge=1)
    batch_size: int = pydantic.Field(default=32, ge=2)
    lr: float = pydantic.Field(default=0.006, gt=0)
    curve_lr_factor: float = pydantic.Field(default=CURVE_LR_FACTOR, gt=0)
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    curve_penalty: float = pydantic.Field(default=0.0, ge=0)
    warm_up: float = pydantic.Field(default=0.0, ge=0, lt=1)
    augment: tuple[str, ...] = ()
    gradient_clip: float = pydantic.Field(default=1.0, ge=0)
    label_smoothing: float = pydantic.Field(default=0.0, ge=0, lt=1)
    precision: Literal["float32", "bf16"] = "float32"
    channels_last: bool = False
