"""Writes the tables and the picture of docs/estimators.md from the records in benchmarks/records.

Run it with: python docs/estimators.py
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from hinged.lab.reporting.difference_text import difference_text
from hinged.lab.reporting.markdown import markdown_table, replace_between
from hinged.lab.reporting.origin_text import origin_text
from hinged.lab.reporting.plots import hide_top_and_right, to_svg
from hinged.lab.reporting.significance import PairedTest, fold_t_test, paired_t_test

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "estimators.md"
PICTURE = ROOT / "docs" / "estimators.svg"
RECORDS = ROOT / "benchmarks" / "records"

OURS = "hinged"
SHOWN_IN_FULL = (("hinged", "sklearn-mlp"), ("hinged", "relu"), ("realmlp-curves", "realmlp"))
"""The pairs of contenders whose differences on each table are shown."""
REALMLP = """\
RealMLP is the stand-alone network of pytabkit with the settings of its paper, trained by the steps
of its paper. It scales columns and targets inside. In "RealMLP, curves", curves of hinged with 9
hinges replace its parametric activations, from the same first weights and with the same batches.
The curves are trained in their metric with the rate and the pull to the start that
`hinged.param_groups` chooses; nothing else differs."""
"""What the page says about RealMLP, once the record has scores of it."""
LEVEL = 0.05
COLOURS = {
    "hinged": "#c2410c",
    "relu": "#fdba74",
    "one-network": "#fb923c",
    "sklearn-mlp": "#0369a1",
    "linear": "#94a3b8",
    "forest": "#86efac",
    "hist-boosting": "#16a34a",
    "lightgbm": "#65a30d",
    "xgboost": "#14532d",
    "realmlp": "#7c3aed",
    "realmlp-curves": "#db2777",
}
MARKERS = {
    "hinged": "D",
    "relu": "D",
    "one-network": "d",
    "realmlp": "s",
    "realmlp-curves": "s",
    "linear": "x",
}

Record = dict[str, Any]


def scores_of(record: Record, table: str, contender: str) -> dict[int, float]:
    """Return the score of each finished fold."""
    return {
        each["fold"]: each["score"]
        for each in record["results"]
        if (each["table"], each["contender"]) == (table, contender) and "score" in each
    }


def _has_scores(record: Record, contender: str) -> bool:
    return any(scores_of(record, table, contender) for table in record["tables"])


def paired(record: Record, table: str, one: str, other: str) -> tuple[list[float], list[float]]:
    """Return the scores of two contenders on all folds that both have finished."""
    first, second = scores_of(record, table, one), scores_of(record, table, other)
    folds = sorted(first.keys() & second.keys())
    return [first[fold] for fold in folds], [second[fold] for fold in folds]


def tests_of(record: Record, one: str, other: str) -> dict[str, PairedTest]:
    """Return the corrected test of two contenders on each table that both have finished."""
    pairs = {table: paired(record, table, one, other) for table in record["tables"]}
    return {
        table: fold_t_test(*pair, folds=record["folds"])
        for table, pair in pairs.items()
        if len(pair[0]) > 1
    }


def error_ratio(record: Record, table: str, one: str, other: str) -> float:
    """Return the mean error of a contender divided by that of another; NaN if one has none.

    The error is 1 less the score: the unexplained share of the variance, or of wrong classes.
    """
    first, second = paired(record, table, one, other)
    if not first:
        return math.nan
    errors = 1 - statistics.mean(first), 1 - statistics.mean(second)
    return errors[0] / errors[1] if min(errors) > 0 else math.nan


def versus_row(record: Record, one: str, other: str) -> list[str]:
    """Return the texts of a row: on how many tables a contender is better than another."""
    tests = tests_of(record, one, other)
    folds = {test.pairs for test in tests.values()}
    means = [test.difference.mean for test in tests.values()]
    plain = [
        test
        for table in tests
        if _is_significant(test := paired_t_test(*paired(record, table, one, other)))
    ]
    found = [test for test in tests.values() if _is_significant(test)]
    ratios = [error_ratio(record, table, one, other) for table in tests]
    ratio = statistics.median([each for each in ratios if not math.isnan(each)] or [math.nan])
    return [
        f"{record['contenders'][one]} against {record['contenders'][other]}",
        f"{sum(mean > 0 for mean in means)} of {len(tests)}",
        *(f"{_count(found, sign)} ({_count(plain, sign)})" for sign in (1, -1)),
        f"{ratio:.2f}",
        "-".join(map(str, sorted({min(folds), max(folds)}))) if folds else "0",
    ]


def _is_significant(test: PairedTest) -> bool:
    return test.p < LEVEL


def _count(tests: list[PairedTest], sign: int) -> int:
    return sum(sign * test.difference.mean > 0 for test in tests)


def unseen_tables(record: Record) -> Record:
    """Return the record of the tables that had no part in the choice of the defaults."""
    tables = {name: facts for name, facts in record["tables"].items() if not facts["seen"]}
    return {**record, "tables": tables}


def versus_tables(record: Record) -> str:
    """Return what compares hinged with each rival: over all tables, and over the unseen ones."""
    unseen = unseen_tables(record)
    return "\n\n".join(
        [
            f"On all {len(record['tables'])} tables:",
            versus_table(record),
            f"On tables without `*` ({len(unseen['tables'])}):",
            versus_table(unseen),
        ]
    )


def versus_table(record: Record) -> str:
    """Return the table that compares hinged with each rival over the tables of a record."""
    others = [name for name in record["contenders"] if name != OURS]
    pairs = [(OURS, other) for other in others if other != "realmlp-curves"]
    pairs += [("realmlp-curves", "realmlp")] if "realmlp-curves" in others else []
    headings = (
        "",
        "better in",
        "significantly better",
        "significantly worse",
        "ratio of errors",
        "folds",
    )
    rows = [versus_row(record, *pair) for pair in pairs]
    return markdown_table(headings, [row for row in rows if row[-1] != "0"])


def scores_table(record: Record) -> str:
    """Return the table of all mean scores. The best score of each row is bold."""
    names = list(record["contenders"])
    rows = []
    for table, facts in record["tables"].items():
        means = [
            statistics.mean(scores.values()) if (scores := scores_of(record, table, name)) else None
            for name in names
        ]
        best = max((round(mean, 3) for mean in means if mean is not None), default=None)
        texts = [_score(mean, best) for mean in means]
        kind = f"{facts['classes']} classes" if facts["classes"] else "regression"
        label = f"{table}{'*' if facts['seen'] else ''}"
        rows.append([label, f"{facts['rows']} x {facts['columns']}, {kind}", *texts])
    seconds = [
        statistics.median(found) if (found := _seconds(record, name)) else None for name in names
    ]
    texts = ["" if each is None else f"{each:.2g} s" for each in seconds]
    rows.append(["median time of a fit", "", *texts])
    return markdown_table(("table", "rows, columns", *record["contenders"].values()), rows)


def _score(mean: float | None, best: float | None) -> str:
    if mean is None:
        return ""
    return f"**{mean:.3f}**" if round(mean, 3) == best else f"{mean:.3f}"


def _seconds(record: Record, contender: str) -> list[float]:
    return [
        each["fit_seconds"]
        for each in record["results"]
        if each["contender"] == contender and "fit_seconds" in each
    ]


def differences_table(record: Record) -> str:
    """Return the table of the differences on each table, for the pairs in `SHOWN_IN_FULL`."""
    pairs = [pair for pair in SHOWN_IN_FULL if set(pair) <= set(record["contenders"])]
    tests = {pair: tests_of(record, *pair) for pair in pairs}
    names = record["contenders"]
    headings = ["table", *(f"{names[one]} - {names[other]}" for one, other in pairs)]
    rows = [
        [table, *(difference_text(tests[pair].get(table), LEVEL) for pair in pairs)]
        for table in record["tables"]
    ]
    return markdown_table(headings, rows)


def draw(record: Record) -> Figure:
    """Draw the error of each contender on each table, relative to that of hinged."""
    tables = list(record["tables"])
    figure, axes = plt.subplots(figsize=(8, 0.36 * len(tables) + 1.4), layout="constrained")
    axes.axvline(1, color=COLOURS[OURS], linewidth=1)
    for name, label in record["contenders"].items():
        ratios = [error_ratio(record, table, name, OURS) for table in tables]
        marker, colour = MARKERS.get(name, "o"), COLOURS[name]
        axes.plot(ratios, range(len(tables)), marker, color=colour, label=label, ms=5, alpha=0.9)
    axes.set_xscale("log")
    ticks = [0.25, 0.5, 1, 2, 4, 8, 16]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlim(0.2, 20)
    axes.minorticks_off()
    axes.set_yticks(range(len(tables)), tables)
    axes.invert_yaxis()
    axes.set_xlabel("error / error of hinged; left of 1 is better than hinged")
    figure.legend(loc="outside upper center", ncols=5, frameon=False, fontsize=8)
    return hide_top_and_right(figure)


def scores_text(record: Record) -> str:
    """Return the section of the scores: tables, picture and machine."""
    failed = [each for each in record["results"] if "problem" in each]
    problems = [f"{e['contender']} on {e['table']}: {e['problem']}" for e in failed]
    parts = [
        *([REALMLP] if _has_scores(record, "realmlp") else []),
        versus_tables(record),
        "![The error of each estimator on each table, relative to hinged](estimators.svg)",
        scores_table(record),
        differences_table(record),
        *(["Failed fits: " + "; ".join(dict.fromkeys(problems)) + "."] if problems else []),
        _machine(record, "estimators"),
    ]
    return "\n\n".join(parts)


def tuned_text(record: Record) -> str:
    """Return the section of the scores after tuning."""
    folds = len({each["fold"] for each in record["results"]})
    said = (
        f"{record['trials']} trials for each contender and fold, the first {folds} of "
        f"{record['folds']} folds, {record['rows']:,} rows at most."
    )
    parts = [
        said,
        versus_tables(record),
        scores_table(record),
        _machine(record, "estimators-tuned"),
    ]
    return "\n\n".join(parts)


def times_text(record: Record) -> str:
    """Return the section of the times until hinged is as good as scikit-learn's MLP."""
    rows, medians = [], []
    for case in record["cases"]:
        reached = [each["reached_seconds"] for each in case["rounds"]]
        rivals = [each["rival_seconds"] for each in case["rounds"]]
        pairs = zip(reached, rivals, strict=True)
        ratios = sorted(math.inf if a is None else a / b for a, b in pairs)
        medians.append(statistics.median_high(ratios))
        texts = [_ratio(each) for each in (medians[-1], ratios[0], ratios[-1])]
        score, ours = (
            statistics.median(each[key] for each in case["rounds"])
            for key in ("score", "fit_score")
        )
        whole = statistics.median(
            each["fit_seconds"] / each["rival_seconds"] for each in case["rounds"]
        )
        span = f"{texts[1]} to {texts[2]}"
        row = [case["table"], texts[0], span, f"{score:.3f}", f"{ours:.3f}", f"{whole:.2f}"]
        rows.append(row)
    headings = (
        "table",
        "time to its score",
        "all rounds",
        "its score",
        "score of hinged at the end",
    )
    table = markdown_table((*headings, "time of the whole fit"), rows)
    count = sum(each <= 1 for each in medians)
    said = f"At most the time of scikit-learn's MLP on {count} of {len(rows)} tables."
    return f"{said}\n\n{table}\n\n{_machine(record, 'estimator-times')}"


def _ratio(ratio: float) -> str:
    return "not reached" if math.isinf(ratio) else f"{ratio:.2f}"


def memory_text(record: Record) -> str:
    """Return the section of the memory of a fit."""
    rows = [
        [
            str(each["iterations"]),
            f"{each['fit_mib']:.0f} MiB",
            f"{each['fit_mib'] / each['table_mib']:.2f}",
        ]
        for each in record["cases"]
    ]
    table = markdown_table(("iterations", "memory of `fit`", "divided by the table"), rows)
    size = f"{record['rows']:,} rows of {record['columns']} columns in float64"
    return f"{size}:\n\n{table}\n\n{_machine(record, 'estimator-memory')}"


def _machine(record: Record, name: str) -> str:
    parts = [f"Recorded {_origin(record)}.", *_origin_of_earlier(record)]
    return " ".join([*parts, f"All results: `benchmarks/records/{name}.json`."])


def _origin(record: Record) -> str:
    """Return when, with what and where a record was made."""
    facts = record["environment"]
    packages = ("scikit-learn", "lightgbm", "xgboost", "pytabkit", "river")
    known = ["torch", *(each for each in packages if _is_installed(facts, each))]
    commits = record.get("commits") or ()
    origin = origin_text(facts, known, made=record["made"][:10], commits=commits)
    return f"{origin}. Kernel: {facts['kernel']}"


def _is_installed(facts: dict[str, str], package: str) -> bool:
    return facts.get(package, "not installed") != "not installed"


def _origin_of_earlier(record: Record) -> list[str]:
    """Return a sentence about the results that were taken from an earlier record, if there are."""
    earlier = record.get("earlier")
    if earlier is None:
        return []
    labels = " and ".join(record["contenders"][name] for name in earlier["contenders"])
    return [f"{labels}: recorded {_origin(earlier)}."]


SECTIONS: dict[str, Callable[[Record], str]] = {
    "estimators": scores_text,
    "estimators-tuned": tuned_text,
    "estimator-times": times_text,
    "estimator-memory": memory_text,
}
"""The functions that write the sections of the page, by the names of their records."""


def marks(name: str) -> tuple[str, str]:
    """Return the two HTML comments that mark begin and end of a record's section on the page."""
    return f"<!-- {name}: begin (written by docs/estimators.py) -->", f"<!-- {name}: end -->"


def read_record(name: str, folder: Path = RECORDS) -> Record | None:
    """Return a record, or None if it was not made yet."""
    path = folder / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def fill_page(page: str, folder: Path = RECORDS) -> str:
    """Return the text of the page after the sections of all records were written again."""
    for name, text in SECTIONS.items():
        record = read_record(name, folder)
        content = "Not measured yet." if record is None else text(record)
        page = replace_between(page, *marks(name), content)
    return page


if __name__ == "__main__":
    PAGE.write_text(fill_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    found = read_record("estimators")
    if found is not None:
        PICTURE.write_text(to_svg(draw(found)), encoding="utf-8")
