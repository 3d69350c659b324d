"""The names of the command line's options, and the settings that they set."""

from __future__ import annotations

import re

SETTING_OPTIONS = {
    "data": "--data",
    "train_size": "--train-size",
    "test_size": "--test-size",
    "table.task": "--task",
    "table.split": "--split",
    "table.leave_out": "--leave-out",
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
    "training.trains": "--trains",
    "training.epochs": "--epochs",
    "training.batch_size": "--batch-size",
    "training.lr": "--lr",
    "training.weight_decay": "--weight-decay",
    "training.augment": "--augment",
}
"""The command-line option that sets each setting, in the order of `--help`.

Settings without an option are left out.
"""

OPTIONS = SETTING_OPTIONS | {
    "RayCluster(address=...)": "--ray",
    "activations": "--activations",
    "assignments": "--set",
    "baseline": "--baseline",
    "cases": "--case",
    "data_dir": "--data-dir",
    "figures": "--figures",
    "hinged.kernels.use_kernel(...)": "--kernels",
    "jobs": "--jobs",
    "logger": "--logger",
    "networks": "--model",
    "peers": "--peers",
    "scale": "--scale",
    "seeds": "--seeds",
    "tune": "--tune",
}
"""The command-line option for each setting or argument that error messages of the library name."""

_OPTIONS_OF_TRAIN = {"activations": "--activation", "seeds": "--seed"}
"""The options of `hinged train`, which has one activation and one seed."""
_QUOTED = re.compile(rf"`({'|'.join(map(re.escape, OPTIONS))})(?=[` ])")


def name_options(message: str, command: str = "") -> str:
    """Replace settings in an error message by the options of the command line.

    Only settings in backticks are replaced.

    Args:
        message: the message.
        command: name of the command that raised the error.

    >>> name_options("`curves.init`: got 'rleu'; did you mean 'relu'?")
    "`--init`: got 'rleu'; did you mean 'relu'?"
    """
    options = OPTIONS | (_OPTIONS_OF_TRAIN if command == "train" else {})
    return _QUOTED.sub(lambda match: f"`{options[match[1]]}", message)
