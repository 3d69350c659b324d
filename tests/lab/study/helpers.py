"""A small study, and folders and records with invented results."""

from hinged.lab.experiment.schema import Experiment
from hinged.lab.study.outcome_measures import MEASURES
from hinged.lab.study.record import Comparison, ConfidenceInterval, RecordRow, StudyRecord
from hinged.lab.study.study_folder import StudyFolder, StudyPlan
from tests.lab.helpers import make_result

TINY = """
question = "Does the number of hinges matter?"
unsure = "Two blocks are not tried."

[settings]
data = "digits"
activations = ["relu", "hinged"]
network = { width = 2, depth = 1 }
training = { epochs = 1, batch_size = 128 }

[grid]
"curves.hinges" = [3, 9]

[smoke]
seeds = 3
settings = { train_size = 100, test_size = 100 }

[small]
seeds = 4

[full]
seeds = 5
grid = { "curves.hinges" = [3, 9, 33] }
"""

CONTENDERS = """
question = "Which part of a network is best trained?"
against = "first variant"

[settings]
data = "digits"
activations = ["relu"]
network = { width = 2, depth = 1 }
training = { epochs = 1, batch_size = 128 }

[grid]
train_size = [100, 200]

[[variants]]
name = "head and curves"
settings = { activations = ["hinged"], baseline = "hinged", training = { trains = "head+curves" } }

[[variants]]
name = "head"
settings = { training = { trains = "head" } }

[[variants]]
name = "everything"
settings = { activations = ["relu", "hinged"] }

[smoke]
seeds = 2

[small]
seeds = 4

[full]
seeds = 5
"""
"""A small study that compares each of its variants with the first."""

SCORES = {
    ("hinges-3", "relu"): [0.80, 0.82, 0.81, 0.85, 0.79],
    ("hinges-3", "hinged"): [0.81, 0.84, 0.83, 0.84, 0.82],
    ("hinges-9", "hinged"): [0.86, 0.87, 0.89, 0.90, 0.84],
}
"""Scores of five seeds, by cell and activation."""


def fill_folder(path, study, scores=SCORES):
    """Return the folder of a study at scale full with invented results."""
    folder = StudyFolder(path)
    folder.open(StudyPlan(name="tiny", scale="full", study=study))
    for cell in folder.plan.cells():
        run = folder.run_folder(cell)
        run.open(cell.experiment)
        for trial in cell.experiment.trials:
            values = scores.get((cell.name, trial.activation))
            if values is not None:
                result = make_result(trial.activation, trial.seed, values[trial.seed])
                run.save_result(trial, result.model_copy(update={"seconds": 2.0}), {})
    return folder


def scores_of_study(folder):
    """Test score and losses of each trial in the folder of a study."""
    return {
        (run.label, r.activation, r.seed): (r.test_score, r.loss)
        for run in folder.cell_runs()
        for r in run.folder.results()
    }


def invent_record(differences, *, measure="score", metric="accuracy", seeds=10, **changes):
    """Return a record of CNNs with 1, 2, 3 ... blocks, trained with ReLU and with curves.

    Args:
        differences: pairs of mean difference and corrected p-value, one pair for each network.
        measure: name of the measure.
        metric: metric of the data.
        seeds: number of seeds.
        **changes: fields of the record that differ, for example `baseline`.
    """
    about, experiment = MEASURES[measure], changes.pop("experiment", {})
    cells, rows = {}, []
    for depth, (mean, p) in enumerate(differences, start=1):
        cell = f"depth-{depth}"
        network = {"kind": "cnn", "depth": depth}
        cells[cell] = Experiment(network=network, **experiment).model_dump()
        shared = {"cell": cell, "label": f"depth {depth}", "point": {"network.depth": depth}}
        base = [0.5 + 0.001 * seed for seed in range(seeds)]
        rows.append(invent_row("relu", base, **shared))
        interval = ConfidenceInterval(mean=mean, low=mean - 0.001, high=mean + 0.001)
        versus = Comparison(
            label=rows[-1].title,
            pairs=seeds,
            t=interval,
            bootstrap=interval,
            std=0.001,
            p=p,
            p_holm=p,
            p_sign_flip=p,
            seeds_needed=7,
        )
        ours = [value + mean + 1e-4 * (seed % 3) for seed, value in enumerate(base)]
        rows.append(invent_row("hinged", ours, versus=versus, step_ratio=1.1, **shared))
    fields = {
        "name": "invented",
        "scale": "small",
        "question": "Do curves beat ReLU?",
        "unsure": "",
        "baseline": "relu",
        "command": "hinged study run invented.toml",
        "measure": about.about.format(metric=metric),
        "metric": metric,
        "in_percent": about.in_percent(metric),
        "larger_is_better": about.larger_is_better,
        "rows": rows,
        "failures": [],
        "cells": cells,
        "environments": [],
        "seconds": 1.0,
        "made": "2026-01-01",
    }
    return StudyRecord(**(fields | changes))


def invent_row(activation, values, **fields):
    """Return a row of a record with the given values, one for each seed."""
    mean = sum(values) / len(values)
    usual = {
        "activation": activation,
        "n": len(values),
        "mean": mean,
        "std": 0.001,
        "values": dict(enumerate(values)),
        "test_score": mean,
        "train_score": mean,
        "dead": [],
        "dormant": [],
        "parameters": 10,
        "activation_parameters": 1,
        "step_ms": 2.0,
        "kept_bytes": 1,
        "data": "digits",
        "data_digest": "0" * 64,
    }
    return RecordRow(**(usual | fields))
