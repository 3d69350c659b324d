"""Building experiments, with every name in them checked before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pydantic

from hinged import errors
from hinged.curve import START_FUNCTIONS, TAILS
from hinged.lab.data import AUGMENTATIONS, check_data_set_name
from hinged.lab.experiment.schema import Experiment, apply_assignments
from hinged.lab.experiment.settings import OPTIMIZERS
from hinged.lab.networks.activations import INIT_SAME, check_activation_name
from hinged.lab.networks.catalogue import check_network_kind


def build_experiment(assignments: Iterable[str] = (), /, **values: Any) -> Experiment:
    """Return an experiment.

    Args:
        assignments: override `values`, each `SECTION.NAME=VALUE` (`apply_assignments`).
        **values: nested settings of `Experiment`.

    Raises:
        UnknownNameError: an unknown setting, data set, network, activation, start function or tail.
        ArgumentError: a value that its setting does not allow; the message names all of them.
    """
    values = apply_assignments(values, assignments)
    try:
        return check_experiment(Experiment(**values))
    except pydantic.ValidationError as invalid:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}"
            for fault in invalid.errors()
        )
        raise errors.ArgumentError(
            errors.message("build_experiment", faults, "correct these settings")
        ) from None


def check_experiment(experiment: Experiment) -> Experiment:
    """Return the experiment, or raise if a name in it is unknown.

    Raises:
        UnknownNameError: an unknown data set, network, activation, start function or tail.
        ArgumentError: an activation given twice, a baseline that is not among the activations, or
            more seeds than folds.
    """
    names: list[tuple[str, str, Iterable[str]]] = [
        *(("training.augment", name, AUGMENTATIONS) for name in experiment.training.augment),
        ("curves.init", experiment.curves.init, (*START_FUNCTIONS, INIT_SAME)),
        ("curves.tails", experiment.curves.tails, TAILS),
        ("training.optimizer", experiment.training.optimizer, OPTIMIZERS),
    ]
    check_data_set_name(experiment.data)
    check_network_kind(experiment.network.kind)
    for setting, name, known in names:
        if name not in known:
            raise errors.unknown_name(setting, name, known)
    for activation in experiment.activations:
        check_activation_name("activations", activation)
    if experiment.folds is not None and len(experiment.seeds) > experiment.folds:
        got = f"{len(experiment.seeds)} seeds for {experiment.folds} folds"
        hint = "each seed tests on one fold, and no fold counts twice: use fewer seeds"
        raise errors.ArgumentError(errors.message("seeds", got, hint))
    if experiment.baseline not in experiment.activations:
        got = f"{experiment.baseline!r}, which is not among {', '.join(experiment.activations)}"
        hint = "the baseline must be one of the activations"
        raise errors.ArgumentError(errors.message("baseline", got, hint))
    if len(set(experiment.activations)) < len(experiment.activations):
        hint = "name each activation once"
        got = ", ".join(experiment.activations)
        raise errors.ArgumentError(errors.message("activations", got, hint))
    return experiment
