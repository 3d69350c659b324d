"""The base class of objects that follow the progress of a comparison."""

from __future__ import annotations

from hinged.lab.experiment.schema import Trial
from hinged.lab.runs.pending_trial import ExperimentRun
from hinged.lab.runs.trial_result import TrialFailure, TrialResult


class ProgressListener:
    """Base class of objects that follow the progress of a comparison.

    `compare_all` calls the methods below. In this class they do nothing; a subclass overrides the
    methods that it needs.

    Attributes:
        shown_warnings: the warnings that the user has seen. The report does not repeat them.
    """

    shown_warnings: frozenset[str] = frozenset()

    def on_start(self, trials: int, finished: int, epochs: int, jobs: int | None) -> None:
        """React to the start of a comparison, before its first training.

        Args:
            trials: number of all trials. A trial is one training: one activation from one seed.
            finished: number of trials that an earlier run has already finished.
            epochs: number of epochs to train, summed over all unfinished trials.
            jobs: number of trials that are trained at the same time; None if it is not known.
        """

    def on_note(self, sentence: str) -> None:
        """React to something that was found in the data, before the first training.

        Args:
            sentence: what was found.
        """

    def on_warning(self, sentence: str) -> None:
        """React to a reason why the results may prove nothing, known before the first training.

        Args:
            sentence: the reason, and what to do.
        """

    def on_trial_start(self, run: ExperimentRun, trial: Trial) -> None:
        """React to the start of a training. The method is not called for trainings on a cluster.

        Args:
            run: the experiment.
            trial: the activation and the seed.
        """

    def on_epoch(self, run: ExperimentRun, trial: Trial, number: int) -> None:
        """React to the end of an epoch. The method is not called for trainings on a cluster.

        Args:
            run: the experiment.
            trial: the activation and the seed.
            number: number of epochs that this training has finished.
        """

    def on_result(self, run: ExperimentRun, result: TrialResult) -> None:
        """React to a finished training, after its result is saved.

        Args:
            run: the experiment.
            result: the result of the training.
        """

    def on_failure(self, run: ExperimentRun, failure: TrialFailure) -> None:
        """React to a training that raised an error, after the error is saved.

        Args:
            run: the experiment.
            failure: the saved error.
        """
