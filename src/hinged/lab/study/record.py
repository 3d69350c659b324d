"""The record of a study: figures, statistics, and everything needed to find them again."""

from __future__ import annotations

import math
import statistics as plain_statistics
from collections.abc import Iterable, Sequence
from typing import Any

import pydantic

from hinged import errors
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import Settings
from hinged.lab.reporting import significance
from hinged.lab.runs.trial_result import TrialFailure, TrialResult
from hinged.lab.study.cells import Cell, concerns, plain
from hinged.lab.study.definition import find, names, parse
from hinged.lab.study.metrics import MEASURES, Measure
from hinged.lab.study.study_folder import StudyFolder

VISIBLE = 0.002
"""The difference that every record says how many seeds it would take to see: 0.2 points."""


class Span(Settings):
    """A mean with a 95 % interval."""

    mean: float
    low: float
    high: float


class Versus(Settings):
    """Paired differences to what a row is compared with.

    Attributes:
        label: what that is.
        pairs: how many seeds both finished.
        t: mean difference with Student's interval.
        bootstrap: the same with the interval of the bootstrap.
        std: standard deviation of the differences.
        p: of the paired t-test; None where the differences have no spread.
        p_holm: corrected for all comparisons of the study.
        p_sign_flip: of the permutation test.
        seeds_needed: how many seeds show a difference of 0.002 at the 5 % level with a power of
            0.8, had they this spread.
    """

    label: str
    pairs: int
    t: Span
    bootstrap: Span
    std: float
    p: float | None
    p_holm: float | None = None
    p_sign_flip: float
    seeds_needed: int


class Row(Settings):
    """One activation in one cell.

    Attributes:
        cell: the cell's name.
        label: where in the grid it stands.
        point: its place in the grid, the axes that concern the activation.
        activation: its name.
        n, mean, std: number of seeds, mean and standard deviation of what is compared.
        values: what is compared, by seed; None where the training diverged, which mean and standard
            deviation leave out.
        diverged: the seeds whose loss or score is no number.
        versus: None for what others are compared with, and below two pairs.
        test_score, train_score: means.
        dead, dormant: shares of idle units after each epoch, means.
        advice: share of the trainings after which `hinged.diagnose` gave advice, by sign.
        parameters, activation_parameters: numbers trained.
        step_ms, step_ratio: median milliseconds a step, and over those of what it is compared with.
        kept_bytes: kept for the backward pass of one batch.
        data, data_digest: the data set and its hash.
    """

    cell: str
    label: str
    point: dict[str, Any] = pydantic.Field(default_factory=dict)
    activation: str
    n: int
    mean: float | None
    std: float | None
    values: dict[int, float | None]
    diverged: tuple[int, ...] = ()
    versus: Versus | None = None
    test_score: float | None
    train_score: float | None
    dead: list[float]
    dormant: list[float]
    advice: dict[str, float] = pydantic.Field(default_factory=dict)
    parameters: int
    activation_parameters: int
    step_ms: float
    step_ratio: float | None = None
    kept_bytes: int
    data: str
    data_digest: str

    @property
    def title(self) -> str:
        """Return activation and place in the grid."""
        return f"{self.activation} ({self.label})" if self.label else self.activation


class Record(pydantic.BaseModel):
    """What a study found.

    Attributes:
        name, scale, question, unsure, baseline: the study.
        command: finds it again.
        measure, metric, in_percent, larger_is_better: what is compared.
        rows: the figures.
        missing: trainings that were planned and not done.
        failures: trainings that raised an error, with it.
        cells: all settings of every cell.
        pretrainings: the trainings that cells start from, by their networks' kinds.
        environments: versions, commit and machine; more than one where the run was continued.
        seconds: of all trainings together, but for pretrainings.
        made: date of the last training, UTC.
    """

    model_config = pydantic.ConfigDict(frozen=True)

    name: str
    scale: str
    question: str
    unsure: str
    baseline: str
    command: str
    measure: str
    metric: str
    in_percent: bool
    larger_is_better: bool
    rows: list[Row]
    missing: int = 0
    failures: list[TrialFailure]
    cells: dict[str, dict[str, Any]]
    pretrainings: dict[str, TrialResult] = {}
    environments: list[dict[str, str]]
    seconds: float
    made: str


class _Group:
    """The finished trainings of one activation in one cell."""

    def __init__(self, cell: Cell, whole: Experiment, activation: str, results: list[TrialResult]):
        self.cell, self.whole, self.activation = cell, whole, activation
        self.results = {r.seed: r for r in results if r.activation == activation}
        self.label = cell.label(activation)

    @property
    def title(self) -> str:
        return f"{self.activation} ({self.label})" if self.label else self.activation


def record(folder: StudyFolder) -> Record:
    """Return the record of what a folder holds.

    Raises:
        RunFolderError: it holds no study, or no finished training.
    """
    plan = folder.plan
    study, groups = plan.study, _groups(folder)
    results = [result for group in groups for result in group.results.values()]
    if not results:
        raise errors.RunFolderError(f"{folder.path} holds no finished training. Run it first.")
    measure = MEASURES[study.measure]
    metric = " or ".join(dict.fromkeys(result.metric for result in results))
    rows = [_row(group, _reference(group, groups, study.against), measure) for group in groups]
    cells = plan.cells()
    return Record(
        name=plan.name,
        scale=plan.scale,
        question=study.question,
        unsure=study.unsure,
        baseline=cells[0].experiment.baseline,
        command=_command(folder, groups),
        measure=measure.about.format(metric=metric),
        metric=metric,
        in_percent=measure.in_percent(metric),
        larger_is_better=measure.larger_is_better,
        rows=_corrected(rows),
        missing=_missing(folder, groups),
        failures=[failure for cell in _begun(folder) for failure in folder.run(cell).failures()],
        cells={c.name: folder.run(c).experiment.model_dump(mode="json") for c in _begun(folder)},
        pretrainings={
            task.experiment.network.kind: result
            for task in folder.pretrainings()
            for result in task.folder.results()
        },
        environments=_distinct([result.environment for result in results]),
        seconds=sum(result.seconds for result in results),
        made=max(result.finished for result in results)[:10],
    )


def _missing(folder: StudyFolder, groups: list[_Group]) -> int:
    """Return how many trainings are not done, of those that as many seeds as any cell has take."""
    seeds = max(len(group.whole.seeds) for group in groups)
    planned = sum(len(cell.experiment.activations) for cell in folder.plan.cells()) * seeds
    failed = sum(len(folder.run(cell).failures()) for cell in _begun(folder))
    return planned - failed - sum(len(group.results) for group in groups)


def _begun(folder: StudyFolder) -> list[Cell]:
    return [c for c in folder.plan.cells() if (folder.run(c).path / "config.json").exists()]


def _groups(folder: StudyFolder) -> list[_Group]:
    groups = []
    for cell in _begun(folder):
        run = folder.run(cell)
        results = run.results()
        for activation in run.experiment.activations:
            group = _Group(cell, run.experiment, activation, results)
            if group.results:
                groups.append(group)
    return groups


def _reference(group: _Group, groups: list[_Group], against: str) -> _Group | None:
    """Return what a group is compared with, None for itself or where it is missing."""
    baseline = group.whole.baseline
    alike = [g for g in groups if g.activation == baseline and g.whole.data == group.whole.data]
    if against == "same":
        wanted = plain(group.whole, baseline)
        alike = [other for other in alike if plain(other.whole, baseline) == wanted]
    return None if not alike or alike[0] is group else alike[0]


def _row(group: _Group, reference: _Group | None, measure: Measure) -> Row:
    results = list(group.results.values())
    values = {seed: measure.of(result) for seed, result in sorted(group.results.items())}
    any_result = results[0]
    return Row(
        cell=group.cell.name,
        label=group.label,
        point={axis: v for axis, v in group.cell.point if concerns(axis, group.activation)},
        activation=group.activation,
        n=len(results),
        mean=_mean(values.values()),
        std=_spread(values.values()),
        values={seed: _number(value) for seed, value in values.items()},
        diverged=tuple(seed for seed, result in sorted(group.results.items()) if result.diverged),
        versus=None if reference is None else _versus(values, reference, measure),
        test_score=_mean(r.test_score for r in results),
        train_score=_mean(r.train_score for r in results),
        dead=_by_epoch([r.dead for r in results]),
        dormant=_by_epoch([r.dormant for r in results]),
        advice=_shares([r.advice for r in results]),
        parameters=any_result.parameters,
        activation_parameters=any_result.activation_parameters,
        step_ms=plain_statistics.median(r.step_ms for r in results),
        step_ratio=None if reference is None else _step_ratio(group, reference),
        kept_bytes=any_result.kept_bytes,
        data=group.whole.data,
        data_digest=any_result.data_digest,
    )


def _versus(values: dict[int, float], reference: _Group, measure: Measure) -> Versus | None:
    theirs = {seed: measure.of(result) for seed, result in reference.results.items()}
    mine, other = significance.pairs(values, theirs)
    if len(mine) < 2:
        return None
    differences = [a - b for a, b in zip(mine, other, strict=True)]
    tested = significance.paired(mine, other)
    spread = plain_statistics.stdev(differences)
    return Versus(
        label=reference.title,
        pairs=len(mine),
        t=Span(**tested.difference._asdict()),
        bootstrap=Span(**significance.bootstrap_interval(differences)._asdict()),
        std=spread,
        p=_number(tested.p),
        p_sign_flip=significance.sign_flip(differences),
        seeds_needed=significance.pairs_needed(VISIBLE, spread),
    )


def _corrected(rows: list[Row]) -> list[Row]:
    """Return the rows with Holm's p-values over all comparisons of the study."""
    compared = [row.versus for row in rows if row.versus is not None]
    corrected = iter(significance.holm([math.nan if v.p is None else v.p for v in compared]))
    return [
        row
        if row.versus is None
        else row.model_copy(
            update={"versus": row.versus.model_copy(update={"p_holm": _number(next(corrected))})}
        )
        for row in rows
    ]


def _step_ratio(group: _Group, reference: _Group) -> float | None:
    shared = group.results.keys() & reference.results.keys()
    ratios = [group.results[s].step_ms / reference.results[s].step_ms for s in shared]
    return plain_statistics.median(ratios) if ratios else None


def _command(folder: StudyFolder, groups: list[_Group]) -> str:
    plan = folder.plan
    seeds = max(len(group.whole.seeds) for group in groups)
    more = "" if seeds == plan.study.scale(plan.scale).seeds else f" --seeds {seeds}"
    if plan.settled != plan.study:
        more += f" --precision {plan.precision}"
    shipped = plan.name in names() and parse(find(plan.name)) == plan.study
    name = plan.name if shipped else f"{plan.name}.toml"
    return f"hinged study run {name} --scale {plan.scale}{more}"


def _by_epoch(series: Sequence[list[float]]) -> list[float]:
    return [plain_statistics.fmean(values) for values in zip(*series, strict=False)]


def _shares(advice: Sequence[dict[str, list[str]]]) -> dict[str, float]:
    signs = dict.fromkeys(sign for each in advice for sign in each)
    return {sign: sum(sign in each for each in advice) / len(advice) for sign in signs}


def _mean(values: Iterable[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return plain_statistics.fmean(finite) if finite else None


def _spread(values: Iterable[float]) -> float | None:
    finite = [value for value in values if math.isfinite(value)]
    return plain_statistics.stdev(finite) if len(finite) > 1 else None


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _distinct(environments: list[dict[str, str]]) -> list[dict[str, str]]:
    return list({tuple(sorted(each.items())): each for each in environments}.values())
