"""Settings of networks, curves and trainings: immutable data with default values.

The text below each setting is the description in the reference and in the help of the command
line. The command line reads the text from `model_fields[name].description`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import pydantic
import pydantic_core

Precision = Literal["float32", "bf16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
"""Valid precisions of a training."""


def fast_precision() -> Precision:
    """Return the precision that is expected to be faster for training on this machine.

    Without AVX-512, torch's bfloat16 convolutions on the CPU take about ten times as long as
    float32 convolutions. The capability of a GPU is not queried, because the query allocates GPU
    memory.

    Returns:
        `"bf16"` if a GPU is available or the processor has AVX-512, otherwise `"float32"`.
    """
    import torch  # Here, because the help texts of the command line need this module without torch.

    fast = torch.cuda.is_available() or torch.backends.cpu.get_cpu_capability() == "AVX512"
    return "bf16" if fast else "float32"


class Settings(pydantic.BaseModel):
    """Base class of immutable settings. Unknown names of settings are rejected."""

    model_config = pydantic.ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


class TableSettings(Settings):
    """Settings of a table of the user (`table.csv:column`). Other data sets do not use them."""

    task: Literal["classification", "regression"] | None = None
    """Task: `classification` or `regression`. By default, one target column of texts, booleans or
    at most 20 different whole numbers makes a classification, and other targets a regression."""
    split: str | None = None
    """How rows are divided: `group:COLUMN` keeps all rows with the same value on the same side of
    every split, and `time:COLUMN` tests on later rows than it trains on. By default, rows are
    divided at random. The same holds for folds and for validation samples."""
    leave_out: tuple[str, ...] = ()
    """Names of columns that are no inputs."""

    @pydantic.field_validator("split")
    @classmethod
    def _check_split(cls, value: str | None) -> str | None:
        kind, _, column = (value or "group:any").partition(":")
        if kind not in ("group", "time") or not column:
            raise pydantic_core.PydanticCustomError(
                "split", "expected group:COLUMN or time:COLUMN, for example group:customer"
            )
        return value


class NetworkSettings(Settings):
    """Settings of the network.

    The networks `cnn`, `mlp`, `detector` and `residual-detector` use `width`, `depth` and
    `batch_norm`. The network `bypass-mlp` uses `width`, and requires `depth=1` and
    `batch_norm=False`. All other networks use none of these three settings.
    """

    kind: str = "cnn"
    """Network: the name of a built-in network, `timm:NAME` for a network of timm, or a Python file
    and its function (`my.py:make_net`)."""
    width: int = pydantic.Field(default=8, ge=1)
    """Number of filters in the first block of a CNN, or of units in each hidden layer of an MLP."""
    depth: int = pydantic.Field(default=2, ge=1)
    """Number of VGG blocks of a CNN, or of hidden layers of an MLP."""
    batch_norm: bool = False
    """Whether to insert a batch normalisation before every activation."""
    pretrained: str | None = None
    """Initial weights: `imagenet` (weights that torchvision or timm publishes), a file of weights,
    or the run folder of an earlier training. If the number of classes differs, the head (the output
    layers) starts with random weights. By default, all layers start with random weights."""
    image_size: int | None = pydantic.Field(default=None, ge=1)
    """Height and width, in pixels, to which images are resized. By default, images get the size
    with which the pretrained weights were trained. Without pretrained weights, images keep their
    size."""


class CurveSettings(Settings):
    """Settings of the activation `hinged`. Other activations do not use these settings.

    The activation `hinged` consists of curves, which are trainable piecewise-linear functions.
    """

    hinges: int = pydantic.Field(default=9, ge=2)
    """Number of hinges of each curve. A hinge is an input value at which the slope can change."""
    low: float = -3.0
    """Input value of the first hinge."""
    high: float = 3.0
    """Input value of the last hinge."""
    unit: float = pydantic.Field(default=1.0, gt=0)
    """Factor by which the inputs of curves and their range are multiplied. The outputs are divided
    by it, so that only the unit of the curves changes. It has no effect with `init=same`."""
    init: str = "relu"
    """Function that the curves represent before training, for example `relu`. With `same`, each
    curve starts as the activation that the curve replaces. `hinged.convert` then sets the first and
    last hinge. If the network has no fixed activation to replace, `same` means `relu`."""
    tails: str = "linear"
    """Form of the curves below the first and above the last hinge. `linear` continues the outermost
    pieces, `constant` has slope 0, and `free` has slopes that are trained."""
    sharing: Literal["channel", "layer"] = "channel"
    """`channel`: one curve for each channel. `layer`: one curve for all channels of a layer."""
    trained: bool = True
    """Whether the curves are trained. Otherwise, the curves stay equal to the function `init`."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_old_record(cls, values: Any) -> Any:
        """Return the settings with `sharing` instead of the old flag `shared`."""
        return _rename(values, "shared", "sharing", {True: "layer", False: "channel"}.get)


class TrainingSettings(Settings):
    """Settings of the training. They are the same for every activation of an experiment, except
    those in `Experiment.overrides`, which tuning chooses."""

    trains: Literal[
        "everything",
        "head",
        "head+norm",
        "head+biases",
        "head+lora",
        "head+curves",
        "head+curves+norm",
        "head+curves+biases",
        "head+curves+lora",
    ] = "everything"
    """Parts of the network to train: `everything`, or only `head` (the output layers). Names after
    `head+` are trained too: `curves` (the trainable activations), `norm` (the normalisation
    layers), `biases` (the biases of all layers), and `lora` (a matrix of low rank that is added to
    the frozen weight of each linear layer and convolution)."""
    lora_rank: int = pydantic.Field(default=1, ge=1)
    """Rank of the matrices that `trains = "head+lora"` adds to the weights."""
    head_epochs: int = pydantic.Field(default=0, ge=0)
    """Number of passes in which the head alone is trained, before the training of `trains`. The
    other layers then have their initial weights and the fixed activations of the network. All
    activations therefore start from the same trained head."""
    head_lr: float = pydantic.Field(default=0.01, gt=0)
    """Largest learning rate while the head alone is trained."""
    optimizer: str = "adamw"
    """Optimizer: `adamw`, `sgd` (with Nesterov momentum 0.9), or a second-order method in
    `hinged.optim.METHODS`. Second-order methods require a regression data set and the network
    `bypass-mlp`. Of the training settings, second-order methods use only `epochs`."""
    epochs: int = pydantic.Field(default=20, ge=1)
    """Number of epochs. An epoch is a pass over the training samples, unless `steps_per_epoch` is
    set."""
    steps_per_epoch: int | None = pydantic.Field(default=None, ge=1)
    """Number of training steps per epoch. If a pass over the training samples has fewer steps, the
    samples are used several times in an epoch. By default, an epoch is one pass."""
    batch_size: int = pydantic.Field(default=32, ge=2)
    """Number of samples per training step."""
    lr: float = pydantic.Field(default=0.006, gt=0)
    """Largest learning rate of the one-cycle schedule."""
    curve_lr_factor: float | None = pydantic.Field(default=None, gt=0)
    """Learning rate of the curves divided by the learning rate of the weights. By default, curves
    have the learning rate that `hinged.param_groups` gives them: four times that of the weights,
    but at most 0.05, or twice that of the weights without the metric."""
    activation_lr_factor: float = pydantic.Field(default=2.0, gt=0)
    """Learning rate of other trainable activations, such as the slopes of PReLU, divided by the
    learning rate of the weights."""
    curve_metric: bool = True
    """Whether curves are trained in their metric (`hinged.param_groups`). Otherwise, the optimizer
    trains the values at the hinges like any other parameters."""
    smoothing: float = pydantic.Field(default=0.03, gt=0)
    """How stiff curves are where they have few inputs: the factor of the roughness in the metric of
    the curves."""
    curve_decay: float | None = pydantic.Field(default=None, ge=0)
    """Factor of the pull of the curves to their start, in their metric. By default, it is chosen by
    the number of samples in the training split (`hinged.param_groups`)."""
    weight_decay: float = pydantic.Field(default=0.0, ge=0)
    """Weight decay of the weights. The parameters of activations have no weight decay."""
    curve_penalty: float = pydantic.Field(default=0.0, ge=0)
    """Factor of the penalty on the curvature of the curves (`hinged.penalty`) in the loss."""
    calibrate_after: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Fraction of the training steps during which the curves are frozen. After these steps,
    `hinged.calibrate_after` moves the hinges to the range of the observed inputs, and the curves
    are trained. With 0, the curves are trained from the first step, without calibration."""
    augment: tuple[str, ...] = ()
    """Random augmentations of the training images, applied in this order: names in
    `hinged.lab.data.AUGMENTATIONS`."""
    gradient_clip: float = pydantic.Field(default=1.0, ge=0)
    """Largest norm of the gradient over all parameters, those of curves included. A larger gradient
    is scaled down to this norm. 0 turns gradient clipping off."""
    label_smoothing: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Label smoothing of the cross entropy: the fraction of the probability of each target that is
    spread over all classes. Only classification uses this setting."""
    validation: float = pydantic.Field(default=0.0, ge=0, lt=1)
    """Fraction of the training samples that are held out: the network is not trained on them, but
    scored on them after each epoch. The seed of a training decides which samples are held out."""
    keep_best: bool = False
    """Whether a training ends with the parameters of the epoch with the best validation score.
    Otherwise, it ends with those of the last epoch. Requires `validation`."""
    precision: Precision = "float32"
    """Precision of the training: `float32` or `bf16`. `bf16` computes convolutions and matrix
    products in bfloat16 (autocast); weights, curves and gradients stay in float32. `auto` selects
    the precision that is faster on this machine."""
    channels_last: bool = False
    """Whether image tensors use the memory format `torch.channels_last`."""
    compile: bool = False
    """Whether to use `torch.compile`. Compiling takes about half a minute before the first step."""

    @property
    def curve_lr(self) -> float | None:
        """The learning rate of the curves; None for the default of `hinged.param_groups`."""
        return None if self.curve_lr_factor is None else self.curve_lr_factor * self.lr

    @pydantic.model_validator(mode="before")
    @classmethod
    def _read_old_record(cls, values: Any) -> Any:
        """Return the settings with the name `calibrate_after` instead of the old name `warm_up`."""
        return _rename(values, "warm_up", "calibrate_after", lambda share: share)

    @pydantic.field_validator("precision", mode="before")
    @classmethod
    def _replace_auto(cls, value: Any) -> Any:
        """Replace `auto` by a precision, so that records contain the precision in use."""
        return fast_precision() if value == "auto" else value


def _rename(values: Any, old: str, new: str, convert: Callable[[Any], Any]) -> Any:
    """Return settings in which the setting `old` is called `new` and has a converted value."""
    if not (isinstance(values, Mapping) and old in values):
        return values
    rest = {name: value for name, value in values.items() if name != old}
    return rest | {new: convert(values[old])}


def merge_settings(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested settings into one dictionary.

    If several arguments contain the same setting, the value of the last of these arguments is used.

    Args:
        layers: nested settings, for example `{"training": {"lr": 0.1}}`.

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
    """Convert one setting with a dotted name into nested settings.

    Args:
        dotted_name: name of the section and name of the setting, separated by a dot.
        value: value of the setting.

    >>> nest_setting("training.lr", 0.1)
    {'training': {'lr': 0.1}}
    """
    first, _, rest = dotted_name.partition(".")
    return {first: nest_setting(rest, value) if rest else value}


def flatten_settings(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Convert nested settings into a dictionary with dotted names, the reverse of `nest_setting`.

    Args:
        nested: the settings; a section is a nested dictionary.
        prefix: text in front of each name.

    >>> flatten_settings({"data": "digits", "network": {"depth": 2}})
    {'data': 'digits', 'network.depth': 2}
    """
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten_settings(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def split_names(text: str) -> tuple[str, ...]:
    """Return the names in a comma-separated list.

    >>> split_names("relu, hinged"), split_names("")
    (('relu', 'hinged'), ())
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())
