"""Times `fit` of the estimators of hinged until they are as good as scikit-learn's MLP in the end.

    export HINGED_DATA=FOLDER  # the folder of data sets
    python benchmarks/estimator_times.py [--sets SET ...] [--rounds 5] [--record FILE.json]

In each round, both estimators are trained at their defaults on the same rows, one after the other,
with one thread. The rows that hinged holds out inside are kept from scikit-learn's MLP, too. Its
score on them, R2 or the share of right classes, is the one to reach. The time of hinged is that of
`fit` until the end of the first iteration with this score. Times are seconds of the CPU. The MLP of
scikit-learn gets scaled columns and targets, as in `estimators_contenders.py`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from estimators_contenders import CONTENDERS
from estimators_tables import Table, known_tables, load_table
from result_files import record_heading, write_record
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from hinged.sklearn.members import split_rows

ROUNDS = 5
ROWS = 2000


class Stamps(io.StringIO):
    """A text stream that notes the seconds of the CPU at each line of an iteration."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def write(self, text: str) -> int:
        """Note the time if the text begins with an iteration."""
        if text.startswith("iteration "):
            self.seconds.append(time.process_time())
        return len(text)


def held_out_rows(table: Table, seed: int) -> tuple[Any, Any]:
    """Return the rows that hinged trains on with a seed, and the rows that it holds out."""
    first = int(check_random_state(seed).randint(2**31 - 1, size=1)[0])
    share = CONTENDERS["hinged"].make(table.is_classification, seed).validation_fraction
    classes = np.unique(table.y, return_inverse=True)[1] if table.is_classification else None
    return split_rows(len(table.x), share, first, classes)


def time_round(table: Table, seed: int) -> dict[str, float | None]:
    """Train both estimators, and return their times and scores.

    The entry `reached_seconds` is None if hinged never reaches the score.
    """
    training, held_out = held_out_rows(table, seed)
    rival = CONTENDERS["sklearn-mlp"].make(table.is_classification, seed)
    start = time.process_time()
    rival.fit(table.x[training], table.y[training])
    rival_seconds = time.process_time() - start
    score = float(rival.score(table.x[held_out], table.y[held_out]))
    model = CONTENDERS["hinged"].make(table.is_classification, seed, {"verbose": True})
    stamps = Stamps()
    start = time.process_time()
    with contextlib.redirect_stdout(stamps):
        model.fit(table.x, table.y)
    seconds = time.process_time() - start
    scores = model.validation_scores_
    reached = [
        end - start for end, each in zip(stamps.seconds, scores, strict=True) if each >= score
    ]
    return {
        "score": score,
        "rival_seconds": rival_seconds,
        "best_score": max(scores),
        "fit_seconds": seconds,
        "reached_seconds": reached[0] if reached else None,
    }


def time_table(name: str, rounds: int) -> dict[str, Any]:
    """Return the results of all rounds on a table."""
    table = load_table(name, ROWS)
    with warnings.catch_warnings(), threadpool_limits(1):
        warnings.simplefilter("ignore")  # Most say that a training has not converged.
        return {"table": name, "rounds": [time_round(table, seed) for seed in range(rounds)]}


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
