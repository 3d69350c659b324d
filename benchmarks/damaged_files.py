"""Gives damaged files to every reader, in the tests of the readers, and counts them.

Usage: python benchmarks/damaged_files.py RECORD.json [INPUTS [PYTEST_ARGUMENT ...]]

Each test in `tests/**/test_damaged_*.py` that draws its files at random gets INPUTS of them. It
passes if the reader raises no other errors than documented ones, which name the file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from result_files import record_heading, write_record

HERE = Path(__file__).parent
TESTS = HERE.parent / "tests"
INPUTS = 100_000
SEED = 0


class InputCounter:
    """A plugin of pytest that runs tests with random inputs only, and counts their inputs."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out tests without random inputs."""
        items[:] = [each for each in items if hasattr(each.obj, "hypothesis")]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        """Count the inputs of a test, and write their number into its report."""
        test, inputs = item.obj.hypothesis.inner_test, 0

        def counted(*args: object, **named: object) -> None:
            nonlocal inputs
            inputs += 1
            test(*args, **named)

        item.obj.hypothesis.inner_test = counted
        try:
            return (yield)
        finally:
            item.user_properties.append(("inputs", inputs))


class Results:
    """A plugin of pytest that collects the results of the tests."""

    def __init__(self) -> None:
        self.tests: list[dict[str, object]] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add the result of a test; pytest also reports its set-up and its end."""
        if report.when == "call":
            self.tests.append(
                {
                    "test": report.nodeid,
                    "outcome": report.outcome,
                    "inputs": dict(report.user_properties)["inputs"],
                    "seconds": round(report.duration, 1),
                }
            )


def pytest_configure(config: pytest.Config) -> None:
    """Register the counter; pytest calls this in each of its processes."""
    config.pluginmanager.register(InputCounter())


def main(record: Path, inputs: int = INPUTS, arguments: list[str] | None = None) -> int:
    """Run the tests, and write the record.

    Returns:
        The exit status of pytest.
    """
    os.environ["HINGED_EXAMPLES"] = str(inputs)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    heading, results = record_heading(), Results()
    files = [str(path) for path in sorted(TESTS.rglob("test_damaged_*.py"))]
    options = ["-p", "damaged_files", "--dist", "worksteal", "--timeout", "0"]
    options.append(f"--hypothesis-seed={SEED}")
    status = pytest.main([*options, *(arguments or []), *files], plugins=[results])
    tests = sorted(results.tests, key=lambda each: str(each["test"]))
    write_record(record, {**heading, "kind": "damaged-files", "seed": SEED, "tests": tests})
    return int(status)


if __name__ == "__main__":
    named = sys.argv[1:]
    sys.exit(main(Path(named[0]), int(named[1]) if len(named) > 1 else INPUTS, named[2:]))
