"""The options of the command line, and the settings that they give a value to."""

from __future__ import annotations

import re

SETTING_OPTIONS = {
    "data": "--data",
    "train_size": "--train-size",
    "test_size": "--test-size",
    "network.kind": "--model",
    "network.width": "--width",
    "network.depth": "--depth",
    "network.batch_norm": "--batch-norm",
    "network.pretrained": "--pretrained",
    "network.image_size": "--image-size",
    "curves.hinges": "--hinges",
    "curves.low": "--range",
    "curves.high": "--range",
    "curves.init": "--init",
    "curves.tails": "--tails",
    "curves.sharing": "--sharing",
    "training.trains": "--trains",
    "training.epochs": "--epochs",
    "training.batch_size": "--batch-size",
    "training.lr": "--lr",
    "training.curve_lr_factor": "--curve-lr-factor",
    "training.weight_decay": "--weight-decay",
    "training.augment": "--augment",
}
"""The settings of an experiment that have an option, in the order of `--help`."""

OPTIONS = SETTING_OPTIONS | {
    "RayCluster(address=...)": "--ray",
    "activations": "--activations",
    "assignments": "--set",
    "baseline": "--baseline",
    "cases": "--case",
    "data_dir": "--data-dir",
    "hinged.kernels.use_kernel(...)": "--kernels",
    "logger": "--logger",
    "networks": "--model",
    "peers": "--peers",
    "scale": "--scale",
    "seeds": "--seeds",
}
"""The option for each setting or argument that an error message of the library may name."""

_QUOTED = re.compile(rf"`({'|'.join(map(re.escape, OPTIONS))})(?=[` ])")


def name_options(message: str) -> str:
    """Return an error message with options in place of the settings in backticks.

    >>> name_options("`curves.init`: got 'rleu'; did you mean 'relu'?")
    "`--init`: got 'rleu'; did you mean 'relu'?"
    """
    return _QUOTED.sub(lambda match: f"`{OPTIONS[match[1]]}", message)
