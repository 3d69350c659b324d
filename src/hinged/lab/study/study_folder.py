"""The folder of a study: what was asked, and one run folder for each cell.

    study.json         the study, its scale, and whether the fallback data are used
    cells/NAME/        the run folder of a cell, as `hinged.lab.runs.run_folder` describes it
    pretrain/KIND/     the run folder of a network's pretraining, with its weights

It is as safe against being killed as run folders are: the same command does only what is missing,
and several processes share the work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
from filelock import FileLock

from hinged import errors
from hinged.atomic_files import PARTIAL
from hinged.lab._files import write_file
from hinged.lab.experiment.environment import Precision, fast_precision
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import Settings
from hinged.lab.runs.compare import ProgressListener, compare_all
from hinged.lab.runs.pending_trial import ExperimentRun, SaveOptions
from hinged.lab.runs.run_folder import RunFolder, as_file_name
from hinged.lab.study.cells import Cell, cells, pretrainings
from hinged.lab.study.definition import Study


class Plan(Settings):
    """What a folder holds.

    Attributes:
        name: the study's.
        scale: one of its scales.
        fallback: whether the scale's fallback data are used.
        precision: what the study's `auto` stands for; None for what is fast on the machine that
            begins it, and then for all that go on with it.
        study: the study itself.
    """

    name: str
    scale: str
    fallback: bool = False
    precision: Precision | None = None
    study: Study

    @property
    def settled(self) -> Study:
        """Return the study with its precision."""
        return self.study.settled(self.precision or fast_precision())

    def cells(self, seeds: int | None = None) -> list[Cell]:
        """Return the cells, with so many seeds or those of the scale."""
        return cells(self.settled, self.scale, self.fallback, seeds)

    def pretrainings(self) -> dict[str, Experiment]:
        """Return the trainings that cells start from, by their networks' kinds."""
        return pretrainings(self.settled, self.scale, self.fallback)

    def extends(self, held: Plan) -> bool:
        """Whether all that is trained for `held`, from whatever seeds, is trained for this plan
        too."""
        about = {"name", "scale", "fallback"}
        same = self.model_dump(include=about) == held.model_dump(include=about)
        return same and held._experiments().items() <= self._experiments().items()

    def _experiments(self) -> dict[str, Experiment]:
        """Return what is trained by the names of its folders, without seeds."""
        whole = {cell.name: cell.experiment for cell in self.cells()}
        whole |= {f"pretrain {kind}": each for kind, each in self.pretrainings().items()}
        return {name: each.model_copy(update={"seeds": ()}) for name, each in whole.items()}


class StudyFolder:
    """The files of one study at one scale.

    Args:
        path: the folder; made when a plan is opened in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def plan(self) -> Plan:
        """Return what this folder holds.

        Raises:
            RunFolderError: it holds no study.
        """
        file = self.path / "study.json"
        if not file.exists():
            raise errors.RunFolderError(
                f"{self.path} holds no study: there is no {file.name}. "
                "Give the folder that `hinged study run --out` wrote."
            )
        try:
            return Plan.model_validate_json(file.read_text(encoding="utf-8"))
        except pydantic.ValidationError as invalid:
            raise errors.RunFolderError(
                f"{file} is not that of a study: {invalid.error_count()} faults, first "
                f"{invalid.errors()[0]['msg']!r}. Choose another folder with --out."
            ) from None

    def open(self, plan: Plan) -> None:
        """Make the folder this plan's, or go on with it.

        Raises:
            RunFolderError: it holds another study or scale, files that are none, or trainings that
                the study, since changed, has no more.
        """
        file = self.path / "study.json"
        # In this order: another process may begin the study while this one looks around.
        if self.path.is_file() or (self._foreign() and not file.exists()):
            raise errors.RunFolderError(
                f"{self.path} is no folder of a study. Choose an empty folder with --out."
            )
        (self.path / "cells").mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "cells" / ".lock"):
            held = self.plan if file.exists() else None
            if plan.precision is None:
                begun = fast_precision() if held is None else held.precision
                plan = plan.model_copy(update={"precision": begun})
            if held is None or plan.extends(held):
                write_file(file, plan.model_dump_json(indent=2) + "\n")
                return
            raise errors.RunFolderError(
                f"{self.path} holds {held.name} at scale {held.scale}, or an earlier form of it. "
                "Choose another folder with --out."
            )

    def run(self, cell: Cell) -> RunFolder:
        """Return the run folder of a cell."""
        return RunFolder(self.path / "cells" / cell.name)

    def tasks(self, seeds: int | None = None) -> list[ExperimentRun]:
        """Return what there is to do, cell by cell, once the pretrainings are done."""
        own = {each.experiment.network.kind: _weights(each) for each in self.pretrainings()}
        return [
            ExperimentRun(c.experiment, self.run(c), c.name, own.get(c.experiment.network.kind))
            for c in self.plan.cells(seeds)
        ]

    def pretrainings(self) -> list[ExperimentRun]:
        """Return the trainings that cells start from; their weights must be kept."""
        return [
            ExperimentRun(
                experiment,
                RunFolder(self.path / "pretrain" / as_file_name(kind)),
                f"pretrain {kind}",
            )
            for kind, experiment in self.plan.pretrainings().items()
        ]

    def train(self, listener: ProgressListener, seeds: int | None = None, **options: Any) -> None:
        """Do every training that the folder does not hold yet, pretrainings first.

        Args:
            listener: is told of every step.
            seeds: how many; by default those of the scale.
            options: of `hinged.lab.runs.compare.compare_all`. The error of a training is written
                into its folder and the others continue; that of a pretraining is raised.
        """
        first = [
            each
            for each in self.pretrainings()
            if not each.folder.is_finished(each.experiment.trials[0])
        ]
        if first:
            compare_all(
                first, listener, save=SaveOptions(checkpoints=True, weights=True), **options
            )
        compare_all(self.tasks(seeds), listener, continue_on_error=True, **options)

    def _foreign(self) -> bool:
        """Whether something of someone else lies here; a process that has just begun, or was killed
        then, leaves `cells` and a part of `study.json`."""
        names = [each.name for each in self.path.iterdir()] if self.path.exists() else []
        return any(name != "cells" and not PARTIAL.fullmatch(name) for name in names)


def _weights(task: ExperimentRun) -> Path:
    (trial,) = task.experiment.trials
    return task.folder.weights_path(trial)
