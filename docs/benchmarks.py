"""Writes the tables and pictures of docs/benchmarks.md from benchmarks/records/*.json.

python docs/benchmarks.py
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from hinged.lab.bench import plots, tables
from hinged.lab.bench.record import Record
from hinged.lab.bench.record import read as read_record
from hinged.lab.reporting import markdown
from hinged.lab.reporting.plots import svg

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RECORDS = ROOT / "benchmarks" / "records"
PICTURES = ROOT / "docs" / "benchmarks"
COMMANDS = {"peers": "make bench-peers"}
Draw = Callable[[], Figure]


def marks(name: str) -> tuple[str, str]:
    """Return what stands before and behind the figures of a record."""
    return f"<!-- {name}: begin (written by docs/benchmarks.py) -->", f"<!-- {name}: end -->"


def names(page: str) -> list[str]:
    """Return the records that a page has marks for."""
    return re.findall(r"<!-- ([\w-]+): begin ", page)


def pictures(name: str, record: Record) -> dict[str, Draw]:
    """Return what draws each picture of a record, by its file's name."""
    if record.kind == "growth":
        return {f"{name}.svg": lambda: plots.growth(record)}
    return {
        f"{name}-{_slug(case.name)}.svg": lambda case=case: plots.ratios(case)
        for case in record.cases
        if any(row.problem is None for row in case.rows)
    }


def section(name: str, folder: Path = RECORDS) -> str:
    """Return tables, pictures and machine of a record, in Markdown."""
    path = folder / f"{name}.json"
    if not path.exists():
        return f"Not measured yet: `{COMMANDS.get(name, 'make bench')}` does."
    record = read_record(path)
    parts = [_sheet(sheet) for sheet in tables.sheets(record)]
    parts += [f"![{_alt(picture)}](benchmarks/{picture})" for picture in pictures(name, record)]
    return "\n\n".join([*parts, _measured(name, record)])


def with_figures(page: str, folder: Path = RECORDS) -> str:
    """Return the page with the figures of the records between their marks."""
    for name in names(page):
        page = markdown.between(page, *marks(name), section(name, folder))
    return page


def draw(page: str) -> None:
    """Write the pictures of the page, and remove those that are no longer on it."""
    PICTURES.mkdir(exist_ok=True)
    wanted: dict[str, Draw] = {}
    for name in names(page):
        path = RECORDS / f"{name}.json"
        if path.exists():
            wanted |= pictures(name, read_record(path))
    for old in PICTURES.glob("*.svg"):
        if old.name not in wanted:
            old.unlink()
    for picture, figure in wanted.items():
        (PICTURES / picture).write_text(svg(figure()))


def _sheet(sheet: tables.Sheet) -> str:
    problems = "".join(f"\n\n{who} was not timed: {why}" for who, why in sheet.problems)
    return f"**{sheet.title}**\n\n{markdown.table(sheet.headings, sheet.rows)}{problems}"


def _measured(name: str, record: Record) -> str:
    about = record.environment
    variables = [
        f"`{key}={value}`" for key, value in record.allocator.items() if value != "not set"
    ]
    packages = sorted({row.package for case in record.cases for row in case.rows if row.package})
    others = [package for package in packages if not package.startswith("hinged ")]
    return (
        f"Measured on {record.made[:10]} at commit {about['commit']} with torch {about['torch']}, "
        f"Python {about['python']}, on {about['processor']}, {about['cores']} cores; load "
        f"{record.load[0]} before and {record.load[1]} after; allocator: "
        f"{', '.join(variables) or 'as it is'}. Kernel: {about['kernel']}. "
        + (f"Peers: {', '.join(others)}. " if others else "")
        + f"Every round: `benchmarks/records/{name}.json`."
    )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _alt(picture: str) -> str:
    return f"Ratios, {picture.removesuffix('.svg').replace('-', ' ')}"


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(with_figures(text))
    draw(text)
