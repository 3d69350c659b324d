"""The options of the command line in place of the settings that error messages name."""

from __future__ import annotations

import re

OPTIONS = {
    "RayCluster(address=...)": "--ray",
    "activations": "--activations",
    "assignments": "--set",
    "baseline": "--baseline",
    "curves.high": "--range",
    "curves.hinges": "--hinges",
    "curves.init": "--init",
    "curves.low": "--range",
    "curves.sharing": "--sharing",
    "curves.tails": "--tails",
    "data": "--data",
    "data_dir": "--data-dir",
    "logger": "--logger",
    "network.batch_norm": "--batch-norm",
    "network.depth": "--depth",
    "network.image_size": "--image-size",
    "network.kind": "--model",
    "network.pretrained": "--pretrained",
    "network.width": "--width",
    "seeds": "--seeds",
    "test_size": "--test-size",
    "train_size": "--train-size",
    "training.augment": "--augment",
    "training.batch_size": "--batch-size",
    "training.curve_lr_factor": "--curve-lr-factor",
    "training.epochs": "--epochs",
    "training.lr": "--lr",
    "training.trains": "--trains",
    "training.weight_decay": "--weight-decay",
}
"""The option that gives each setting or argument of the library."""

_QUOTED = re.compile(rf"`({'|'.join(map(re.escape, OPTIONS))})(?=[` ])")


def name_options(message: str) -> str:
    """Return an error message with options in place of the settings in backticks.

    >>> name_options("`curves.init`: got 'rleu'; did you mean 'relu'?")
    "`--init`: got 'rleu'; did you mean 'relu'?"
    """
    return _QUOTED.sub(lambda match: f"`{OPTIONS[match[1]]}", message)
