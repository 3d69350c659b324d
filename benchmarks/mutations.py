"""Changes the source code at random places, and counts the changes that the tests notice.

Usage: python benchmarks/mutations.py RECORD.json [MUTANTS [SEED [SOURCE ...]]]

A mutant is the source code of one file with one change, for example `<` replaced by `<=`. For each
mutant, the tests of this file that execute the changed line are run. The mutant is killed if a test
fails or crashes, and too late if the tests take longer than `SECONDS`; otherwise it survives. Files
on disk stay as they are: the changed code is given to Python when it imports the module. The tests
that kill a mutant must pass on the code without the change.

It needs the packages cosmic-ray and coverage.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import multiprocessing
import multiprocessing.connection
import os
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from multiprocessing.context import ForkProcess
from pathlib import Path
from types import ModuleType

import coverage
import pytest
from mutants import Mutant, draw_mutants

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "hinged"
SOURCES = {
    "nn": "tests/nn",
    "curve": "tests/curve",
    "lab/data/readers": "tests/lab/data",
    "lab/networks/weight_files.py": "tests/lab/networks",
    "lab/runs/read_records.py": "tests/lab/runs/test_damaged_run_folders.py",
    "lab/study/cells.py": "tests/lab/study",
    "lab/study/definition.py": "tests/lab/study",
    "lab/training/checkpoints.py": "tests/lab/training",
    "model/adaptation/curve_files.py": "tests/model/adaptation",
    "model/adaptation/tensor_files.py": "tests/model/adaptation",
    "sklearn/estimator_files.py": "tests/sklearn/test_damaged_estimator_files.py",
}
"""What is changed (layers, curves, and the readers of files), and the tests of each."""
MUTANTS = 300
TESTS_OF_A_LINE = 300
"""At most so many tests are run for a mutant: the fastest of those that execute the line."""
SECONDS = 120
"""The time for the tests of a mutant. Tests that take longer usually never end."""
PROCESSES = 2
IMPORTED_ONCE = ("torch._dynamo", "hypothesis", "pandas", "rich.console", "scipy.stats", "sklearn")
"""Packages that many tests need. Importing them takes longer than most tests."""
OPTIONS = (
    "-x",
    *("-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning"),
)


class MutantImporter(importlib.abc.MetaPathFinder):
    """Gives Python the code of a mutant when it imports the module."""

    def __init__(self, mutant: Mutant) -> None:
        parts = mutant.file.relative_to(PACKAGE.parent).with_suffix("").parts
        self._name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        self._mutant = mutant

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Return how to import the mutant; None for every other module."""
        if fullname != self._name:
            return None
        file, code = self._mutant.file, self._mutant.code
        within = [str(file.parent)] if file.name == "__init__.py" else None
        loader = _MutantLoader(fullname, str(file), code)
        return importlib.util.spec_from_file_location(
            fullname, file, loader=loader, submodule_search_locations=within
        )


class _MutantLoader(importlib.machinery.SourceFileLoader):
    def __init__(self, fullname: str, path: str, code: str) -> None:
        super().__init__(fullname, path)
        self._code = code

    def get_code(self, _fullname: str) -> object:
        return compile(self._code, self.path, "exec")


class TestMap:
    """Which tests execute a line, and how long each test takes."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.tests: dict[tuple[str, int], set[str]] = defaultdict(set)

    def tests_of(self, mutant: Mutant) -> list[str]:
        """Return the tests for a mutant, the fastest first.

        If only the import of the module executes the line, they are the tests of the whole file.
        """
        file = str(mutant.file)
        found = self.tests.get((file, mutant.line), set())
        if not found:
            found = set().union(*(each for place, each in self.tests.items() if place[0] == file))
        return sorted(found, key=self.seconds.__getitem__)[:TESTS_OF_A_LINE]


class _Recorder:
    """A plugin of pytest that notes how long each test takes, and which tests do not pass."""

    def __init__(self, measured: coverage.Coverage | None = None) -> None:
        self.seconds: Counter[str] = Counter()
        self.failed: set[str] = set()
        self._coverage = measured

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        if self._coverage:  # Lines are recorded with the name of the test.
            self._coverage.switch_context(nodeid)

    def pytest_runtest_logfinish(self) -> None:
        if self._coverage:
            self._coverage.switch_context("")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.failed.add(report.nodeid)


def files_of(source: str) -> list[Path]:
    """Return the Python files of one of the `SOURCES`."""
    path = PACKAGE / source
    return sorted(path.rglob("*.py")) if path.is_dir() else [path]


def map_tests(sources: Sequence[str], folder: Path) -> TestMap:
    """Run the tests of sources, and return which of them executes which line.

    Tests that fail or are skipped are left out.

    Args:
        sources: keys of `SOURCES`.
        folder: an empty folder for files in between.
    """
    jobs = [(_measure, (each, folder / f"{index}.json")) for index, each in enumerate(sources)]
    run_processes(jobs, 3600, lambda index, status: print(sources[index], status, flush=True))
    found = TestMap()
    for path in folder.glob("*.json"):
        part = json.loads(path.read_text())
        found.seconds |= part["seconds"]
        for file, line, tests in part["lines"]:
            found.tests[file, line].update(tests)
    return found


def _measure(source: str, path: Path) -> None:
    """Write which tests of a source execute which line, and how long each test takes."""
    files = list(map(str, files_of(source)))
    measured = coverage.Coverage(data_file=None, include=files, messages=False)
    recorder = _Recorder(measured)
    measured.start()
    pytest.main([*OPTIONS[1:], SOURCES[source]], plugins=[recorder])
    measured.stop()
    data = measured.get_data()
    lines = [
        (file, line, sorted({*contexts} - {"", *recorder.failed}))
        for file in data.measured_files()
        for line, contexts in data.contexts_by_lineno(file).items()
    ]
    path.write_text(json.dumps({"seconds": recorder.seconds, "lines": lines}))


def run_processes(
    jobs: Iterable[tuple[Callable[..., object], tuple[object, ...]]],
    seconds: float,
    note: Callable[[int, int | None], object],
) -> None:
    """Call functions in processes of their own, `PROCESSES` at a time.

    Args:
        jobs: pairs of a function and its arguments.
        seconds: the time after which a process is stopped.
        note: is called with the index of each job that ended, and the exit status of its process;
            None if it was stopped.
    """
    fork = multiprocessing.get_context("fork")
    waiting = enumerate(jobs)
    running: dict[int, tuple[ForkProcess, float]] = {}
    while True:
        while len(running) < PROCESSES and (job := next(waiting, None)) is not None:
            process = fork.Process(target=job[1][0], args=job[1][1])
            process.start()
            running[job[0]] = process, time.monotonic() + seconds
        if not running:
            return
        multiprocessing.connection.wait([each.sentinel for each, _ in running.values()], timeout=1)
        for index, (process, end) in list(running.items()):
            if process.is_alive() and time.monotonic() < end:
                continue
            is_late = process.is_alive()
            process.kill()
            process.join()
            del running[index]
            note(index, None if is_late else process.exitcode)


def _run_tests(mutant: Mutant | None, tests: Sequence[str], failed: Path) -> None:
    """Run tests until one fails, and end the process with the exit status of pytest.

    Args:
        mutant: the changed code; None for the code as it is.
        tests: the tests.
        failed: the file into which the name of the test that fails is written.
    """
    assert "hinged" not in sys.modules
    if mutant is not None:
        sys.meta_path.insert(0, MutantImporter(mutant))
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    recorder = _Recorder()
    status = pytest.main([*OPTIONS, *tests], plugins=[recorder])
    failed.write_text(" ".join(recorder.failed))
    sys.exit(int(status))


def run_mutants(mutants: list[Mutant], known: TestMap, folder: Path) -> list[dict[str, object]]:
    """Run the tests of each mutant, and return the rows of the record.

    Args:
        mutants: the mutants.
        known: the tests of each line.
        folder: a folder for files in between.
    """
    tests = [known.tests_of(each) for each in mutants]
    failed = [folder / f"{index}.failed" for index in range(len(mutants))]
    results = ["no test executes it"] * len(mutants)
    tested = [index for index, found in enumerate(tests) if found]

    def note(job: int, status: int | None) -> None:
        index = tested[job]
        results[index] = "survived" if status == 0 else "too late" if status is None else "killed"
        each = mutants[index]
        print(f"{results[index]}: {each.file.name}:{each.line} {each.after}", flush=True)

    # Without the name of a test, pytest would run all tests.
    jobs = [(_run_tests, (mutants[index], tests[index], failed[index])) for index in tested]
    run_processes(jobs, SECONDS, note)
    return [
        {
            "file": str(mutant.file.relative_to(PACKAGE)),
            "line": mutant.line,
            "before": mutant.before,
            "after": mutant.after,
            "tests": len(tests[index]),
            "result": results[index],
            "killed_by": failed[index].read_text() if failed[index].exists() else "",
        }
        for index, mutant in enumerate(mutants)
    ]


def check_without_changes(rows: list[dict[str, object]], folder: Path) -> None:
    """Run the tests that killed mutants on the code as it is; correct the rows if one fails."""
    tests = sorted({str(row["killed_by"]) for row in rows} - {""})
    wrong: set[str] = set()

    def note(index: int, status: int | None) -> None:
        if status != 0:
            wrong.add(tests[index])

    jobs = [(_run_tests, (None, [test], folder / "failed")) for test in tests]
    run_processes(jobs, SECONDS, note)
    for row in rows:
        if row["killed_by"] in wrong:
            row["result"] = "the test fails without the change too"


def main(
    record: Path, count: int = MUTANTS, seed: int = 0, sources: Sequence[str] = tuple(SOURCES)
) -> None:
    """Draw mutants, run their tests, and write the record."""
    os.chdir(ROOT)
    mutants = draw_mutants([file for each in sources for file in files_of(each)], count, seed)
    with tempfile.TemporaryDirectory() as name:
        known = map_tests(sources, Path(name))
        print(f"{len(mutants)} mutants, {len(known.seconds)} tests", flush=True)
        for package in IMPORTED_ONCE:
            importlib.import_module(package)
        rows = run_mutants(mutants, known, Path(name))
        check_without_changes(rows, Path(name))
    # Imported now, because it imports hinged, and every process must import a mutant of its own.
    from result_files import record_heading, write_record

    heading = record_heading({name: version(name) for name in ("cosmic-ray", "coverage")})
    counts = Counter(str(row["result"]) for row in rows)
    settings = {"seed": seed, "sources": list(sources)}
    write_record(
        record, {**heading, "kind": "mutations", **settings, "counts": counts, "mutants": rows}
    )
    print(dict(counts))


if __name__ == "__main__":
    named = sys.argv[1:]
    main(Path(named[0]).absolute(), *map(int, named[1:3]), *([named[3:]] if named[3:] else []))
