"""The folder of one study at one scale: `smoke`, `small` or `full`.

    study.json         the study, its scale, and whether the fallback data are used
    cells/NAME/        the run folder of a cell (one combination of the study's settings)
    pretrain/KIND/     the run folder of a network's pretraining, with the trained weights

Several processes may work in one folder at the same time, and each may be killed at any moment. The
same command continues the study, and trains only networks without a result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
from filelock import FileLock

from hinged import errors
from hinged.atomic_files import PARTIAL
from hinged.lab._read_file import explain_read_errors
from hinged.lab._write_file import possible_path, write_file
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.settings import Precision, Settings, fast_precision
from hinged.lab.runs.compare import compare_all
from hinged.lab.runs.pending_trial import ExperimentRun, SaveOptions
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.run_folder import RunFolder, as_file_name
from hinged.lab.runs.tuning import Tuning, tune_all
from hinged.lab.study.cells import (
    Cell,
    pretraining_experiments,
    study_cells,
    study_tuning,
    tuned_cells,
)
from hinged.lab.study.definition import Study


class StudyPlan(Settings):
    """A study together with the scale and the precision at which it runs.

    Attributes:
        name: name of the study.
        scale: name of the scale: `smoke`, `small` or `full`.
        fallback: whether the data set `fallback` of the scale is used instead of the usual data.
        precision: the precision in place of `auto` in the study, `float32` or `bf16`. None in a new
            plan: the machine that creates the folder then chooses its faster precision, which all
            other machines use too.
        study: the study.
    """

    name: str
    scale: str
    fallback: bool = False
    precision: Precision | None = None
    study: Study

    @property
    def study_with_precision(self) -> Study:
        """Return the study with the plan's precision in place of `auto`.

        If the plan has no precision, the faster precision of this machine is used.
        """
        return self.study.with_precision(self.precision or fast_precision())

    def cells(self, seeds: int | None = None) -> list[Cell]:
        """Return the cells of the study at this scale.

        A cell is one experiment, with one combination of the study's settings.

        Args:
            seeds: number of seeds of each cell; None for the number that the scale sets.
        """
        return study_cells(self.study_with_precision, self.scale, self.fallback, seeds)

    def pretrainings(self) -> dict[str, Experiment]:
        """Return the experiment that pretrains each kind of network; the keys are the kinds."""
        return pretraining_experiments(self.study_with_precision, self.scale, self.fallback)

    def tuning(self) -> Tuning | None:
        """Return what is tried for each activation in each cell; None if nothing is tried."""
        return study_tuning(self.study_with_precision, self.scale, self.fallback)

    def tuned_cells(self) -> dict[str, Cell]:
        """Return the cell whose tuning chooses the settings of a cell; empty without tuning.

        The keys are names of cells.
        """
        return tuned_cells(self.study_with_precision, self.scale, self.fallback)

    def extends(self, other: StudyPlan) -> bool:
        """Whether this plan contains all trainings of another plan, apart from their seeds."""
        about = {"name", "scale", "fallback"}
        same = self.model_dump(include=about) == other.model_dump(include=about)
        same = same and self.tuning() == other.tuning()
        same = same and other._tuned_in().items() <= self._tuned_in().items()
        return same and other._experiments().items() <= self._experiments().items()

    def _tuned_in(self) -> dict[str, str]:
        """Return the name of the cell whose tuning chooses the settings of each cell."""
        return {name: cell.name for name, cell in self.tuned_cells().items()}

    def _experiments(self) -> dict[str, Experiment]:
        """Return all experiments without their seeds; the keys are the names of their folders."""
        experiments = {cell.name: cell.experiment for cell in self.cells()}
        experiments |= {f"pretrain {kind}": each for kind, each in self.pretrainings().items()}
        return {name: each.model_copy(update={"seeds": ()}) for name, each in experiments.items()}


class StudyFolder:
    """The folder of one study at one scale, with a run folder for each cell and pretraining.

    A cell is one combination of the study's settings.

    Args:
        path: path of the folder. It need not exist; the method `open` creates it.

    Raises:
        RunFolderError: if the file system allows no such path.
    """

    def __init__(self, path: Path) -> None:
        self.path = possible_path(path)

    @property
    def holds_study(self) -> bool:
        """Whether the folder holds a study."""
        return (self.path / "study.json").exists()

    @property
    def plan(self) -> StudyPlan:
        """Return the plan in the file `study.json` of this folder.

        Raises:
            RunFolderError: if the folder holds no study, or if the file is damaged.
        """
        file = self.path / "study.json"
        if not file.exists():
            raise errors.RunFolderError(
                f"{self.path} holds no study: the file {file.name} is missing in it. "
                "Give a folder that `hinged study run` has written."
            )
        try:
            with explain_read_errors(file, "the plan of a study", "Choose another folder."):
                text = file.read_text(encoding="utf-8")
            return StudyPlan.model_validate_json(text)
        except pydantic.ValidationError as invalid:
            raise errors.RunFolderError(
                f"{file} is not a valid plan of a study: {invalid.error_count()} entries are "
                f"wrong, the first with the error {invalid.errors()[0]['msg']!r}. Choose another "
                "folder."
            ) from None

    def open(self, plan: StudyPlan) -> None:
        """Create the folder for a plan, or write a larger plan into it.

        Args:
            plan: the study, its scale and its precision. If the folder already holds a plan, the
                new plan must contain all trainings of the old plan.

        Raises:
            RunFolderError: if the folder holds files that belong to no study, another study, the
                same study at another scale (`smoke`, `small` or `full`), or trainings that the plan
                does not contain.
        """
        file = self.path / "study.json"
        # The order matters: another process may write the plan between the two checks.
        if self.path.is_file() or (self._holds_other_files() and not file.exists()):
            raise errors.RunFolderError(
                f"{self.path} is a file, or holds files that do not belong to a study. "
                "Choose an empty folder or the folder of this study."
            )
        (self.path / "cells").mkdir(parents=True, exist_ok=True)
        with FileLock(self.path / "cells" / ".lock"):
            held = self.plan if file.exists() else None
            if plan.precision is None:
                precision = fast_precision() if held is None else held.precision
                plan = plan.model_copy(update={"precision": precision})
            if held is not None and not plan.extends(held):
                raise errors.RunFolderError(
                    f"{self.path} holds trainings of the study {held.name} at scale {held.scale}. "
                    f"The study {plan.name} at scale {plan.scale} does not contain all of them: "
                    "name, scale, settings or precision differ. Choose another folder."
                )
            write_file(file, plan.model_dump_json(indent=2) + "\n")

    def run_folder(self, cell: Cell) -> RunFolder:
        """Return the run folder of a cell, which contains the results of its trainings."""
        return RunFolder(self.path / "cells" / cell.name)

    def cell_runs(self, seeds: int | None = None) -> list[ExperimentRun]:
        """Return the experiment and the run folder of each cell (one combination of settings).

        If the study has pretrainings, train `pretraining_runs` first: the cells need their weights.

        Args:
            seeds: number of seeds of each cell; None for the number that the scale sets.
        """
        weights = {}
        for run in self.pretraining_runs():
            (trial,) = run.experiment.trials
            weights[run.experiment.network.kind] = run.folder.weights_path(trial)
        tuned = self.plan.tuned_cells()
        return [
            ExperimentRun(
                cell.experiment,
                self.run_folder(cell),
                cell.name,
                weights.get(cell.experiment.network.kind),
                self._tuned_in(cell, tuned.get(cell.name)),
            )
            for cell in self.plan.cells(seeds)
        ]

    def _tuned_in(self, cell: Cell, tuned: Cell | None) -> RunFolder | None:
        """Return the run folder of the cell that is tuned for another cell, and None otherwise."""
        return None if tuned is None or tuned.name == cell.name else self.run_folder(tuned)

    def pretraining_runs(self) -> list[ExperimentRun]:
        """Return the experiment and the run folder of each pretraining.

        Train them with `SaveOptions(weights=True)`, so that their weights are saved for the cells.
        """
        return [
            ExperimentRun(
                experiment,
                RunFolder(self.path / "pretrain" / as_file_name(kind)),
                f"pretrain {kind}",
            )
            for kind, experiment in self.plan.pretrainings().items()
        ]

    def train(
        self,
        listener: ProgressListener,
        seeds: int | None = None,
        *,
        logger: str = "",
        **options: Any,
    ) -> None:
        """Train all networks of the study that have no result yet.

        Pretrainings come first, then the trainings that tune the settings of each cell, and then
        the trainings of the cells with the best settings.

        An error in a training of a cell is saved in the run folder, and the next training starts.
        An error in a pretraining is raised.

        Args:
            listener: an object whose methods are called when trainings start, progress and end.
            seeds: number of seeds of each cell; None for the number that the scale sets.
            logger: name of a logger that records every epoch; empty for no logger.
            **options: arguments of `hinged.lab.runs.compare.compare_all`, for example `jobs`.
        """
        pretrainings = [
            run
            for run in self.pretraining_runs()
            if not run.folder.is_finished(run.experiment.trials[0])
        ]
        if pretrainings:
            save = SaveOptions(checkpoints=True, weights=True, logger=logger)
            compare_all(pretrainings, listener, save=save, **options)
        save = SaveOptions(logger=logger)
        runs, tuning = self.cell_runs(seeds), self.plan.tuning()
        if tuning is not None:
            runs = tune_all(runs, tuning, listener, continue_on_error=True, **options)
        compare_all(runs, listener, save=save, continue_on_error=True, **options)

    def _holds_other_files(self) -> bool:
        """Whether the folder holds files other than `cells` and partial files.

        A process that was killed early may leave only these.
        """
        names = [each.name for each in self.path.iterdir()] if self.path.exists() else []
        return any(name != "cells" and not PARTIAL.fullmatch(name) for name in names)
