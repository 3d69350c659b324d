"""Measures the memory that `fit` of `hinged.sklearn.MLPRegressor` needs for a large table.

    python benchmarks/estimator_memory.py [--rows 1000000] [--columns 20] [--record FILE.json]

A process for each number of iterations makes a table in float64, and then trains on it. The result
is the largest memory of the process during `fit`, less what it had with the table before. It works
on Linux.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result_files import record_heading, write_record

from hinged.sklearn import MLPRegressor

ITERATIONS = (1, 2, 4)
MIB = 2**20


def largest_memory() -> float:
    """Return the largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(rows: int, columns: int, iterations: int) -> dict[str, float]:
    """Train on a random table, and return the memory that the training needs, in MiB."""
    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    small = draw.standard_normal((1000, columns))
    MLPRegressor(max_iter=1).fit(small, small[:, 0])  # Loads what a first training loads.
    x = np.empty((rows, columns))
    draw.standard_normal(out=x)
    y = np.sin(x[:, 0])
    before, start = largest_memory(), time.process_time()
    MLPRegressor(max_iter=iterations, random_state=0).fit(x, y)
    return {
        "iterations": iterations,
        "seconds": time.process_time() - start,
        "table_mib": x.nbytes / MIB,
        "fit_mib": largest_memory() - before,
    }


def main() -> None:
    """Measure with several numbers of iterations, and write the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--iterations", type=int, nargs="+", default=ITERATIONS)
    parser.add_argument("--record", type=Path, metavar="FILE.json")
    given = parser.parse_args()
    cases: list[dict[str, Any]] = []
    for iterations in given.iterations:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            cases.append(pool.apply(measure, (given.rows, given.columns, iterations)))
        case = cases[-1]
        share = case["fit_mib"] / case["table_mib"]
        print(f"{iterations} iterations: {case['fit_mib']:.0f} MiB, {share:.2f} times the table")
    if given.record:
        record = {
            **record_heading(),
            "rows": given.rows,
            "columns": given.columns,
            "cases": cases,
        }
        write_record(given.record, record)


if __name__ == "__main__":
    main()
