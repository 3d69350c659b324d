"""Trains networks with one hidden layer by the methods of `hinged.optim`, on ten folds of tables.

This is the experiment of the laboratory that introduced trained activations. Of ten parts of a
table, eight are for training, one for validation and one for testing. The network of the iteration
with the best validation error is tested.

The results of each training are appended to a file when it is finished, so the same command goes on
after it was interrupted. At the end, a table is printed, and the record is written.

    export HINGED_DATA=FOLDER  # the folder of data sets
    python benchmarks/feedforward.py RESULTS.jsonl --record benchmarks/records/feedforward.json
"""

from __future__ import annotations

import argparse
import functools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from feedforward_multiplies import ITERATIONS, Sizes
from result_files import append_line, read_lines, record_heading, write_record
from sklearn.model_selection import KFold
from torch import Tensor, nn

from hinged import PiecewiseLinear, errors, optim
from hinged.installation import source_commit
from hinged.lab.data.readers.data_files import explain_damage, find_data_file, find_data_folder
from hinged.lab.data.readers.regression_tables import read_table_arrays
from hinged.optim.mean_error import mean_error

FOLDS = 10
HINGES = 9
"""Number of hinges of a trained curve, between -3 and 3."""
EPOCHS = 100
"""Number of iterations of each training, unless `--iterations` gives another."""

HIDDEN_UNITS = {"twod": 27, "oh7": 23}
"""Number of hidden units as published, by table."""
OTHER_HIDDEN_UNITS = 20
"""Number of hidden units for all other tables."""
SUPERCONDUCTIVITY = "superconductivity"
"""A table that is read from the file `train.csv` of the UCI repository, as it is."""
TABLES = ("twod", "oh7", "concrete", "wine_red", "wine_white", SUPERCONDUCTIVITY)

Table = tuple[Tensor, Tensor]
"""Inputs `(rows, features)` and targets `(rows, targets)` in float64."""


class Method(NamedTuple):
    """A contender of the experiment.

    Attributes:
        label: name in tables.
        optimizer: name of the method in `hinged.optim`.
        activation: a function that returns the activation for a number of hidden units.
    """

    label: str
    optimizer: str
    activation: Callable[[int], nn.Module]


def _curves(start: str) -> Callable[[int], nn.Module]:
    return functools.partial(PiecewiseLinear, hinges=HINGES, init=start)


def _same(kind: type[nn.Module]) -> Callable[[int], nn.Module]:
    return lambda _: kind()


METHODS = {
    "adact-sigmoid": Method("AdAct, from sigmoid", "owo-molf", _curves("sigmoid")),
    "adact-relu": Method("AdAct, from ReLU", "owo-molf", _curves("relu")),
    "molf-sigmoid": Method("OWO-MOLF, sigmoid", "owo-molf", _same(nn.Sigmoid)),
    "molf-relu": Method("OWO-MOLF, ReLU", "owo-molf", _same(nn.ReLU)),
    "molf-leaky-relu": Method("OWO-MOLF, leaky ReLU", "owo-molf", _same(nn.LeakyReLU)),
    "owo-bp": Method("OWO-BP, sigmoid", "owo-bp", _same(nn.Sigmoid)),
    "cg": Method("CG, sigmoid", "cg", _same(nn.Sigmoid)),
    "lm": Method("LM, sigmoid", "lm", _same(nn.Sigmoid)),
}


class Job(NamedTuple):
    """One method on one fold of a table.

    Attributes:
        table: name of the table.
        method: a name in `METHODS`.
        fold: number of the part for testing, from 0. The next part is for validation.
        epochs: number of iterations.
    """

    table: str
    method: str
    fold: int
    epochs: int


@functools.cache
def load_table(name: str) -> Table:
    """Return a table of the folder in the environment variable `HINGED_DATA`.

    Raises:
        DataError: if the table is not there.
    """
    folder = find_data_folder(None)
    if name != SUPERCONDUCTIVITY:
        return read_table_arrays(name, folder)
    path = find_data_file(name, folder, (f"tabular/{name}.csv", f"{name}.csv"))
    with explain_damage(path):
        rows = torch.from_numpy(np.loadtxt(path, delimiter=",", skiprows=1))
        return rows[:, :-1], rows[:, -1:]


def hidden_units(table: str) -> int:
    """Return the number of hidden units for a table: as published, or 20."""
    return HIDDEN_UNITS.get(table, OTHER_HIDDEN_UNITS)


def divide(rows: int, fold: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the numbers of the rows for training, for validation and for testing.

    The division is the same at every call. The rows are shuffled.
    """
    parts = [part for _, part in KFold(FOLDS, shuffle=True, random_state=0).split(np.empty(rows))]
    test, validation = parts[fold], parts[(fold + 1) % FOLDS]
    training = np.setdiff1d(np.arange(rows), np.concatenate((test, validation)))
    return torch.from_numpy(training), torch.from_numpy(validation), torch.from_numpy(test)


def initial_network(method: Method, x: Tensor, y: Tensor, hidden: int, seed: int) -> optim.MLP:
    """Return the network before the training.

    All methods get the same hidden weights, scaled by `net_control`. The output weights are those
    of least squares.
    """
    torch.manual_seed(seed)
    network = optim.MLP(x.shape[1], hidden, y.shape[1], method.activation(hidden))
    optim.net_control(network, x)
    optim.owo(network, x, y)
    return network


def run_job(job: Job) -> dict[str, Any]:
    """Train a network on the training rows of a fold, and return the line with its results.

    The mean of each input over the training rows is removed first. Seconds are those of the CPU
    with one thread, so that other programs on the machine change them little. They include the
    errors after each iteration.
    """
    torch.set_num_threads(1)
    x, y = load_table(job.table)
    training, validation, test = divide(len(x), job.fold)
    x = x - x[training].mean(dim=0)
    method = METHODS[job.method]
    network = initial_network(method, x[training], y[training], hidden_units(job.table), job.fold)
    times = [time.process_time()]
    result = optim.fit(
        network,
        x[training],
        y[training],
        method.optimizer,
        epochs=job.epochs,
        validation=(x[validation], y[validation]),
        on_epoch=lambda _: times.append(time.process_time()),
    )
    return {
        **job._asdict(),
        "training_error": mean_error(network, x[training], y[training]),
        "validation_error": mean_error(network, x[validation], y[validation]),
        "test_error": mean_error(network, x[test], y[test]),
        "best": result.best,
        "seconds_to_best": times[result.best] - times[0],
        "seconds": times[-1] - times[0],
        "commit": source_commit(),
    }


def multiplies(table: str, name: str) -> int:
    """Return the number of multiplications of an iteration of a method on a table."""
    x, y = load_table(table)
    method = METHODS[name]
    hinges = HINGES * isinstance(method.activation(1), PiecewiseLinear)
    training = len(x) * (FOLDS - 2) // FOLDS
    sizes = Sizes(training, x.shape[1], hidden_units(table), y.shape[1], hinges)
    return ITERATIONS[method.optimizer](sizes)


def available(tables: list[str]) -> list[str]:
    """Return the tables that can be read, and say which cannot, and why."""
    found = []
    for name in tables:
        try:
            load_table(name)
        except errors.DataError as error:
            print(f"{name} is skipped: {error}", file=sys.stderr)
        else:
            found.append(name)
    return found


def read_results(path: Path) -> dict[Job, dict[str, Any]]:
    """Return the finished results in a file, by job."""
    return {Job(*(found[name] for name in Job._fields)): found for found in read_lines(path)}


def record_of(jobs: list[Job], results: dict[Job, dict[str, Any]]) -> dict[str, Any]:
    """Return the record of finished jobs: machine, versions, tables, results of each fold."""
    found = [results[job] for job in jobs if job in results]
    tables = {}
    for name in dict.fromkeys(each["table"] for each in found):
        x, y = load_table(name)
        tables[name] = {
            "rows": len(x),
            "features": x.shape[1],
            "targets": y.shape[1],
            "hidden": hidden_units(name),
            "multiplies": {method: multiplies(name, method) for method in METHODS},
        }
    dropped = ("epochs", "commit")
    return {
        **record_heading(),
        "commits": sorted({each["commit"] for each in found}),
        "folds": FOLDS,
        "epochs": jobs[0].epochs if jobs else 0,
        "hinges": HINGES,
        "methods": {name: method.label for name, method in METHODS.items()},
        "tables": tables,
        "results": [{k: v for k, v in each.items() if k not in dropped} for each in found],
    }


def print_table(record: dict[str, Any]) -> None:
    """Print the mean errors on the training and the test rows over the finished folds."""
    print(f"{'training / test error':24}" + "".join(f"{name:>22}" for name in record["tables"]))
    for method, label in record["methods"].items():
        print(f"{label:24}" + "".join(_means(record, name, method) for name in record["tables"]))


def _means(record: dict[str, Any], table: str, method: str) -> str:
    found = [e for e in record["results"] if (e["table"], e["method"]) == (table, method)]
    if not found:
        return f"{'':22}"
    means = (statistics.mean(e[key] for e in found) for key in ("training_error", "test_error"))
    return f"{' / '.join(f'{mean:.4f}' for mean in means):>22}"


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the arguments of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("results", type=Path, metavar="RESULTS.jsonl", help="the file of results, to go on with")
    add("--record", type=Path, metavar="FILE.json", help="where to write the record")
    add("--iterations", type=int, default=EPOCHS, help=f"of each training ({EPOCHS})")
    add("--folds", type=int, default=FOLDS, help=f"run only the first of the {FOLDS} folds")
    add("--finished", action="store_true", help="run nothing, and record what is finished")
    for kind, names in (("table", TABLES), ("method", METHODS)):
        text = f"the {kind}s: {', '.join(names)}"
        metavar = kind.upper()
        add(f"--{kind}s", nargs="+", default=list(names), choices=names, metavar=metavar, help=text)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run what is left to do, print the errors, and write the record."""
    given = parse_arguments(arguments)
    jobs = [
        Job(table, method, fold, given.iterations)
        for table in available(given.tables)
        for fold in range(given.folds)
        for method in given.methods
    ]
    done = read_results(given.results)
    for job in jobs if not given.finished else ():
        if job not in done:
            found = run_job(job)
            append_line(given.results, found)
            print(
                f"{job.table}, {job.method}, fold {job.fold}: {found['test_error']:.4f}", flush=True
            )
    record = record_of(jobs, read_results(given.results))
    print_table(record)
    if given.record:
        write_record(given.record, record)


if __name__ == "__main__":
    main()
