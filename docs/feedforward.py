"""Writes the results of docs/feedforward.md from the record in benchmarks/records.

Run it with: python docs/feedforward.py
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from hinged.lab.reporting.difference_text import decimals_of, difference_text
from hinged.lab.reporting.markdown import markdown_table, replace_between
from hinged.lab.reporting.origin_text import origin_text
from hinged.lab.reporting.significance import PairedTest, fold_t_test

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "feedforward.md"
RECORD = ROOT / "benchmarks" / "records" / "feedforward.json"
BEGIN = "<!-- feedforward: begin (written by docs/feedforward.py) -->"
END = "<!-- feedforward: end -->"

REPEATED = "molf-sigmoid"
"""The method whose published errors the experiment has to reach."""
PAIRS = (("adact-sigmoid", "molf-sigmoid"), ("adact-relu", "molf-relu"))
"""The methods with trained curves, each with the method that has the same activation untrained."""
PUBLISHED = {
    "twod": {
        "molf-sigmoid": (0.1554, 0.1731),
        "lm": (0.2038, 0.2205),
        "adaptive MOLF": (0.0888, 0.1172),
        "SCG": (1.0985, 1.0945),
    },
    "oh7": {
        "molf-sigmoid": (1.3205, 1.4875),
        "lm": (1.1602, 1.4373),
        "adaptive MOLF": (1.2507, 1.4738),
        "SCG": (4.1500, 4.1991),
    },
}
"""Mean training error and test error over ten folds, from the thesis of Challagundla (2015)."""
LEVEL = 0.05

Record = dict[str, Any]


def values_of(record: Record, table: str, method: str, key: str) -> dict[int, float]:
    """Return one entry of the results of each finished fold."""
    found = [e for e in record["results"] if (e["table"], e["method"]) == (table, method)]
    return {each["fold"]: each[key] for each in found}


def differences(record: Record, table: str, pair: tuple[str, str], key: str) -> list[float]:
    """Return the differences of an entry of two methods, for the folds that both have finished."""
    first, second = (values_of(record, table, name, key) for name in pair)
    return [first[fold] - second[fold] for fold in sorted(first.keys() & second.keys())]


def test_of(record: Record, table: str, pair: tuple[str, str]) -> PairedTest | None:
    """Return the corrected test of two methods' test errors; None with fewer than two folds."""
    found = differences(record, table, pair, "test_error")
    return fold_t_test(found, [0.0] * len(found), record["folds"]) if len(found) > 1 else None


def errors_table(record: Record, table: str) -> str:
    """Return the table of the errors and costs of all methods on a table."""
    published = PUBLISHED.get(table, {})
    done = [name for name in record["methods"] if values_of(record, table, name, "best")]
    rows = [method_row(record, table, name) for name in done]
    rows += [
        [f"{record['methods'].get(name, name)}, published only", "", "", _published(errors)]
        + [""] * 4
        for name, errors in published.items()
        if name not in done
    ]
    headings = (
        *("method", "training error", "test error", "published: training, test"),
        *("multiplications of an iteration", "iterations to the best", "multiplications to it"),
        "seconds to it",
    )
    return markdown_table(headings, rows)


def method_row(record: Record, table: str, name: str) -> list[str]:
    """Return the texts of a method's row."""
    training, test, best, seconds = (
        list(values_of(record, table, name, key).values())
        for key in ("training_error", "test_error", "best", "seconds_to_best")
    )
    done = "" if len(test) == record["folds"] else f" ({len(test)} folds)"
    multiplies, published = record["tables"][table]["multiplies"][name], PUBLISHED.get(table, {})
    return [
        record["methods"][name] + done,
        _spread(training),
        _spread(test),
        _published(published[name]) if name in published else "",
        f"{multiplies / 1e6:,.1f} M",
        f"{statistics.mean(best):.0f}",
        f"{statistics.mean(best) * multiplies / 1e9:,.2f} G",
        f"{statistics.mean(seconds):.2g}",
    ]


def _spread(errors: list[float]) -> str:
    mean = statistics.mean(errors)
    shown = [mean, statistics.stdev(errors)] if len(errors) > 1 else [mean]
    return " ± ".join(f"{each:.{decimals_of(mean)}f}" for each in shown)


def _published(errors: tuple[float, float]) -> str:
    return ", ".join(f"{error:.4f}" for error in errors)


def differences_table(record: Record) -> str:
    """Return the table of the differences between trained and untrained activations."""
    names = record["methods"]
    headings = ("test errors", *(f"{names[one]} - {names[other]}" for one, other in PAIRS))
    rows = [
        [table, *(difference_text(test_of(record, table, pair), LEVEL) for pair in PAIRS)]
        for table in record["tables"]
    ]
    return markdown_table(headings, rows)


def repeated_sentence(record: Record) -> str:
    """Say how close the test errors of OWO-MOLF with sigmoid are to the published ones."""
    parts = []
    for table, published in PUBLISHED.items():
        errors = values_of(record, table, REPEATED, "test_error").values()
        if errors:
            mean, target = statistics.mean(errors), published[REPEATED][1]
            side = "more" if mean > target else "less"
            share = f"{100 * abs(mean / target - 1):.1f} % {side}"
            parts.append(
                f"{mean:.4f} on {table}, {share} than the published {target:.4f} "
                f"({len(errors)} folds)"
            )
    return (
        f"**OWO-MOLF with sigmoid has a mean test error of {'; '.join(parts)}.**" if parts else ""
    )


def curves_sentence(record: Record) -> str:
    """Say in how many cases trained curves have lower errors, and which differences count."""
    cases = [(t, pair) for t in record["tables"] for pair in PAIRS]
    tests = {case: test for case in cases if (test := test_of(record, *case))}
    lower = sum(statistics.mean(differences(record, *case, "training_error")) < 0 for case in tests)
    better = sum(test.difference.mean < 0 for test in tests.values())
    found = {case: test.difference.mean for case, test in tests.items() if test.p < LEVEL}
    names = record["methods"]
    signs = ((-1, "lower"), (1, "higher"))
    significant = [
        f"significantly {word} for {names[pair[0]]}, on {table}"
        for sign, word in signs
        for (table, pair), mean in found.items()
        if sign * mean > 0
    ]
    said = (
        f"The mean test error is {' and '.join(significant)}."
        if significant
        else "No difference of test errors is significant."
    )
    return (
        f"Compared with the same activation untrained, trained curves have the lower mean training "
        f"error in {lower} of {len(tests)} cases, and the lower mean test error in {better}. {said}"
    )


def cost_sentence(record: Record) -> str:
    """Say which method is best on each table with all methods, and what LM and AdAct cost."""
    best = [
        f"{record['methods'][name]}, on {table}"
        for table in record["tables"]
        if (name := best_method(record, table))
    ]
    lowest = f"The method with the lowest mean test error is {'; '.join(best)}. " if best else ""
    lm, adact = (_cost_of(record, name) for name in ("lm", "adact-relu"))
    return (
        f"{lowest}Relative to an iteration of OWO-MOLF, one of LM needs {lm}, and one of AdAct "
        f"{adact}."
    )


def _cost_of(record: Record, name: str) -> str:
    """Return the multiplications and the seconds of a method, relative to OWO-MOLF."""
    counts, seconds = [], []
    for table, facts in record["tables"].items():
        counts.append(facts["multiplies"][name] / facts["multiplies"][REPEATED])
        times = [values_of(record, table, each, "seconds").values() for each in (name, REPEATED)]
        if all(times):
            seconds.append(statistics.mean(times[0]) / statistics.mean(times[1]))
    return f"{_range(counts)} times the multiplications and {_range(seconds)} times the seconds"


def _range(ratios: list[float]) -> str:
    """Return the lowest and the highest of some ratios as a text."""
    texts = [f"{each:.1f}" for each in (min(ratios), max(ratios))] if ratios else ["unknown"]
    return " to ".join(dict.fromkeys(texts))


def best_method(record: Record, table: str) -> str | None:
    """Return the method with the lowest mean test error; None if not all have the same folds."""
    errors = {name: values_of(record, table, name, "test_error") for name in record["methods"]}
    if len({tuple(sorted(each)) for each in errors.values()}) > 1:
        return None
    return min(errors, key=lambda name: statistics.mean(errors[name].values()))


SENTENCES = (repeated_sentence, curves_sentence, cost_sentence)


def results_text(record: Record) -> str:
    """Return the section of the results: sentences, tables and machine."""
    parts = [
        " ".join(filter(None, (say(record) for say in SENTENCES))),
        *(f"{_heading(record, name)}\n\n{errors_table(record, name)}" for name in record["tables"]),
        f"### Trained and untrained activations\n\n{differences_table(record)}",
        _machine(record),
    ]
    return "\n\n".join(parts)


def _heading(record: Record, table: str) -> str:
    facts = record["tables"][table]
    targets = f"{facts['targets']} target{'s' * (facts['targets'] > 1)}"
    return (
        f"### {table}: {facts['rows']:,} rows, {facts['features']} inputs, {targets}, "
        f"{facts['hidden']} hidden units"
    )


def _machine(record: Record) -> str:
    made, commits = record["made"][:10], record["commits"]
    origin = origin_text(record["environment"], made=made, commits=commits)
    seconds = sum(each["seconds"] for each in record["results"])
    return (
        f"{record['epochs']} iterations in each of {len(record['results'])} trainings, "
        f"{seconds:.0f} s of the CPU in all. Recorded {origin}. All "
        "results: `benchmarks/records/feedforward.json`."
    )


def fill_page(page: str) -> str:
    """Return the text of the page after the results were written again from the record."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    return replace_between(page, BEGIN, END, results_text(record))


if __name__ == "__main__":
    PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
