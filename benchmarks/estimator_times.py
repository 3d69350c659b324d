"""Times `fit` of the estimators of hinged until they are as good as scikit-learn's MLP in the end.

    export HINGED_DATA=FOLDER  # the folder of data sets
    python benchmarks/estimator_times.py [--sets SET ...] [--rounds 5] [--record FILE.json]

In each round, both estimators are trained at their defaults on the same rows, one after the other,
with one thread. hinged trains several networks together, and each holds out other rows. So an MLP
of scikit-learn is trained for each of these networks, on its training rows. The score to reach is
R2 or the share of right classes on all rows that were held out, each predicted by the MLP that was
not trained on it. hinged is scored in the same way: the mean of its networks, which predicts
better, has no part in it. The time of hinged is that of `fit` until the end of the first iteration
with this score, for all networks together. It is compared with the mean time of one MLP of
scikit-learn. Times are seconds of the CPU. The MLP of scikit-learn gets scaled columns and targets,
as in `estimators_contenders.py`.
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
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state
from threadpoolctl import threadpool_limits

from hinged.sklearn.members import AUTO_NETWORKS
from hinged.sklearn.split import split_rows

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


def splits_of(table: Table, seed: int) -> list[tuple[Any, Any]]:
    """Return the training rows and the held-out rows of each network of hinged with a seed."""
    seeds = check_random_state(seed).randint(2**31 - 1, size=AUTO_NETWORKS)
    share = CONTENDERS["hinged"].make(table.is_classification, seed).validation_fraction
    classes = np.unique(table.y, return_inverse=True)[1] if table.is_classification else None
    return [split_rows(len(table.x), share, int(each), classes) for each in seeds]


def time_round(table: Table, seed: int) -> dict[str, float | None]:
    """Train both estimators, and return their times and scores.

    The entry `reached_seconds` is None if hinged never reaches the score.
    """
    splits = splits_of(table, seed)
    seconds_of_rivals, predicted = [], []
    for training, held_out in splits:
        rival = CONTENDERS["sklearn-mlp"].make(table.is_classification, seed)
        start = time.process_time()
        rival.fit(table.x[training], table.y[training])
        seconds_of_rivals.append(time.process_time() - start)
        predicted.append(rival.predict(table.x[held_out]))
    score_of = accuracy_score if table.is_classification else r2_score
    true = np.concatenate([table.y[held_out] for _, held_out in splits])
    score = float(score_of(true, np.concatenate(predicted)))
    model = CONTENDERS["hinged"].make(table.is_classification, seed, {"verbose": True})
    stamps = Stamps()
    start = time.process_time()
    with contextlib.redirect_stdout(stamps):
        model.fit(table.x, table.y)
    seconds = time.process_time() - start
    assert len(model.parameters_) == len(splits)
    scores = model.validation_scores_
    reached = [
        end - start for end, each in zip(stamps.seconds, scores, strict=True) if each >= score
    ]
    return {
        "score": score,
        "rival_seconds": statistics.mean(seconds_of_rivals),
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
