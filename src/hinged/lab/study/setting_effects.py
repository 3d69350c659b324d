"""Which settings can change the training of a network with a given activation."""

from __future__ import annotations

from typing import Any

from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import CurveSettings, TrainingSettings
from hinged.lab.networks.activations import depends_on_curve_settings, may_have_trained_parameters

_CURVE_TRAINING = (
    "curve_lr_factor",
    "curve_metric",
    "smoothing",
    "curve_decay",
    "curve_penalty",
    "calibrate_after",
)
"""Settings of the training that affect only curves."""
_OTHER_TRAINING = "activation_lr_factor"
"""The setting of the training that affects only trained activations other than curves."""


def relevant_settings(experiment: Experiment, activation: str) -> Experiment:
    """Return an experiment with default values for all settings that do not affect an activation.

    If the returned experiments of two cells are equal, both cells train the same networks with this
    activation.
    """
    experiment = experiment.for_activation(activation)
    update: dict[str, Any] = {"activations": (activation,), "baseline": activation, "seeds": ()}
    if not setting_affects("curves", activation):
        update["curves"] = CurveSettings()
    defaults = {
        name: TrainingSettings.model_fields[name].default
        for name in (*_CURVE_TRAINING, _OTHER_TRAINING)
        if not setting_affects(f"training.{name}", activation)
    }
    has_curves = setting_affects("curves", activation)
    if has_curves and experiment.curves.tails == "free":
        defaults.pop(_OTHER_TRAINING, None)  # It is the rate of the slopes of free tails.
    if not (has_curves or may_have_trained_parameters(activation)):
        defaults["trains"] = experiment.training.trains.replace("+curves", "")
    update["training"] = experiment.training.model_copy(update=defaults)
    return experiment.model_copy(update=update)


def setting_affects(setting: str, activation: str) -> bool:
    """Whether a setting can change the training of a network with this activation.

    Args:
        setting: name of the setting, for example `curves.hinges`, or of a section.
        activation: name of the activation.

    >>> setting_affects("curves.hinges", "relu"), setting_affects("curves.hinges", "hinged")
    (False, True)
    >>> setting_affects("network.width", "relu")
    True
    >>> [setting_affects("training.smoothing", name) for name in ("prelu", "hinged", "my.py:make")]
    [False, True, True]
    >>> setting_affects("training.activation_lr_factor", "prelu")
    True
    """
    section, _, name = setting.partition(".")
    if section == "curves":
        return depends_on_curve_settings(activation)
    if section == "training" and name in _CURVE_TRAINING:
        return activation == "hinged" or ":" in activation
    if setting == f"training.{_OTHER_TRAINING}":
        return activation != "hinged" and may_have_trained_parameters(activation)
    return True
