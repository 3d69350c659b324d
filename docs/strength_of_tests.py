"""Writes the tables of docs/design/strength-of-tests.md from the records of benchmarks.

Run it with: python docs/strength_of_tests.py
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hinged.lab.reporting.markdown import markdown_table, replace_between
from hinged.lab.reporting.origin_text import origin_text

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "design" / "strength-of-tests.md"
RECORDS = ROOT / "benchmarks" / "records"
JUDGEMENTS = ROOT / "docs" / "survivors.json"
Place = tuple[str, str]
"""A file and a changed line."""
MEANINGS = {
    "test added": "No test noticed the change. One that fails with it was added after the record.",
    "other test": "A test notices the change that the program did not run, or not to its end.",
    "not tested": "No test notices the change.",
    "another choice": "The code tries more candidates than before, and takes the best of them.",
    "no difference": "No result changes.",
}
"""What the judgements of changes mean, in the order of the page."""
MARKS = "<!-- {0}: begin (written by docs/strength_of_tests.py) -->", "<!-- {0}: end -->"


def damaged_files_text(record: dict[str, Any]) -> str:
    """Return the Markdown text of the record of damaged files: a sentence, a table, the machine."""
    tests = record["tests"]
    passed = sum(each["outcome"] == "passed" for each in tests)
    inputs = sum(each["inputs"] for each in tests)
    table = markdown_table(("test", "files", "result"), map(_row_of_test, tests))
    lead = f"**{passed} of {len(tests)} tests passed, with {inputs:,} files in all.**"
    return f"{lead}\n\n{table}\n\n{_made(record)}"


def _row_of_test(test: dict[str, Any]) -> list[str]:
    file, _, name = test["test"].partition("::")
    folder = "/".join(Path(file).parts[1:-1])
    about = f"`{folder}`: {name.removeprefix('test_').replace('_', ' ')}"
    return [about, f"{test['inputs']:,}", test["outcome"]]


def mutations_text(record: dict[str, Any], judgements: Sequence[dict[str, str]]) -> str:
    """Return the Markdown text of the record of changed code: the figures, and lists of changes.

    Args:
        record: the record.
        judgements: what it means that a change was not noticed: the `file`, the changed line
            `after` the change, the `judgement` (a key of `MEANINGS`), and `why`.
    """
    mutants = record["mutants"]
    survived = [each for each in mutants if each["result"] != "killed"]
    known = {(each["file"], each["after"]): each for each in judgements}
    _check_judgements({(each["file"], each["after"]) for each in survived}, set(known))
    groups: dict[str, list[str]] = {name: [] for name in MEANINGS}
    for mutant in survived:
        judged = known[mutant["file"], mutant["after"]]
        groups[judged["judgement"]].append(_line_of_mutant(mutant, judged.get("why", "")))
    killed, relevant = len(mutants) - len(survived), len(mutants) - len(groups["no difference"])
    noticed = killed + len(groups["other test"])
    lead = (
        f"The program made {len(mutants)} changes, drawn with seed {record['seed']}. The tests "
        f"that it ran noticed {killed}, **{killed / len(mutants):.1%}**. All tests of that day "
        f"notice {noticed} of the {relevant} changes that make a difference, "
        f"**{noticed / relevant:.1%}**. {len(groups['test added'])} more have had a test since."
    )
    lists = (
        f"**{name.capitalize()} ({len(lines)}).** {MEANINGS[name]}\n\n" + "\n".join(lines)
        for name, lines in groups.items()
    )
    return "\n\n".join([lead, *lists, _made(record)])


def _check_judgements(survived: set[Place], judged: set[Place]) -> None:
    """Stop unless exactly the changes that were not noticed have a judgement."""
    wrong = [f"needs a judgement of {each}" for each in sorted(survived - judged)]
    wrong += [f"judges {each}, which the record does not contain" for each in judged - survived]
    if wrong:
        raise SystemExit("\n".join(f"{JUDGEMENTS.name} {each}" for each in wrong))


def _line_of_mutant(mutant: dict[str, Any], why: str) -> str:
    line = f"- `{mutant['file']}`: `{mutant['before']}` became `{mutant['after']}`."
    return f"{line} {why[:1].upper()}{why[1:]}." if why else line


def _made(record: dict[str, Any]) -> str:
    return f"Recorded {origin_text(record['environment'], made=record['made'][:10])}."


def fill_page(page: str) -> str:
    """Return the text of the page after its tables were written again."""
    damaged = damaged_files_text(_read(RECORDS / "damaged-files.json"))
    mutations = mutations_text(_read(RECORDS / "mutations.json"), _read(JUDGEMENTS))
    for name, text in (("damaged files", damaged), ("changed code", mutations)):
        begin, end = (mark.format(name) for mark in MARKS)
        page = replace_between(page, begin, end, text)
    return page


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


if __name__ == "__main__":
    PAGE.write_text(fill_page(PAGE.read_text()))
