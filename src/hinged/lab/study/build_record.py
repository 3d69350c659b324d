"""The computation of a study's record from the results in the folder of the study.

A record has a row for each activation in each cell (one combination of the study's settings).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from hinged import errors
from hinged.lab.experiment.schema import Experiment
from hinged.lab.reporting.multiple_testing import holm_correction
from hinged.lab.reporting.significance import (
    bootstrap_interval,
    finite_pairs,
    paired_t_test,
    sign_flip_p_value,
)
from hinged.lab.reporting.statistical_power import pairs_needed
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.trial_result import TrialResult
from hinged.lab.runs.tuning import TunedActivation, read_tuning, tuning_folders
from hinged.lab.study.cells import Cell
from hinged.lab.study.definition import Study, find_study, parse_study, shipped_studies
from hinged.lab.study.outcome_measures import MEASURES, Measure
from hinged.lab.study.record import (
    VISIBLE,
    Comparison,
    ConfidenceInterval,
    RecordRow,
    StudyRecord,
    row_title,
)
from hinged.lab.study.setting_effects import relevant_settings, setting_affects
from hinged.lab.study.study_folder import StudyFolder, StudyPlan


class _ActivationInCell:
    """The finished trainings of one activation in one cell: the source of one row of the record.

    Args:
        cell: the cell (one combination of the study's settings).
        experiment: the experiment in the run folder of the cell, without the choice of a tuning.
        activation: name of the activation.
        results: results of all activations in the cell.
    """

    def __init__(
        self, cell: Cell, experiment: Experiment, activation: str, results: list[TrialResult]
    ) -> None:
        self.cell, self.experiment, self.activation = cell, experiment, activation
        self.results = {r.seed: r for r in results if r.activation == activation}
        self.label = cell.label(activation)


def build_record(folder: StudyFolder) -> StudyRecord:
    """Return the record of a study, computed from its finished trainings.

    Raises:
        RunFolderError: if the folder holds no study, or no finished training.
    """
    plan = folder.plan
    study, groups = plan.study, _group_results(folder)
    baseline = plan.cells()[0].experiment.baseline
    results = [result for group in groups for result in group.results.values()]
    if not results:
        raise errors.RunFolderError(
            f"{folder.path} holds no finished training, so there are no results to record. "
            "Run the study in this folder first, with `hinged study run`."
        )
    measure = MEASURES[study.measure]
    metric = " or ".join(dict.fromkeys(result.metric for result in results))
    rows = [
        _build_row(group, _find_reference(group, groups, study, baseline), measure)
        for group in groups
    ]
    return StudyRecord(
        name=plan.name,
        scale=plan.scale,
        question=study.question,
        unsure=study.unsure,
        baseline=baseline,
        command=_command(folder, groups),
        measure=measure.about.format(metric=metric),
        metric=metric,
        in_percent=measure.in_percent(metric),
        larger_is_better=measure.larger_is_better,
        rows=_with_holm_correction(rows),
        missing=_count_missing(folder, groups),
        failures=[failure for run in _all_run_folders(folder) for failure in run.failures()],
        cells=_read_experiments(folder),
        tuning=_read_tuning(folder),
        tuned_at=_tuned_at(plan),
        pretrainings=_read_pretrainings(folder),
        environments=_distinct([result.environment for result in results]),
        seconds=sum(result.seconds for result in results),
        made=max(result.finished for result in results)[:10],
    )


def _begun_cells(folder: StudyFolder) -> list[Cell]:
    return [c for c in folder.plan.cells() if (folder.run_folder(c).path / "config.json").exists()]


def _without_choice(cell: Cell, folder: StudyFolder) -> Experiment:
    """Return the experiment in the run folder of a cell, without settings that tuning has chosen.

    Whether two rows of the record belong to the same setting must not depend on the choice.
    """
    held = folder.run_folder(cell).experiment
    return held.model_copy(update={"overrides": cell.experiment.overrides})


def _read_experiments(folder: StudyFolder) -> dict[str, dict[str, Any]]:
    """Return the settings of each cell that has begun, by the name of the cell."""
    return {
        cell.name: _without_choice(cell, folder).model_dump(mode="json")
        for cell in _begun_cells(folder)
    }


def _read_pretrainings(folder: StudyFolder) -> dict[str, TrialResult]:
    """Return the results of the pretrainings of the study, by the kind of the network."""
    return {
        run.experiment.network.kind: result
        for run in folder.pretraining_runs()
        for result in run.folder.results()
    }


def _read_tuning(folder: StudyFolder) -> dict[str, list[TunedActivation]]:
    """Return what was tried and chosen in each cell with tuning, by the name of the cell."""
    tuning = {cell.name: read_tuning(folder.run_folder(cell)) for cell in folder.plan.cells()}
    return {name: tuned for name, tuned in tuning.items() if tuned}


def _tuned_at(plan: StudyPlan) -> dict[str, Any]:
    """Return the values of axes with which cells are tuned; empty if each cell is tuned."""
    tune = plan.study.tune_of(plan.scale)
    return {} if tune is None else tune.at


def _all_run_folders(folder: StudyFolder) -> list[RunFolder]:
    """Return the run folders of all cells that have begun, and those of their tuning."""
    begun = [folder.run_folder(cell) for cell in _begun_cells(folder)]
    tuning = [tuning_folders(folder.run_folder(cell)) for cell in folder.plan.cells()]
    return [*(each for group in tuning for each in group), *begun]


def _group_results(folder: StudyFolder) -> list[_ActivationInCell]:
    """Return the finished trainings, in the order of the cells.

    If variants are compared with each other, all variants at one point of the grid follow each
    other.
    """
    groups, cells = [], _begun_cells(folder)
    if folder.plan.study.against == "first variant":
        points = list(dict.fromkeys(cell.point for cell in cells))
        cells.sort(key=lambda cell: points.index(cell.point))
    for cell in cells:
        experiment, results = _without_choice(cell, folder), folder.run_folder(cell).results()
        for activation in experiment.activations:
            group = _ActivationInCell(cell, experiment, activation, results)
            if group.results:
                groups.append(group)
    return groups


def _count_missing(folder: StudyFolder, groups: list[_ActivationInCell]) -> int:
    """Return the number of planned trainings that are neither finished nor failed.

    The largest number of seeds in any cell is assumed to be planned for every cell.
    """
    seeds = max(len(group.experiment.seeds) for group in groups)
    planned = sum(len(cell.experiment.activations) for cell in folder.plan.cells()) * seeds
    failed = sum(len(folder.run_folder(cell).failures()) for cell in _begun_cells(folder))
    return planned - failed - sum(len(group.results) for group in groups)


def _find_reference(
    group: _ActivationInCell, groups: list[_ActivationInCell], study: Study, baseline: str
) -> _ActivationInCell | None:
    """Return the reference of a group: the group that it is compared with.

    `Study.against` says which trainings of the baseline are the reference.

    Args:
        group: the trainings of one activation in one cell.
        groups: all groups of the study.
        study: the study.
        baseline: the baseline of the study.

    Returns:
        The reference. None if the group is the reference itself, or if no training of the reference
        is finished.
    """
    data, point = group.experiment.data, group.cell.point
    candidates = [g for g in groups if g.activation == baseline and g.experiment.data == data]
    if study.against == "same":
        wanted = relevant_settings(group.experiment, baseline)
        candidates = [
            other for other in candidates if relevant_settings(other.experiment, baseline) == wanted
        ]
    if study.against == "first variant":
        first = study.variants[0]
        candidates = [g for g in candidates if g.cell.variant == first and g.cell.point == point]
    return None if not candidates or candidates[0] is group else candidates[0]


def _build_row(
    group: _ActivationInCell, reference: _ActivationInCell | None, measure: Measure
) -> RecordRow:
    results = list(group.results.values())
    by_seed = sorted(group.results.items())
    values = {seed: measure.compute(result) for seed, result in by_seed}
    any_result = results[0]
    return RecordRow(
        cell=group.cell.name,
        label=group.label,
        point={axis: v for axis, v in group.cell.point if setting_affects(axis, group.activation)},
        activation=group.activation,
        n=len(results),
        mean=_finite_mean(values.values()),
        std=_finite_std(values.values()),
        values={seed: _finite_or_none(value) for seed, value in values.items()},
        diverged=tuple(seed for seed, result in by_seed if result.diverged),
        versus=None if reference is None else _compare(values, reference, measure),
        test_score=_finite_mean(r.test_score for r in results),
        train_score=_finite_mean(r.train_score for r in results),
        dead=_mean_by_epoch([r.dead for r in results]),
        dormant=_mean_by_epoch([r.dormant for r in results]),
        advice=_advice_shares([r.advice for r in results]),
        parameters=any_result.parameters,
        activation_parameters=any_result.activation_parameters,
        step_ms=statistics.median(r.step_ms for r in results),
        step_ratio=None if reference is None else _step_ratio(group, reference),
        kept_bytes=any_result.kept_bytes,
        data=group.experiment.data,
        data_digest=any_result.data_digest,
    )


def _compare(
    values: dict[int, float], reference: _ActivationInCell, measure: Measure
) -> Comparison | None:
    others = {seed: measure.compute(result) for seed, result in reference.results.items()}
    ours, theirs = finite_pairs(values, others)
    if len(ours) < 2:
        return None
    differences = [a - b for a, b in zip(ours, theirs, strict=True)]
    test = paired_t_test(ours, theirs)
    std = statistics.stdev(differences)
    return Comparison(
        label=row_title(reference.activation, reference.label),
        pairs=len(ours),
        t=ConfidenceInterval(**test.difference._asdict()),
        bootstrap=ConfidenceInterval(**bootstrap_interval(differences)._asdict()),
        std=std,
        p=_finite_or_none(test.p),
        p_sign_flip=sign_flip_p_value(differences),
        seeds_needed=pairs_needed(VISIBLE, std),
    )


def _with_holm_correction(rows: list[RecordRow]) -> list[RecordRow]:
    """Return copies of the rows whose `p_holm` has Holm's correction for all compared rows."""
    compared = [row.versus for row in rows if row.versus is not None]
    corrected = iter(holm_correction([math.nan if v.p is None else v.p for v in compared]))
    return [
        row
        if row.versus is None
        else row.model_copy(
            update={
                "versus": row.versus.model_copy(update={"p_holm": _finite_or_none(next(corrected))})
            }
        )
        for row in rows
    ]


def _step_ratio(group: _ActivationInCell, reference: _ActivationInCell) -> float | None:
    shared = group.results.keys() & reference.results.keys()
    ratios = [group.results[s].step_ms / reference.results[s].step_ms for s in shared]
    return statistics.median(ratios) if ratios else None


def _command(folder: StudyFolder, groups: list[_ActivationInCell]) -> str:
    plan = folder.plan
    seeds = max(len(group.experiment.seeds) for group in groups)
    options = "" if seeds == plan.study.scale(plan.scale).seeds else f" --seeds {seeds}"
    if plan.study_with_precision != plan.study:
        options += f" --precision {plan.precision}"
    is_shipped = plan.name in shipped_studies()
    unchanged = is_shipped and parse_study(find_study(plan.name)) == plan.study
    name = plan.name if unchanged else f"{plan.name}.toml"
    return f"hinged study run {name} --scale {plan.scale}{options}"


def _mean_by_epoch(series: Sequence[list[float]]) -> list[float]:
    return [statistics.fmean(values) for values in zip(*series, strict=False)]


def _advice_shares(advice: Sequence[dict[str, list[str]]]) -> dict[str, float]:
    signs = dict.fromkeys(sign for each in advice for sign in each)
    return {sign: sum(sign in each for each in advice) / len(advice) for sign in signs}


def _finite_mean(values: Iterable[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return statistics.fmean(finite) if finite else None


def _finite_std(values: Iterable[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return statistics.stdev(finite) if len(finite) > 1 else None


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _distinct(environments: list[dict[str, str]]) -> list[dict[str, str]]:
    return list({tuple(sorted(each.items())): each for each in environments}.values())
