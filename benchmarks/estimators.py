"""Compares the estimators of `hinged.sklearn` with others on public tables, on the same folds.

The results of each fold are appended to a file when the fold is finished. The same command goes on
after it was interrupted. When all is done, a table is printed, and the record is written.

    pip install lightgbm xgboost pytabkit river  # each is optional
    export HINGED_DATA=FOLDER  # the folder of data sets
    python benchmarks/estimators.py RESULTS.jsonl --record benchmarks/records/estimators.json
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import torch
from estimators_contenders import CONTENDERS, SLOW, Settings
from estimators_tables import FOLDS, SEEN, Table, known_tables, load_table
from result_files import append_line, read_lines, record_heading, write_record
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from hinged.installation import source_commit

TRIALS = 30
"""Number of random trials of `--tuned`, of which the first is the default."""
VALIDATION_SHARE = 0.2
"""The share of the training rows that `--tuned` holds out to choose the settings."""
ROWS = 2000
"""The largest number of rows of a table, unless `--rows` gives another."""
PACKAGES = ("lightgbm", "pytabkit", "river", "xgboost")


class Job(NamedTuple):
    """One contender on one fold of a table.

    Attributes:
        table: name of the table.
        contender: name of the contender.
        fold: number of the test fold, from 0.
        rows: the largest number of rows of a table.
        trials: number of random trials that tune the contender; 0 for its defaults.
    """

    table: str
    contender: str
    fold: int
    rows: int
    trials: int


def run_job(job: Job) -> dict[str, Any]:
    """Train a contender on the training rows of a fold, and return the line with its results.

    Everything computes with one thread. The score is R2, or the share of right classes. Times are
    seconds of the CPU, so that other programs on the machine change them little. A contender that
    fails is a result, too: the line then has the entry `problem`.
    """
    torch.set_num_threads(1)
    table = load_table(job.table, job.rows)
    training, test = table.folds()[job.fold]
    line = {**job._asdict(), "train_rows": len(training), "commit": source_commit()}
    try:
        with warnings.catch_warnings(), threadpool_limits(1):
            warnings.simplefilter("ignore")  # Most say that a training has not converged.
            settings = tune(job, table, training) if job.trials else {}
            found = fit_and_score(job, table, training, test, settings)
    except Exception as error:
        return {**line, "problem": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
    return {**line, **found, **({"settings": settings} if job.trials else {})}


def fit_and_score(
    job: Job, table: Table, training: Any, test: Any, settings: Settings
) -> dict[str, float]:
    """Train a contender on some rows, and return its scores on others and its times."""
    contender = CONTENDERS[job.contender]
    model = contender.make(table.is_classification, job.fold, settings)
    x, y = table.x, table.y
    start = time.process_time()
    model.fit(x[training], y[training])
    fitted = time.process_time()
    model.predict(x[test])
    predicted = time.process_time()
    found = {
        "score": float(model.score(x[test], y[test])),
        "fit_seconds": fitted - start,
        "predict_seconds": predicted - fitted,
    }
    if not np.isfinite(found["score"]):
        raise ValueError(f"a score of {found['score']}")
    if table.is_classification:
        found["log_loss"] = float(
            log_loss(y[test], model.predict_proba(x[test]), labels=np.unique(y))
        )
    return found


def tune(job: Job, table: Table, training: Any) -> Settings:
    """Return the settings with the best score on a part of the training rows, of random ones.

    The first settings are the defaults. The test rows of the fold are not used.
    """
    labels = table.y[training] if table.is_classification else None
    inner, held_out = train_test_split(
        training, test_size=VALIDATION_SHARE, random_state=job.fold, stratify=labels
    )
    draw = np.random.default_rng(job.fold)
    space = CONTENDERS[job.contender].space
    drawn = [space(draw, table.is_classification) for _ in range(job.trials - 1)]
    best, best_score = {}, -np.inf
    for settings in [{}, *drawn]:
        score = fit_and_score(job, table, inner, held_out, settings)["score"]
        if score > best_score:
            best, best_score = settings, score
    return best


def plan(tables: list[str], contenders: list[str], folds: int, rows: int, trials: int) -> list[Job]:
    """Return all jobs. Slow contenders come last, and the first folds of all tables come first."""
    groups = [
        [name for name in contenders if name not in SLOW],
        [name for name in contenders if name in SLOW],
    ]
    return [
        Job(table, contender, fold, rows, trials)
        for group in groups
        for fold in range(folds)
        for table in tables
        for contender in group
    ]


def read_results(path: Path) -> dict[Job, dict[str, Any]]:
    """Return the results in a file, by job. If a job was repeated, its last result counts."""
    return {Job(*(found[name] for name in Job._fields)): found for found in read_lines(path)}


def run(jobs: list[Job], path: Path, processes: int) -> Iterator[dict[str, Any]]:
    """Run the jobs that a file does not contain yet, and yield each new line of the file.

    A job that failed is run again.
    """
    done = {job for job, found in read_results(path).items() if "problem" not in found}
    left = [job for job in jobs if job not in done]
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=processes, return_as="generator_unordered")
        for found in parallel(joblib.delayed(run_job)(job) for job in left):
            append_line(path, found)
            yield found


def record_of(
    jobs: list[Job], results: dict[Job, dict[str, Any]], earlier: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Return the record of finished jobs: machine, versions, tables, results of each fold.

    Args:
        jobs: the jobs.
        results: the results of the finished ones.
        earlier: a record whose results of other contenders are taken over, with its heading.
    """
    found = [results[job] for job in jobs if job in results]
    tables = {}
    for name in dict.fromkeys(job.table for job in jobs):
        table = load_table(name, jobs[0].rows)
        tables[name] = {
            "rows": len(table.x),
            "all_rows": table.all_rows,
            "columns": table.x.shape[1],
            "classes": len(np.unique(table.y)) if table.is_classification else 0,
            "seen": name in SEEN,
        }
    kept = ("table", "contender", "fold", "score", "log_loss", "fit_seconds", "predict_seconds")
    kept = (*kept, "settings", "problem")
    record = {
        **record_heading({name: _version(name) for name in PACKAGES}),
        "commits": sorted({each["commit"] for each in found}),
        "folds": FOLDS,
        "rows": jobs[0].rows,
        "trials": jobs[0].trials,
        "contenders": {
            name: CONTENDERS[name].label for name in dict.fromkeys(j.contender for j in jobs)
        },
        "tables": tables,
        "results": [{name: each[name] for name in kept if name in each} for each in found],
    }
    return record if earlier is None else with_earlier(record, earlier)


def with_earlier(record: dict[str, Any], earlier: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the results of those contenders that only an earlier record has.

    Raises:
        SystemExit: if the earlier record is of other tables, folds or trials.
    """
    for name in ("folds", "rows", "trials", "tables"):
        if record[name] != earlier[name]:
            raise SystemExit(f"The earlier record has other {name}.")
    others = {
        name: label
        for name, label in earlier["contenders"].items()
        if name not in record["contenders"]
    }
    return {
        **record,
        "contenders": record["contenders"] | others,
        "results": record["results"]
        + [each for each in earlier["results"] if each["contender"] in others],
        "earlier": {
            "contenders": list(others),
            **{name: earlier[name] for name in ("made", "environment", "commits")},
        },
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def print_table(record: dict[str, Any]) -> None:
    """Print the mean scores over the finished folds, and the seconds of all fits together."""
    names = list(record["contenders"])
    print(f"{'':20}" + "".join(f"{name:>15}" for name in names))
    for table in record["tables"]:
        print(f"{table:20}" + "".join(f"{_mean(record, table, name):>15.4f}" for name in names))
    seconds = [
        sum(r.get("fit_seconds", 0) for r in record["results"] if r["contender"] == name)
        for name in names
    ]
    print(f"{'seconds of fits':20}" + "".join(f"{each:>15.0f}" for each in seconds))


def _mean(record: dict[str, Any], table: str, contender: str) -> float:
    scores = [
        each["score"]
        for each in record["results"]
        if each["table"] == table and each["contender"] == contender and "score" in each
    ]
    return float(np.mean(scores)) if scores else np.nan


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    installed = [name for name, each in CONTENDERS.items() if each.is_installed]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("results", type=Path, metavar="RESULTS.jsonl", help="the file of results, to go on with")
    add("--record", type=Path, metavar="FILE.json", help="where to write the record")
    add(
        "--earlier",
        type=Path,
        metavar="FILE.json",
        help="an earlier record, to keep its results of contenders that are not run now",
    )
    add("--jobs", type=int, default=1, help="number of processes, each with one thread")
    add("--folds", type=int, default=FOLDS, help=f"run only the first of the {FOLDS} folds")
    add("--rows", type=int, default=ROWS, help=f"rows of larger tables to take ({ROWS})")
    add(
        "--sets",
        nargs="+",
        default=known_tables(),
        choices=known_tables(),
        metavar="SET",
        help=f"the tables: {', '.join(known_tables())}",
    )
    add(
        "--contenders",
        nargs="+",
        default=installed,
        choices=installed,
        metavar="CONTENDER",
        help=f"the estimators: {', '.join(installed)}",
    )
    add(
        "--tuned",
        type=int,
        nargs="?",
        const=TRIALS,
        default=0,
        metavar="TRIALS",
        help=f"tune each contender by this number of random trials ({TRIALS})",
    )
    add("--finished", action="store_true", help="run nothing, and record what is finished")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run what is left to do, print the scores, and write the record."""
    given = parse_arguments(arguments)
    jobs = plan(given.sets, given.contenders, given.folds, given.rows, given.tuned)
    for found in run([] if given.finished else jobs, given.results, given.jobs):
        shown = found.get("problem") or f"{found['score']:.4f} in {found['fit_seconds']:.1f} s"
        print(f"{found['table']}, {found['contender']}, fold {found['fold']}: {shown}", flush=True)
    earlier = json.loads(given.earlier.read_text(encoding="utf-8")) if given.earlier else None
    record = record_of(jobs, read_results(given.results), earlier)
    print_table(record)
    if given.record:
        write_record(given.record, record)


if __name__ == "__main__":
    main()
