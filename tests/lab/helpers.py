"""Small experiments, invented results, and listeners for tests of runs, reports and studies."""

import json

from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.trial_result import TrialFailure, TrialResult

SMALL = {
    "data": "digits",
    "network": {"kind": "cnn", "width": 2, "depth": 1},
    "training": {"epochs": 2, "batch_size": 128, "lr": 0.02},
    "activations": ("relu", "prelu", "hinged"),
    "seeds": (0, 1, 2),
}
"""Settings of a comparison of 9 short trainings."""

COMPARE_SMALL = (
    *("compare", "--json"),
    *("--width", "2", "--depth", "1", "--epochs", "2", "--batch-size", "128", "--lr", "0.02"),
    *("--activations", "relu,prelu,hinged", "--seeds", "3"),
)
"""The command for the same comparison."""


class RecordingListener(ProgressListener):
    """Records what a comparison reports.

    Attributes:
        counts: the first three arguments of the last `on_start`.
        jobs: the last argument of it.
        notes: what was found in the data, before the first training.
        warnings: the warnings before the first training.
        started: activation and seed of each training that has started.
        epochs: activation, seed and number of each finished epoch.
        results: label, activation and seed of each finished trial.
        failures: label and failure of each failed trial.
    """

    def __init__(self):
        self.counts, self.jobs, self.results, self.failures = None, None, [], []
        self.notes, self.warnings, self.started, self.epochs = [], [], [], []

    def on_start(self, trials, finished, epochs, jobs):
        self.counts, self.jobs = (trials, finished, epochs), jobs

    def on_note(self, sentence):
        self.notes.append(sentence)

    def on_warning(self, sentence):
        self.warnings.append(sentence)

    def on_trial_start(self, _run, trial):
        self.started.append((trial.activation, trial.seed))

    def on_epoch(self, _run, trial, number):
        self.epochs.append((trial.activation, trial.seed, number))

    def on_result(self, run, result):
        assert result.experiment["data"] == run.experiment.data
        self.results.append((run.label, result.activation, result.seed))

    def on_failure(self, run, failure):
        self.failures.append((run.label, failure))

    @property
    def trials(self):
        """Activation and seed of each finished trial."""
        return [(activation, seed) for _, activation, seed in self.results]


def make_result(activation="relu", seed=0, test_score=0.5):
    return TrialResult(
        activation=activation,
        seed=seed,
        metric="accuracy",
        test_score=test_score,
        train_score=1.0,
        loss=[1.0],
        test_scores=[test_score],
        parameters=10,
        activation_parameters=0,
        step_ms=1.0,
        seconds=1.0,
        kept_bytes=100,
        initial_weights="a",
        data_digest="b",
        experiment={},
        environment={},
        finished="2026-01-01T00:00:00+00:00",
    )


def make_failure(activation="relu", seed=0):
    return TrialFailure(
        activation=activation,
        seed=seed,
        traceback="Traceback\nBoom: x",
        environment={},
        finished="now",
    )


def scores_of(folder):
    """Test score and losses of each trial in a run folder."""
    return {(r.activation, r.seed): (r.test_score, r.loss) for r in folder.results()}


def assert_no_broken_file(folder):
    """Every file of a run folder is complete."""
    for path in folder.glob("trials/*.json"):
        TrialResult.model_validate_json(path.read_text())
    for path in folder.glob("config.json"):
        json.loads(path.read_text())
    for path in folder.glob("results.jsonl"):
        for line in path.read_text().splitlines():
            TrialResult.model_validate_json(line)
    for path in folder.glob("report.html"):
        assert path.read_text().rstrip().endswith("</html>")
    for path in folder.glob("plots/*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
