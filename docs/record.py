"""Makes a finished run the committed record of the demo, and writes the README's figures from it.

python docs/record.py RUN     take the run over and write the README
python docs/record.py         write the README from the record
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from hinged.lab.reporting import markdown, terminal
from hinged.lab.reporting.comparison_table import summarise, verdict
from hinged.lab.runs.run_folder import RunFolder

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs" / "demo"
FILES = ("config.json", "results.jsonl", "plots/curves.png", "plots/differences.png")
BEGIN, END = "<!-- record: begin (written by `make record`) -->", "<!-- record: end -->"


def take(run: Path) -> None:
    """Copy what is worth keeping of a run."""
    RECORD.mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy(run / name, RECORD / Path(name).name)


def figures() -> str:
    """Return the table, the verdict and the machine, in Markdown."""
    folder = RunFolder(RECORD)
    results = folder.read_results_file()
    summary = summarise(folder.experiment, results)
    heads = terminal.headings(summary)
    table = markdown.table(heads, (terminal.cells(row, summary.metric) for row in summary.rows))
    about = results[0].environment
    seconds = sum(result.seconds for result in results)
    measured = (
        "± is half of the 95 % interval over seeds; p is the paired t-test's, in parentheses after "
        "Holm's correction; time a step is the median, one thread a training, two at a time. "
        f"Measured at commit {about['commit']} with torch {about['torch']}, Python "
        f"{about['python']}, on {about['processor']}, {about['cores']} cores; {len(results)} "
        f"trainings in {seconds:.0f} s. Kernel: {about['kernel']}. "
        "[All records](docs/demo/results.jsonl)."
    )
    return f"{table}\n\n**{verdict(summary)}**\n\n{measured}"


def with_figures(readme: str) -> str:
    """Return the README with the figures of the record between the two marks."""
    return markdown.between(readme, BEGIN, END, figures())


if __name__ == "__main__":
    if sys.argv[1:]:
        take(Path(sys.argv[1]))
    path = ROOT / "README.md"
    path.write_text(with_figures(path.read_text()))
