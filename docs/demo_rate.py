"""Chooses the learning rate of the demo, and writes the scores at all rates into docs/demo.md.

The rule: all activations of the demo are trained with each of the rates, from seeds that the demo
does not use. The rate with the highest mean score over all activations is chosen, for all of them.

python docs/demo_rate.py
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from hinged.lab.experiment.schema import Experiment
from hinged.lab.reporting.markdown import markdown_table, replace_between
from hinged.lab.runs.compare import compare
from hinged.lab.runs.progress_listener import ProgressListener
from hinged.lab.runs.run_folder import RunFolder

RATES = (0.003, 0.006, 0.012, 0.024)
SEEDS = tuple(range(1000, 1005))
PAGE = Path(__file__).parent / "demo.md"
BEGIN, END = "<!-- rates: begin (written by `docs/demo_rate.py`) -->", "<!-- rates: end -->"


def score(rate: float, folder: Path) -> dict[str, float]:
    """Return the mean accuracy of each activation at a learning rate, in percent."""
    experiment = Experiment.model_validate({"seeds": SEEDS, "training": {"lr": rate}})
    results = compare(experiment, RunFolder(folder), ProgressListener(), jobs=2)
    return {
        activation: 100
        * statistics.mean(r.test_score for r in results if r.activation == activation)
        for activation in experiment.activations
    }


def main() -> None:
    """Train at all rates, and write the table and the chosen rate."""
    with tempfile.TemporaryDirectory() as folder:
        scores = {rate: score(rate, Path(folder) / f"{rate:g}") for rate in RATES}
    means = {
        rate: statistics.mean(by_activation.values()) for rate, by_activation in scores.items()
    }
    best = max(means, key=means.__getitem__)
    headings = ["learning rate", *scores[best], "mean"]
    rows = [
        [f"{rate:g}", *(f"{one:.2f}" for one in (*scores[rate].values(), means[rate]))]
        for rate in RATES
    ]
    text = f"{markdown_table(headings, rows)}\n\nThe chosen rate is {best:g}."
    PAGE.write_text(replace_between(PAGE.read_text("utf-8"), BEGIN, END, text), "utf-8")
    print(text)


if __name__ == "__main__":
    main()
