"""Copies a finished run of the demo to docs/demo, and writes its results into the README.

python docs/record.py RUN     copies the run folder RUN to docs/demo, then writes the README
python docs/record.py         writes the README from docs/demo
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from hinged.lab.reporting import terminal
from hinged.lab.reporting.comparison_table import build_comparison_table, verdict
from hinged.lab.reporting.markdown import markdown_table, replace_between
from hinged.lab.runs.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs" / "demo"
FILES = ("config.json", "results.jsonl", "plots/curves.png", "plots/differences.png")
BEGIN, END = "<!-- record: begin (written by `make record`) -->", "<!-- record: end -->"


def copy_run(run: Path) -> None:
    """Copy the settings, results and plots of a run folder to docs/demo."""
    RECORD.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy(run / name, RECORD / Path(name).name)


def figures() -> str:
    """Return the results in Markdown: a table, a sentence with the verdict, and the machine."""
    folder = RunFolder(RECORD)
    results = folder.read_results_file()
    comparison = build_comparison_table(folder.experiment, results)
    rows = (terminal.row_texts(row, comparison.metric) for row in comparison.rows)
    table = markdown_table(terminal.headings(comparison), rows)
    about = results[0].environment
    seconds = sum(result.seconds for result in results)
    measured = (
        "± is half of the 95 % interval over seeds. p is that of the paired t-test, with Holm's "
        "correction in parentheses. The time per step is the median. Each training used one "
        "thread, and two trainings ran at the same time. "
        f"Measured at commit {about['commit']} with torch {about['torch']}, Python "
        f"{about['python']}, on {about['processor']}, {about['cores']} cores; {len(results)} "
        f"trainings in {seconds:.0f} s. Kernel: {about['kernel']}. "
        "[All records](docs/demo/results.jsonl)."
    )
    return f"{table}\n\n**{verdict(comparison)}**\n\n{measured}"


def with_figures(readme: str) -> str:
    """Return the README with the results of docs/demo between the two HTML comments."""
    return replace_between(readme, BEGIN, END, figures())


if __name__ == "__main__":
    if sys.argv[1:]:
        copy_run(Path(sys.argv[1]))
    path = ROOT / "README.md"
    path.write_text(with_figures(path.read_text()))
