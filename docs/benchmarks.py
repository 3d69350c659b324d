"""Writes the tables and plots of docs/benchmarks.md from the records in benchmarks/records.

Run it with: python docs/benchmarks.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from hinged.lab.bench.plots import plot_case_ratios, plot_scaling
from hinged.lab.bench.record import BenchmarkRecord, read_benchmark_record
from hinged.lab.bench.tables import TextTable, record_tables
from hinged.lab.reporting.markdown import markdown_table, replace_between
from hinged.lab.reporting.origin_text import origin_text
from hinged.lab.reporting.plots import to_svg

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RECORDS = ROOT / "benchmarks" / "records"
PLOTS = ROOT / "docs" / "benchmarks"
COMMANDS = {"peers": "make bench-peers"}
Draw = Callable[[], Figure]


def marks(name: str) -> tuple[str, str]:
    """Return the two HTML comments that mark begin and end of a record's section on the page."""
    return f"<!-- {name}: begin (written by docs/benchmarks.py) -->", f"<!-- {name}: end -->"


def records_on(page: str) -> list[str]:
    """Return the names of the records that have a section on the page, without `.json`."""
    return re.findall(r"<!-- ([\w-]+): begin ", page)


def plots_of(name: str, record: BenchmarkRecord) -> dict[str, Draw]:
    """Return the plots of a record: a function that draws the plot, for each file name."""
    if record.kind == "growth":
        return {f"{name}.svg": lambda: plot_scaling(record)}
    return {
        f"{name}-{_slug(case.name)}.svg": lambda case=case: plot_case_ratios(case)
        for case in record.cases
        if case.timed_rows
    }


def section_text(name: str, folder: Path = RECORDS) -> str:
    """Return the Markdown text for a record: tables, plots and a description of the machine.

    Args:
        name: the name of the record's file without `.json`.
        folder: the folder of the records.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        return f"Not measured yet: run `{COMMANDS.get(name, 'make bench')}`."
    record = read_benchmark_record(path)
    parts = [_table_text(table) for table in record_tables(record)]
    parts += [f"![{_alt_text(plot)}](benchmarks/{plot})" for plot in plots_of(name, record)]
    return "\n\n".join([*parts, _environment_text(name, record)])


def fill_page(page: str, folder: Path = RECORDS) -> str:
    """Return the text of the page after the sections of all records were written again."""
    for name in records_on(page):
        page = replace_between(page, *marks(name), section_text(name, folder))
    return page


def write_plots(page: str) -> None:
    """Write the plots of all records on the page, and delete all other plots."""
    PLOTS.mkdir(exist_ok=True)
    wanted: dict[str, Draw] = {}
    for name in records_on(page):
        path = RECORDS / f"{name}.json"
        if path.exists():
            wanted |= plots_of(name, read_benchmark_record(path))
    for old in PLOTS.glob("*.svg"):
        if old.name not in wanted:
            old.unlink()
    for plot, draw in wanted.items():
        (PLOTS / plot).write_text(to_svg(draw()))


def _table_text(table: TextTable) -> str:
    problems = "".join(f"\n\n{name} was not timed: {why}" for name, why in table.problems)
    return f"**{table.title}**\n\n{markdown_table(table.headings, table.rows)}{problems}"


def _environment_text(name: str, record: BenchmarkRecord) -> str:
    facts = record.environment
    variables = [
        f"`{key}={value}`" for key, value in record.allocator.items() if value != "not set"
    ]
    packages = sorted({row.package for case in record.cases for row in case.rows if row.package})
    others = [package for package in packages if not package.startswith("hinged ")]
    return (
        f"Measured {origin_text(facts, made=record.made[:10])}; load "
        f"{record.load[0]} before and {record.load[1]} after; allocator: "
        f"{', '.join(variables) or 'default'}. Kernel: {facts['kernel']}. "
        + (f"Other packages: {', '.join(others)}. " if others else "")
        + f"All rounds: `benchmarks/records/{name}.json`."
    )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _alt_text(plot: str) -> str:
    return f"Ratios, {plot.removesuffix('.svg').replace('-', ' ')}"


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(fill_page(text))
    write_plots(text)
