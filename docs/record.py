"""Copies a finished run of the demo to docs/demo, and writes its results into two pages.

docs/demo.md gets the whole table, and the README one sentence.

python docs/record.py RUN     copies the run folder RUN to docs/demo, then writes both pages
python docs/record.py         writes both pages from docs/demo
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from hinged.lab.reporting import terminal
from hinged.lab.reporting.comparison_table import (
    ComparisonTable,
    build_comparison_table,
    verdict,
)
from hinged.lab.reporting.markdown import markdown_table, replace_between
from hinged.lab.reporting.origin_text import origin_text
from hinged.lab.runs.run_folder import RunFolder
from hinged.lab.runs.trial_result import TrialResult

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs" / "demo"
FILES = ("config.json", "results.jsonl", "plots/curves.png", "plots/differences.png")
PAGE, README = ROOT / "docs" / "demo.md", ROOT / "README.md"
BEGIN, END = "<!-- record: begin (written by `make record`) -->", "<!-- record: end -->"


def copy_run(run: Path) -> None:
    """Copy the settings, results and plots of a run folder to docs/demo."""
    RECORD.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy(run / name, RECORD / Path(name).name)


def sentence() -> str:
    """Return the verdict of the demo in one sentence of Markdown."""
    _, comparison = _read_record()
    return f"**{verdict(comparison)}**"


def figures() -> str:
    """Return the results in Markdown: the verdict, a table, and the machine."""
    results, comparison = _read_record()
    rows = (terminal.row_texts(row, comparison.metric) for row in comparison.rows)
    table = markdown_table(terminal.headings(comparison), rows)
    return f"{sentence()}\n\n{table}\n\n{_measured(results)}"


def with_results(page: str, results: str) -> str:
    """Return a page with the results of the demo between the two HTML comments."""
    return replace_between(page, BEGIN, END, results)


def _read_record() -> tuple[list[TrialResult], ComparisonTable]:
    folder = RunFolder(RECORD)
    results = folder.read_results_file()
    return results, build_comparison_table(folder.experiment, results)


def _measured(results: list[TrialResult]) -> str:
    about = results[0].environment
    seconds = sum(result.seconds for result in results)
    return (
        "The time per step is the median. Each training used one thread, and two trainings ran at "
        f"the same time. Measured {origin_text(about)}; {len(results)} "
        f"trainings in {seconds:.0f} s. Kernel: {about['kernel']}. "
        "All records: [results.jsonl](demo/results.jsonl)."
    )


if __name__ == "__main__":
    if sys.argv[1:]:
        copy_run(Path(sys.argv[1]))
    PAGE.write_text(with_results(PAGE.read_text(), figures()))
    README.write_text(with_results(README.read_text(), sentence()))
