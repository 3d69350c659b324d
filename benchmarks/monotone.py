"""Compares estimators with monotone constraints on public tables, on the same folds.

The results of each fold are appended to a file when the fold is finished, so the same command goes
on after it was interrupted. At the end, a table is printed.

    pip install tensorflow-cpu tf-keras tensorflow-lattice  # optional, for a contender of Google's
    export HINGED_DATA=FOLDER  # the folder of data sets
    python benchmarks/monotone.py benchmarks/records/monotone.jsonl
"""

from __future__ import annotations

import itertools
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from estimators_tables import Table, load_table
from result_files import append_line, read_lines
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from hinged.installation import describe_installation, source_commit
from hinged.sklearn import MLPClassifier, MLPRegressor

SIGNS = {
    "concrete": {"cement": (0, 1), "water": (3, -1), "age": (7, 1)},
    "breast_cancer": {
        "worst radius": (20, -1),
        "worst texture": (21, -1),
        "worst concave points": (27, -1),
    },
    "california_housing": {"median income": (0, 1)},
}
"""The constrained columns of each table, with their numbers and signs. Concrete is stronger with
more cement, less water and greater age. A tumour is less probably benign with a greater radius, a
coarser texture and more concave points. Houses are dearer where people earn more."""

FOLDS, ROWS = 10, 1000
"""Number of folds, and largest number of rows of a table."""
LINES, POINTS = 20, 5000
"""Number of test rows from which a line starts along a column, and of points on each line."""

Model = Any
Maker = Callable[[Table, Mapping[int, int], int], Model]
"""A function that returns a model for a table, the signs of columns by number, and a seed."""


def _hinged(*, constrained: bool) -> Maker:
    def make(table: Table, signs: Mapping[int, int], seed: int) -> Model:
        kind = MLPClassifier if table.is_classification else MLPRegressor
        return kind(
            input_curves=True, monotone=dict(signs) if constrained else None, random_state=seed
        )

    return make


def _boosted(*, constrained: bool) -> Maker:
    def make(table: Table, signs: Mapping[int, int], seed: int) -> Model:
        trees = HistGradientBoostingRegressor, HistGradientBoostingClassifier
        each = [signs.get(column, 0) for column in range(table.x.shape[1])]
        return trees[table.is_classification](
            monotonic_cst=each if constrained else None, random_state=seed
        )

    return make


def _lattices(table: Table, signs: Mapping[int, int], seed: int) -> Model:
    from monotone_lattices import CalibratedLattices

    return CalibratedLattices(table.is_classification, signs, seed)


LATTICES = "lattices, monotone"
CONTENDERS: dict[str, Maker] = {
    "hinged": _hinged(constrained=False),
    "hinged, monotone": _hinged(constrained=True),
    "boosted trees": _boosted(constrained=False),
    "boosted trees, monotone": _boosted(constrained=True),
    LATTICES: _lattices,
}


def numbers(model: Model, is_classification: bool, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return predictions, or probabilities of the second class, `(rows,)`."""
    found = model.predict_proba(x)[:, 1] if is_classification else model.predict(x)
    return np.asarray(found).reshape(len(x))


def wrong_steps(model: Model, table: Table, test: Any, column: int, sign: int) -> dict[str, float]:
    """Return how many steps on lines along a column go the wrong way, and the largest of them.

    The lines extend beyond the range of the column by a tenth on both sides. The largest step is
    relative to the range of the predictions.
    """
    inputs = table.x[:, column]
    margin = np.ptp(inputs) / 10
    rows = np.repeat(table.x[test[:LINES]], POINTS, axis=0)
    ends = inputs.min() - margin, inputs.max() + margin
    rows[:, column] = np.tile(np.linspace(*ends, POINTS), len(rows) // POINTS)
    found = numbers(model, table.is_classification, rows).reshape(-1, POINTS)
    steps = sign * np.diff(found, axis=1)
    largest = max(0.0, -steps.min()) / max(np.ptp(found), 1e-12)
    return {"points": found.size, "wrong": int((steps < 0).sum()), "largest": float(largest)}


def run(name: str, contender: str, fold: int) -> dict[str, Any]:
    """Train a contender on a fold of a table, and return the line with its results.

    The score is R2, or the share of right classes. Times are seconds of the CPU.
    """
    table = load_table(name, ROWS)
    training, test = table.folds()[fold]
    model = CONTENDERS[contender](table, dict(SIGNS[name].values()), fold)
    start = time.process_time()
    model.fit(table.x[training], table.y[training])
    seconds = time.process_time() - start
    steps = {
        label: wrong_steps(model, table, test, *column) for label, column in SIGNS[name].items()
    }
    return {
        "table": name,
        "contender": contender,
        "fold": fold,
        "score": float(model.score(table.x[test], table.y[test])),
        "fit_seconds": round(seconds, 2),
        "steps": steps,
        "commit": source_commit(),
        "environment": describe_installation() | {"scikit-learn": version("scikit-learn")},
    }


def show(lines: list[dict[str, Any]]) -> None:
    """Print the mean score and the wrong steps of each contender on each table."""
    heading = (
        "table",
        "contender",
        "folds",
        "score",
        "seconds",
        "wrong steps",
        "points",
        "largest",
    )
    print("| " + " | ".join(heading) + " |\n" + "|---" * len(heading) + "|")
    for name in SIGNS:
        for contender in CONTENDERS:
            own = [
                each for each in lines if (each["table"], each["contender"]) == (name, contender)
            ]
            steps = [step for each in own for step in each["steps"].values()]
            if own:
                score, seconds = (
                    np.mean([each[key] for each in own]) for key in ("score", "fit_seconds")
                )
                wrong, points = (sum(step[key] for step in steps) for key in ("wrong", "points"))
                largest = max(step["largest"] for step in steps)
                print(
                    f"| {name} | {contender} | {len(own)} | {score:.4f} | {seconds:.1f} "
                    f"| {wrong:,} | {points:,} | {largest:.2g} |"
                )


def main() -> None:
    """Run what is missing in the file of results, and print the table."""
    path = Path(sys.argv[1])
    torch.set_num_threads(1)
    lines = read_lines(path)
    done = {(each["table"], each["contender"], each["fold"]) for each in lines}
    contenders = list(CONTENDERS)
    if find_spec("tensorflow_lattice") is None:
        contenders.remove(LATTICES)
    jobs = itertools.product(SIGNS, contenders, range(FOLDS))
    # Lattices come last, because they take longest.
    for job in sorted(set(jobs) - done, key=lambda job: (job[1] == LATTICES, job[2], job)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # A training that reaches `max_iter`.
            lines.append(run(*job))
        append_line(path, lines[-1])
    show(lines)


if __name__ == "__main__":
    main()
