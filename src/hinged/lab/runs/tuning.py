"""Tuning: the choice of the best of several settings for each activation, before a comparison.

Every combination of settings is trained from tuning seeds, which are not the seeds of the
comparison. A part of the training samples is held out in these trainings. The combination with the
best mean score on the held-out samples is chosen. The test split chooses nothing.

    tuning/1, tuning/2 ...   in a run folder: a run folder for the first, second ... combination

The folder `tuning/1` holds the trainings of all activations, each with its own first combination.
The choice is a function of the results in these folders. It can be computed at any time.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hinged import errors
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import (
    Settings,
    flatten_settings,
    merge_settings,
    nest_setting,
)
from hinged.lab.runs.build_experiment import build_experiment
from hinged.lab.runs.compare import compare_all
from hinged.lab.runs.pending_trial import ExperimentRun
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.run_folder import TUNING, RunFolder

FIRST_SEED = 1000
"""The first tuning seed."""

Combination = Mapping[str, Any]
"""The values of several settings by their full name, for example `{"training.lr": 0.01}`."""


class Tuning(NamedTuple):
    """What is tried for each activation before a comparison.

    Attributes:
        combinations: the combinations of settings that are tried, by activation. Each activation
            has the same number of combinations.
        seeds: number of trainings of each activation with each combination.
        validation: fraction of the training samples that are held out in these trainings, unless
            the setting `training.validation` of the experiment is not 0.
    """

    combinations: Mapping[str, Sequence[Combination]]
    seeds: int
    validation: float


class TriedSettings(Settings):
    """The trainings of one activation with one combination of settings.

    Attributes:
        settings: the values of the settings, by their full name.
        scores: the score on the held-out training samples by tuning seed; None if the training
            diverged. Seeds without a finished training are left out.
        seconds: time of these trainings, in seconds.
    """

    settings: dict[str, Any]
    scores: dict[int, float | None]
    seconds: float = 0.0

    @property
    def mean(self) -> float | None:
        """Return the mean score; None if a training diverged, or if none is finished."""
        scores = [score for score in self.scores.values() if score is not None]
        complete = scores and len(scores) == len(self.scores)
        return statistics.fmean(scores) if complete else None


class TunedActivation(Settings):
    """All combinations of settings that were tried for one activation, and the choice.

    Attributes:
        activation: name of the activation.
        metric: name of the scores. A larger score is better.
        tried: the combinations, in the order of their folders.
        chosen: index in `tried` of the combination with the best mean score. A combination of
            which a training diverged is chosen only if all others diverged too. None if a training
            is not finished.
    """

    activation: str
    metric: str
    tried: tuple[TriedSettings, ...]
    chosen: int | None

    @property
    def chosen_settings(self) -> dict[str, Any]:
        """Return the values of the chosen settings by their full name; empty without a choice."""
        return {} if self.chosen is None else self.tried[self.chosen].settings


def tune_all(
    runs: Sequence[ExperimentRun], tuning: Tuning, listener: ProgressListener, **options: Any
) -> list[ExperimentRun]:
    """Train all unfinished tunings of several experiments, and choose the settings of each run.

    Args:
        runs: the experiments and their run folders. The trainings of a tuning are in the folder
            `tuning` of the run folder. Runs with another folder in `tuned_in` take the choice from
            there, and are not tuned themselves.
        tuning: what is tried.
        listener: an object whose methods are called when trainings start, progress and end.
        **options: arguments of `hinged.lab.runs.compare.compare_all`, for example `jobs`.

    Returns:
        The same runs, each with the chosen settings in `overrides` of its experiment. An activation
        is left out if one of its tunings failed, and a run is left out if none is left. This can
        happen only with the option `continue_on_error`.

    Raises:
        RunFolderError: if a run folder holds results that were trained without tuning, and for the
            reasons that `compare_all` names.
        ArgumentError: if a seed of an experiment is a tuning seed, and for the reasons that
            `compare_all` names.
    """
    own = [run for run in runs if run.tuned_in is None]
    for run in own:
        _check_folder(run, tuning)
    for run in runs:
        _check_seeds(run.experiment, tuning)
    compare_all([each for run in own for each in tuning_runs(run, tuning)], listener, **options)
    chosen = [run._replace(experiment=_with_choice(run)) for run in runs]
    return [run for run in chosen if run.experiment.activations]


def tuning_runs(run: ExperimentRun, tuning: Tuning) -> list[ExperimentRun]:
    """Return an experiment and a run folder for each number of a combination.

    Args:
        run: the experiment that is tuned, and its run folder.
        tuning: what is tried.

    Raises:
        ArgumentError, UnknownNameError: if a setting does not allow a value that is tried.
    """
    experiments = tuning_experiments(run.experiment, tuning)
    return [
        run._replace(
            experiment=experiment,
            folder=RunFolder(run.folder.path / TUNING / str(number)),
            label=", ".join(filter(None, [run.label, f"tuning {number} of {len(experiments)}"])),
        )
        for number, experiment in enumerate(experiments, start=1)
    ]


def tuning_experiments(experiment: Experiment, tuning: Tuning) -> list[Experiment]:
    """Return the experiments in which each activation has its first, second ... combination.

    Raises:
        ArgumentError, UnknownNameError: if a setting does not allow a value that is tried.
    """
    count = _count(experiment, tuning)
    return [_tuning_experiment(experiment, tuning, index) for index in range(count)]


def tuning_folders(folder: RunFolder) -> list[RunFolder]:
    """Return the run folders of the tuning of a run; empty if the run has no tuning."""
    paths = (folder.path / TUNING).glob("[0-9]*")
    found = [RunFolder(path) for path in sorted(paths, key=lambda path: int(path.name))]
    return [each for each in found if each.holds_experiment]


def read_tuning(folder: RunFolder) -> list[TunedActivation]:
    """Return what was tried and chosen for each activation in a run folder.

    The list is empty if the run has no tuning, or if no training of a tuning is finished.

    Args:
        folder: the run folder whose folder `tuning` is read.
    """
    folders = tuning_folders(folder)
    results = [each.results() for each in folders]
    metric = next((result.metric for group in results for result in group), None)
    if metric is None:
        return []
    experiments = [each.experiment for each in folders]
    tuned = []
    for activation in experiments[0].activations:
        own = [[each for each in group if each.activation == activation] for group in results]
        tried = tuple(
            TriedSettings(
                settings=flatten_settings(experiment.overrides.get(activation, {})),
                scores={each.seed: _finite(each.validation_score) for each in group},
                seconds=sum(each.seconds for each in group),
            )
            for experiment, group in zip(experiments, own, strict=True)
        )
        complete = all(
            activation in experiment.activations and len(group) == len(experiment.seeds)
            for experiment, group in zip(experiments, own, strict=True)
        )
        chosen = _choose(tried) if complete else None
        tuned.append(
            TunedActivation(activation=activation, metric=metric, tried=tried, chosen=chosen)
        )
    return tuned


def check_untuned(folder: RunFolder) -> None:
    """Raise an error if a run folder holds results with tuning.

    Raises:
        RunFolderError: in this case. More results without tuning would not be comparable.
    """
    if tuning_folders(folder):
        raise errors.RunFolderError(
            f"{folder.path} holds a comparison whose settings were tuned. Continue it by "
            "`hinged compare` with the same --tune options, or choose another folder."
        )


def _check_folder(run: ExperimentRun, tuning: Tuning) -> None:
    """Raise an error if the run folder holds results without this tuning, or other files."""
    folder = run.folder
    folder.check_usable()
    held, count = tuning_folders(folder), _count(run.experiment, tuning)
    if folder.holds_experiment and not held:
        raise errors.RunFolderError(
            f"{folder.path} holds an experiment whose settings were not tuned. Continue it without "
            "tuning, or choose another folder."
        )
    seeds = {len(each.experiment.seeds) for each in held} | {tuning.seeds}
    is_other = folder.holds_experiment and (len(held) != count or len(seeds) > 1)
    if is_other or len(held) > count:
        raise errors.RunFolderError(
            f"{folder.path} holds another tuning: its numbers of combinations and seeds are not "
            f"{count} and {tuning.seeds}. Give the same tuning, or choose another folder."
        )


def _count(experiment: Experiment, tuning: Tuning) -> int:
    """Return the number of combinations, which is the same for all activations."""
    return len(tuning.combinations[experiment.activations[0]])


def _check_seeds(experiment: Experiment, tuning: Tuning) -> None:
    taken = sorted({*experiment.seeds} & {*_tuning_seeds(tuning)})
    if taken:
        hint = f"the seeds from {FIRST_SEED} on are for tuning: use smaller seeds"
        raise errors.ArgumentError(errors.message("seeds", str(taken[0]), hint))


def _tuning_seeds(tuning: Tuning) -> range:
    return range(FIRST_SEED, FIRST_SEED + tuning.seeds)


def _tuning_experiment(experiment: Experiment, tuning: Tuning, index: int) -> Experiment:
    """Return the experiment in which each activation has its combination number `index`."""
    overrides = {
        activation: _override(experiment, activation, tuning.combinations[activation][index])
        for activation in experiment.activations
    }
    validation = experiment.training.validation or tuning.validation
    values = merge_settings(
        experiment.model_dump(exclude={"overrides"}), {"training": {"validation": validation}}
    )
    values |= {
        "overrides": overrides,
        "seeds": tuple(_tuning_seeds(tuning)),
        "baseline": experiment.activations[0],
    }
    return build_experiment(**values)


def _with_choice(run: ExperimentRun) -> Experiment:
    """Return the experiment of a run with the chosen settings of each activation with a choice."""
    experiment = run.experiment
    settings = {
        each.activation: each.chosen_settings
        for each in read_tuning(run.tuned_in or run.folder)
        if each.chosen is not None
    }
    activations = tuple(name for name in experiment.activations if name in settings)
    overrides = {name: _override(experiment, name, settings[name]) for name in activations}
    update = {"activations": activations, "overrides": experiment.overrides | overrides}
    return experiment.model_copy(update=update)


def _override(experiment: Experiment, activation: str, combination: Combination) -> dict[str, Any]:
    """Return the own settings of an activation, with a combination in place of some of them."""
    nested = (nest_setting(name, value) for name, value in combination.items())
    return merge_settings(experiment.overrides.get(activation, {}), *nested)


def _choose(tried: Sequence[TriedSettings]) -> int:
    means = [-math.inf if each.mean is None else each.mean for each in tried]
    return means.index(max(means))


def _finite(score: float | None) -> float | None:
    return score if score is not None and math.isfinite(score) else None
