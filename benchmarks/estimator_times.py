"""Times `fit` of the estimators of hinged until they are as good as scikit-learn's MLP in the end.

    export HINGED_DATA=FOLDER  # the folder of data sets
    python benchmarks/estimator_times.py [--sets SET ...] [--rounds 5] [--record FILE.json]

In each round, both estimators are trained at their defaults on the training rows of a fold, one
after the other, with one thread. The score to reach is that of scikit-learn's MLP on the test rows
of the fold, R2 or the share of right classes. hinged trains several networks together. After each
iteration, the mean of their predictions is scored on the same rows. The time of hinged is that of
`fit` until the end of the first iteration with the score to reach. Times are seconds of the CPU,
without those of the scores. The MLP of scikit-learn gets scaled columns and targets, as in
`estimators_contenders.py`.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from estimators_contenders import CONTENDERS
from estimators_tables import Table, known_tables, load_table
from result_files import record_heading, write_record
from threadpoolctl import threadpool_limits

from hinged.sklearn.network import Parameters, parameters_of
from hinged.sklearn.solvers.adam import Adam
from hinged.sklearn.split import Split

ROUNDS = 5
ROWS = 2000


class Snapshots:
    """While entered, keeps the networks of the solver "adam" after each iteration, and the time.

    Attributes:
        seconds: seconds of the CPU until the end of each iteration, without those of this class.
        networks: the parameters of all networks after each iteration.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.networks: list[list[Parameters]] = []
        self._paused = 0.0

    def __enter__(self) -> Snapshots:
        iterate, start = Adam.iterate, time.process_time()
        self._iterate = iterate

        def iterate_and_keep(solver: Adam, split: Split) -> float:
            loss = iterate(solver, split)
            now = time.process_time()
            self.seconds.append(now - start - self._paused)
            self.networks.append([parameters_of(network) for network in solver.unpack()])
            self._paused += time.process_time() - now
            return loss

        Adam.iterate = iterate_and_keep
        return self

    def __exit__(self, *_: object) -> None:
        Adam.iterate = self._iterate


def time_round(table: Table, fold: int) -> dict[str, float | None]:
    """Train both estimators on a fold, and return their times and scores.

    The entry `reached_seconds` is None if hinged never reaches the score.
    """
    training, test = table.folds()[fold]
    x, y = table.x[training], table.y[training]
    rival = CONTENDERS["sklearn-mlp"].make(table.is_classification, fold)
    start = time.process_time()
    rival.fit(x, y)
    rival_seconds = time.process_time() - start
    score = float(rival.score(table.x[test], table.y[test]))
    model = CONTENDERS["hinged"].make(table.is_classification, fold)
    start = time.process_time()
    with Snapshots() as snapshots:
        model.fit(x, y)
    seconds = time.process_time() - start
    fit_score = float(model.score(table.x[test], table.y[test]))
    scores = []
    for model.parameters_ in snapshots.networks:
        scores.append(float(model.score(table.x[test], table.y[test])))
    pairs = zip(snapshots.seconds, scores, strict=True)
    reached = [end for end, each in pairs if each >= score]
    return {
        "score": score,
        "rival_seconds": rival_seconds,
        "fit_score": fit_score,
        "fit_seconds": seconds,
        "reached_seconds": reached[0] if reached else None,
    }


def time_table(name: str, rounds: int) -> dict[str, Any]:
    """Return the results of all rounds on a table."""
    table = load_table(name, ROWS)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # Most say that a training has not converged.
        return {"table": name, "rounds": [time_round(table, fold) for fold in range(rounds)]}


def median_ratio(case: dict[str, Any]) -> float:
    """Return the median of the time of hinged divided by that of the other in the same round.

    It is infinite if hinged does not reach the score in half of the rounds or more.
    """
    reached = [each["reached_seconds"] for each in case["rounds"]]
    rivals = [each["rival_seconds"] for each in case["rounds"]]
    pairs = zip(reached, rivals, strict=True)
    return statistics.median_high(math.inf if a is None else a / b for a, b in pairs)


def main() -> None:
    """Time both estimators on all tables, print the ratios, and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = known_tables()
    parser.add_argument("--sets", nargs="+", default=names, choices=names, metavar="SET")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--record", type=Path, metavar="FILE.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    time_table("iris", 1)  # Loads what first trainings load.
    cases = []
    for name in given.sets:
        cases.append(time_table(name, given.rounds))
        print(
            f"{name}: {median_ratio(cases[-1]):.2f} of the time of scikit-learn's MLP", flush=True
        )
    if given.record:
        record = {
            **record_heading(),
            "rows": ROWS,
            "cases": cases,
        }
        write_record(given.record, record)


if __name__ == "__main__":
    main()
