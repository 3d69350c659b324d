"""Writes the tables of docs/zoo.md from the record benchmarks/records/zoo.json.

Run it with: python docs/zoo.py
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

from hinged.lab.reporting.markdown import markdown_table, replace_between
from hinged.lab.reporting.origin_text import origin_text

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "zoo.md"
RECORD = ROOT / "benchmarks" / "records" / "zoo.json"
BEGIN, END = "<!-- zoo: begin (written by docs/zoo.py) -->", "<!-- zoo: end -->"
HEADINGS = (
    "model",
    "package",
    "converted",
    "left alone",
    "outputs differ",
    "33 hinges",
    "float32 step",
    "bfloat16 step",
    "revert",
    "deepcopy",
    "pickle",
    "state dict",
    "compile",
)
_CHECKS = HEADINGS[6:]


def row(model: dict[str, Any]) -> list[str]:
    """Return the texts of one model for the table."""
    names = [model["name"], model["package"].replace("_", " ")]
    if model.get("problem") != "yes":
        problem = "the package is missing" if model.get("missing") else model["problem"]
        return [*names, problem, *[""] * (len(HEADINGS) - 3)]
    kinds = ", ".join(f"{count} {name}" for name, count in model["activations"].items())
    left = sum(each["sites"] for each in model["left"])
    found = model["difference"], model["difference_of_more_hinges"]
    differences = [f"{100 * each:.2g} %" if each else "no" for each in found]
    checks = [model["checks"].get(name, "").replace("not tried", "") for name in _CHECKS]
    return [*names, kinds or "none", str(left or ""), *differences, *checks]


def reasons(models: list[dict[str, Any]]) -> str:
    """Return a list of the reasons why activations were left alone, with their models."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for model in models:
        for each in model.get("left", []):
            text = f"{model['name']} ({each['sites']})"
            found[each["activation"], each["reason"].split(" (gates")[0]].append(text)
    rows = [[name, reason, ", ".join(where)] for (name, reason), where in found.items()]
    return markdown_table(["activation", "reason", "models"], rows)


def text(record: dict[str, Any]) -> str:
    """Return the Markdown text of a record: the tables, the versions and the machine."""
    facts, models = record["environment"], record["models"]
    packages = dict.fromkeys(model["package"] for model in models)
    origin = origin_text(facts, list(packages), made=record["made"][:10])
    made = f"Recorded {origin}. Kernel: {facts['kernel']}."
    table = markdown_table(HEADINGS, map(row, models))
    return f"{table}\n\n## Left alone\n\n{reasons(models)}\n\n{made}"


def fill_page(page: str) -> str:
    """Return the text of the page after its tables were written again."""
    return replace_between(page, BEGIN, END, text(json.loads(RECORD.read_text())))


if __name__ == "__main__":
    PAGE.write_text(fill_page(PAGE.read_text()))
