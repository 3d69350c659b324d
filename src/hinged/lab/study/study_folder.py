"""The folder of one study at one scale, with a run folder for each cell.

    study.json         the study, its scale, and whether the fallback data are used
    cells/NAME/        the run folder of a cell (`hinged.lab.runs.run_folder`)
    pretrain/KIND/     the run folder of a network's pretraining, with its weights

Like run folders, it survives a kill at any moment. The same command then trains only what is
missing, and several processes can share the work.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
from filelock import FileLock

from hinged import errors
from hinged.atomic_files import PARTIAL
from hinged.lab._write_file import write_file
from hinged.lab.experiment.environment import Precision, fast_precision
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import Settings
from hinged.lab.runs.compare import ProgressListener, compare_all
from hinged.lab.runs.pending_trial import ExperimentRun, SaveOptions
from hinged.lab.runs.run_folder import RunFolder, as_file_name
from hinged.lab.study.cells import Cell, pretraining_experiments, study_cells
from hinged.lab.study.definition import Study


class StudyPlan(Settings):
    """A study at one scale.

    Attributes:
        name: the name of the study.
        scale: the name of a scale.
        fallback: whether the fallback data of the scale are used.
        precision: replaces `auto` in the study. None in a new plan: then the machine that creates
            the folder chooses its fast precision for all machines.
        study: the study.
    """

    name: str
    scale: str
    fallback: bool = False
    precision: Precision | None = None
    study: Study

    @property
    def study_with_precision(self) -> Study:
        """Return the study with its precision in place of `auto`."""
        return self.study.with_precision(self.precision or fast_precision())

    def cells(self, seeds: int | None = None) -> list[Cell]:
        """Return the cells, with this number of seeds or that of the scale."""
        return study_cells(self.study_with_precision, self.scale, self.fallback, seeds)

    def pretrainings(self) -> dict[str, Experiment]:
        """Return the pretraining of each kind of network."""
        return pretraining_experiments(self.study_with_precision, self.scale, self.fallback)

    def extends(self, other: StudyPlan) -> bool:
        """Whether this plan contains all trainings of the other plan, whatever their seeds."""
        about = {"name", "scale", "fallback"}
        same = self.model_dump(include=about) == other.model_dump(include=about)
        return same and other._experiments().items() <= self._experiments().items()

    def _experiments(self) -> dict[str, Experiment]:
        """Return all experiments by the names of their folders, without seeds."""
        experiments = {cell.name: cell.experiment for cell in self.cells()}
        experiments |= {f"pretrain {kind}": each for kind, each in self.pretrainings().items()}
        return {name: each.model_copy(update={"seeds": ()}) for name, each in experiments.items()}


class StudyFolder:
    """The files of one study at one scale.

    Args:
        path: the folder; `open` creates it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def plan(self) -> StudyPlan:
        """Return the plan of this folder.

        Raises:
            RunFolderError: the folder holds no study.
        """
        file = self.path / "study.json"
        if not file.exists():
            raise errors.RunFolderError(
                f"{self.path} holds no study: there is no {file.name}; "
                "give a folder that `hinged study run` wrote."
            )
        try:
            return StudyPlan.model_validate_json(file.read_text(encoding="utf-8"))
        except pydantic.ValidationError as invalid:
            raise errors.RunFolderError(
                f"{file} is not the plan of a study: {invalid.error_count()} faults, first "
                f"{invalid.errors()[0]['msg']!r}; choose another folder."
            ) from None

    def open(self, plan: StudyPlan) -> None:
        """Create the folder for a plan, or continue with it.

        Raises:
            RunFolderError: the folder holds another study or scale, other files, or trainings that
                a changed study no longer contains.
        """
        file = self.path / "study.json"
        # In this order: another process may write the plan between the two checks.
        if self.path.is_file() or (self._holds_other_files() and not file.exists()):
            raise errors.RunFolderError(
                f"{self.path} is not the folder of a study; choose an empty folder."
            )
        (self.path / "cells").mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "cells" / ".lock"):
            held = self.plan if file.exists() else None
            if plan.precision is None:
                precision = fast_precision() if held is None else held.precision
                plan = plan.model_copy(update={"precision": precision})
            if held is not None and not plan.extends(held):
                raise errors.RunFolderError(
                    f"{self.path} holds {held.name} at scale {held.scale}, or an earlier form of "
                    "it; choose another folder."
                )
            write_file(file, plan.model_dump_json(indent=2) + "\n")

    def run_folder(self, cell: Cell) -> RunFolder:
        """Return the run folder of a cell."""
        return RunFolder(self.path / "cells" / cell.name)

    def cell_runs(self, seeds: int | None = None) -> list[ExperimentRun]:
        """Return the experiments of all cells; they need the weights of the pretrainings."""
        weights = {}
        for run in self.pretraining_runs():
            (trial,) = run.experiment.trials
            weights[run.experiment.network.kind] = run.folder.weights_path(trial)
        return [
            ExperimentRun(
                cell.experiment,
                self.run_folder(cell),
                cell.name,
                weights.get(cell.experiment.network.kind),
            )
            for cell in self.plan.cells(seeds)
        ]

    def pretraining_runs(self) -> list[ExperimentRun]:
        """Return the pretrainings; train them with `SaveOptions(weights=True)`."""
        return [
            ExperimentRun(
                experiment,
                RunFolder(self.path / "pretrain" / as_file_name(kind)),
                f"pretrain {kind}",
            )
            for kind, experiment in self.plan.pretrainings().items()
        ]

    def train(self, listener: ProgressListener, seeds: int | None = None, **options: Any) -> None:
        """Train everything that the folder does not hold yet, pretrainings first.

        Args:
            listener: receives the progress.
            seeds: number of seeds; by default that of the scale.
            options: of `hinged.lab.runs.compare.compare_all`. The error of a training is written
                into its folder and the others continue; that of a pretraining is raised.
        """
        pretrainings = [
            run
            for run in self.pretraining_runs()
            if not run.folder.is_finished(run.experiment.trials[0])
        ]
        if pretrainings:
            save = SaveOptions(checkpoints=True, weights=True)
            compare_all(pretrainings, listener, save=save, **options)
        compare_all(self.cell_runs(seeds), listener, continue_on_error=True, **options)

    def _holds_other_files(self) -> bool:
        """Whether the folder holds files besides `cells` and a partial `study.json`, which a
        process that was killed early leaves."""
        names = [each.name for each in self.path.iterdir()] if self.path.exists() else []
        return any(name != "cells" and not PARTIAL.fullmatch(name) for name in names)
