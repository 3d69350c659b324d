"""The page of a study, in Markdown."""

from __future__ import annotations

from collections.abc import Callable

from matplotlib.figure import Figure

from hinged.lab.reporting import markdown, terminal
from hinged.lab.study import figures, width_saving
from hinged.lab.study.answer import answer, number, unsure
from hinged.lab.study.cells import cells
from hinged.lab.study.definition import SCALES, Study
from hinged.lab.study.metrics import MEASURES
from hinged.lab.study.record import Record, Row

WRITTEN = "<!-- Written by docs/studies.py from studies/records; change those, not this page. -->"


def page(name: str, study: Study, records: list[Record]) -> str:
    """Return the page of a study: question, scales, and what each record shows."""
    parts = [f"# {name}", WRITTEN, f"**{study.question}**"]
    for record in records:
        parts += [f"## At scale {record.scale}", *section(record)]
    if not records:
        parts.append(f"No record yet: `hinged study run {name} --scale small --record` makes one.")
    sizes = [(scale, *_size(study, scale)) for scale in SCALES]
    parts += ["## The study", markdown.table(("scale", "cells", "trainings", "epochs"), sizes)]
    parts.append(
        f"`hinged study show {name}` prints all of it, `hinged study copy {name} .` gives the file "
        "to change."
    )
    if not records:
        parts.append(f"What it cannot tell: {study.unsure}")
    return "\n\n".join(parts) + "\n"


def section(record: Record) -> list[str]:
    """Return answer, table, picture, doubts and origin of a record."""
    saved = width_saving.sentence(record)
    return [
        answer(record),
        *([] if saved is None else [saved]),
        table(record),
        *signs(record),
        *(f"![{_about(draw)}]({name})" for name, draw in pictures(record).items()),
        f"What remains unsure: {unsure(record)}",
        origin(record),
    ]


def pictures(record: Record) -> dict[str, Callable[[Record], Figure]]:
    """Return what draws a record's pictures, by their file names beside its page."""
    stem = f"{record.name}-{record.scale}"
    return {f"{stem}{kind}.svg": draw for kind, draw in figures.of(record).items()}


def headings(record: Record) -> tuple[str, ...]:
    """Return the headings of the table."""
    unit = ", %" if record.in_percent else ""
    return (
        "activation",
        "n",
        f"{record.measure}{unit}",
        "standard deviation",
        *(() if _shows_score(record) else (f"test {record.metric}",)),
        "difference",
        "95 % interval",
        "p (Holm)",
        "p, signs flipped",
        "parameters",
        "time a step",
    )


def cells_of(record: Record, row: Row) -> tuple[str, ...]:
    """Return the texts of one row, in the order of `headings`."""
    versus = row.versus
    compared = ("", "", "", "")
    if versus is not None:
        compared = (
            number(record, versus.t.mean, "+"),
            f"{number(record, versus.t.low, '+')} to {number(record, versus.t.high, '+')}",
            f"{terminal.p_value(versus.p)} ({terminal.p_value(versus.p_holm)})",
            terminal.p_value(versus.p_sign_flip),
        )
    ratio = "" if row.step_ratio is None else f" (x{row.step_ratio:.2f})"
    return (
        row.title,
        _finite(row),
        number(record, row.mean),
        number(record, row.std),
        *(() if _shows_score(record) else (_score(record, row),)),
        *compared,
        f"{row.parameters:,} ({row.activation_parameters:,})",
        f"{row.step_ms:.2f} ms{ratio}",
    )


def table(record: Record) -> str:
    """Return the rows of a record as a table."""
    return markdown.table(headings(record), (cells_of(record, row) for row in record.rows))


def signs(record: Record) -> list[str]:
    """Return after how many trainings `hinged.diagnose` gave which advice, if after any."""
    seen = list(dict.fromkeys(sign for row in record.rows for sign in row.advice))
    rows = [
        (row.title, *(f"{100 * row.advice.get(sign, 0):.0f} %" for sign in seen))
        for row in record.rows
        if row.activation == "hinged"
    ]
    about = "After how many of the trainings `hinged.diagnose` sees a sign that something is wrong:"
    return [about, markdown.table(("curves", *seen), rows)] if seen else []


def origin(record: Record) -> str:
    """Return how the figures were found, and how to find them again."""
    labels = list(dict.fromkeys(r.versus.label for r in record.rows if r.versus is not None))
    against = labels[0] if len(labels) == 1 else f"{record.baseline} under the same settings"
    about = record.environments[0]
    data = dict.fromkeys(f"{row.data} ({row.data_digest[:12]})" for row in record.rows)
    commits = sorted({each["commit"] for each in record.environments})
    return (
        f"Differences are to {against}, over pairs with the same seed; interval and p are the "
        "paired t-test's, in parentheses after Holm's correction over the whole table, and the "
        "permutation test's. Parameters are those trained, in parentheses those of the "
        f"activations. Data, with the beginning of their hash: {', '.join(data)}. Measured on "
        f"{record.made} at commit {', '.join(commits)} with torch {about['torch']}, Python "
        f"{about['python']}, on {about['processor']}, {about['cores']} cores, in "
        f"{record.seconds:,.0f} s of training in {_precisions(record)}."
        f"{_pretrained(record)} Again: `{record.command}`. All figures: "
        f"`studies/records/{record.name}-{record.scale}.json`."
    )


def _about(draw: Callable[[Record], Figure]) -> str:
    """Return what a picture shows: the first words on what draws it."""
    return (draw.__doc__ or "").partition(";")[0].partition(".")[0].removeprefix("Return ")


def _precisions(record: Record) -> str:
    return " and ".join(sorted({cell["training"]["precision"] for cell in record.cells.values()}))


def _pretrained(record: Record) -> str:
    """Return how the networks were pretrained that are the study's own, with a space before it."""
    told = []
    for kind, result in record.pretrainings.items():
        score = terminal.score(result.test_score, result.metric) + " %" * record.in_percent
        told.append(f"{kind} on {result.experiment['data']} to {score} ({result.seconds:,.0f} s)")
    return (
        f" Pretrained beforehand, with the test {record.metric} reached: {', '.join(told)}."
        if told
        else ""
    )


def _size(study: Study, scale: str) -> tuple[str, ...]:
    found = cells(study, scale)
    epochs = sorted({cell.experiment.training.epochs for cell in found})
    return (
        str(len(found)),
        f"{sum(len(cell.experiment.trials) for cell in found):,}",
        " to ".join(str(epoch) for epoch in dict.fromkeys((epochs[0], epochs[-1]))),
    )


def _finite(row: Row) -> str:
    """Return how many trainings the figures are of, and of how many, where some diverged."""
    finite = sum(value is not None for value in row.values.values())
    return str(row.n) if finite == row.n else f"{finite} of {row.n}"


def _shows_score(record: Record) -> bool:
    return record.measure == MEASURES["score"].about.format(metric=record.metric)


def _score(record: Record, row: Row) -> str:
    return "-" if row.test_score is None else terminal.score(row.test_score, record.metric)
