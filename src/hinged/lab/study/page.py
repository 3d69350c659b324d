"""The page of a study, as Markdown text.

A record holds the results of a study at one scale: `smoke`, `small` or `full`. A row of a record is
one activation in one cell (one combination of the study's settings).
"""

from __future__ import annotations

from hinged.lab.reporting import terminal
from hinged.lab.reporting.markdown import markdown_table
from hinged.lab.study.answer import answer_sentence, format_value, remaining_doubts
from hinged.lab.study.cells import study_cells
from hinged.lab.study.definition import Study
from hinged.lab.study.outcome_measures import MEASURES
from hinged.lab.study.record import RecordRow, StudyRecord
from hinged.lab.study.record_plots import Picture, pictures_of
from hinged.lab.study.scales import SCALES
from hinged.lab.study.width_saving import width_saving_sentence

WRITTEN = "<!-- Written by docs/studies.py from studies/records. Do not edit this page. -->"


def study_page(name: str, study: Study, records: list[StudyRecord]) -> str:
    """Return the page of a study, with its question, its results and its sizes.

    Args:
        name: name of the study.
        study: the study.
        records: records of the study, one for each scale that was run.
    """
    parts = [f"# {name}", WRITTEN, f"**{study.question}**"]
    for record in records:
        parts += [f"## At scale {record.scale}", *record_section(record)]
    if not records:
        parts.append(f"No record yet: `hinged study run {name} --scale small --record` makes one.")
    sizes = [(scale, *_scale_size(study, scale)) for scale in SCALES]
    parts += ["## The study", markdown_table(("scale", "cells", "trainings", "epochs"), sizes)]
    parts.append(
        f"`hinged study show {name}` prints the whole study. `hinged study copy {name} .` copies "
        "its file, so that you can change it."
    )
    if not records:
        parts.append(f"What the study cannot show: {study.unsure}")
    return "\n\n".join(parts) + "\n"


def record_section(record: StudyRecord) -> list[str]:
    """Return the paragraphs about a record (the results of a study at one scale).

    They contain, in this order, the answer, the tables, the pictures, the remaining doubts, and how
    the results were measured.
    """
    saving = width_saving_sentence(record)
    return [
        answer_sentence(record),
        *([] if saving is None else [saving]),
        record_table(record),
        *advice_table(record),
        *(f"![{picture.description}]({file})" for file, picture in picture_files(record).items()),
        f"What remains unsure: {remaining_doubts(record)}",
        origin(record),
    ]


def picture_files(record: StudyRecord) -> dict[str, Picture]:
    """Return the pictures that belong to the record of a study; the keys are file names."""
    stem = f"{record.name}-{record.scale}"
    return {f"{stem}{picture.suffix}.svg": picture for picture in pictures_of(record)}


def headings(record: StudyRecord) -> tuple[str, ...]:
    """Return the headings of the columns in the table of a study's results."""
    unit = ", %" if record.in_percent else ""
    return (
        "activation",
        "n",
        f"{record.measure}{unit}",
        "standard deviation",
        *(() if _compares_scores(record) else (f"test {record.metric}",)),
        "difference",
        "95 % interval",
        "p (Holm)",
        "p, signs flipped",
        "parameters",
        "time per step",
    )


def row_texts(record: StudyRecord, row: RecordRow) -> tuple[str, ...]:
    """Return the texts of one row of the table, in the order of `headings`."""
    versus = row.versus
    compared = ("", "", "", "")
    if versus is not None:
        low, high = (format_value(record, end, "+") for end in (versus.t.low, versus.t.high))
        compared = (
            format_value(record, versus.t.mean, "+"),
            f"{low} to {high}",
            f"{terminal.format_p_value(versus.p)} ({terminal.format_p_value(versus.p_holm)})",
            terminal.format_p_value(versus.p_sign_flip),
        )
    ratio = "" if row.step_ratio is None else f" (x{row.step_ratio:.2f})"
    return (
        row.title,
        _format_count(row),
        format_value(record, row.mean),
        format_value(record, row.std),
        *(() if _compares_scores(record) else (_format_test_score(record, row),)),
        *compared,
        f"{row.parameters:,} ({row.activation_parameters:,})",
        f"{row.step_ms:.2f} ms{ratio}",
    )


def record_table(record: StudyRecord) -> str:
    """Return a Markdown table with all rows of a study's record."""
    return markdown_table(headings(record), (row_texts(record, row) for row in record.rows))


def advice_table(record: StudyRecord) -> list[str]:
    """Return a paragraph and a table about the advice of `hinged.diagnose` on the trained curves.

    The table shows the percentage of trainings with each kind of advice. The list is empty if there
    was no advice.
    """
    signs = list(dict.fromkeys(sign for row in record.rows for sign in row.advice))
    rows = [
        (row.title, *(f"{100 * row.advice.get(sign, 0):.0f} %" for sign in signs))
        for row in record.rows
        if row.activation == "hinged"
    ]
    about = "Percentage of trainings after which `hinged.diagnose` finds a sign of a problem:"
    return [about, markdown_table(("curves", *signs), rows)] if signs else []


def origin(record: StudyRecord) -> str:
    """Return sentences about how a record was measured, with the command to repeat the study."""
    labels = list(dict.fromkeys(r.versus.label for r in record.rows if r.versus is not None))
    against = labels[0] if len(labels) == 1 else f"{record.baseline} under the same settings"
    about = record.environments[0]
    data = dict.fromkeys(f"{row.data} ({row.data_digest[:12]})" for row in record.rows)
    commits = sorted({each["commit"] for each in record.environments})
    return (
        f"Each difference is the value of the row minus the value of {against}, the mean over "
        "pairs of trainings with the same seed. The interval and p are those of the paired "
        "t-test; the p in parentheses has Holm's correction for the whole table. The p with "
        "signs flipped is that of the permutation test. Parameters are the trained ones, with "
        "those of the activations in parentheses. The time per step in parentheses is relative "
        f"to the compared row. Data, with the beginning of their hash: {', '.join(data)}. "
        f"Measured on {record.made} at commit {', '.join(commits)} with torch {about['torch']}, "
        f"Python {about['python']}, on {about['processor']}, {about['cores']} cores, in "
        f"{record.seconds:,.0f} s of training in {_precisions(record)}."
        f"{_pretrainings(record)} Command: `{record.command}`. All numbers: "
        f"`studies/records/{record.name}-{record.scale}.json`."
    )


def _precisions(record: StudyRecord) -> str:
    return " and ".join(sorted({cell["training"]["precision"] for cell in record.cells.values()}))


def _pretrainings(record: StudyRecord) -> str:
    """Return a sentence about the pretrainings of a study, with a space before it.

    The text is empty if the study has no pretrainings.
    """
    phrases = []
    for kind, result in record.pretrainings.items():
        score = terminal.format_score(result.test_score, result.metric) + " %" * record.in_percent
        phrases.append(
            f"{kind} on {result.experiment['data']} to {score} ({result.seconds:,.0f} s)"
        )
    if not phrases:
        return ""
    return f" Pretrained first, to this test {record.metric}: {', '.join(phrases)}."


def _scale_size(study: Study, scale: str) -> tuple[str, ...]:
    cells = study_cells(study, scale)
    epochs = sorted({cell.experiment.training.epochs for cell in cells})
    return (
        str(len(cells)),
        f"{sum(len(cell.experiment.trials) for cell in cells):,}",
        " to ".join(str(epoch) for epoch in dict.fromkeys((epochs[0], epochs[-1]))),
    )


def _format_count(row: RecordRow) -> str:
    """Return the number of trainings as text; `4 of 5` if only 4 of 5 have a finite value."""
    finite = sum(value is not None for value in row.values.values())
    return str(row.n) if finite == row.n else f"{finite} of {row.n}"


def _compares_scores(record: StudyRecord) -> bool:
    return record.measure == MEASURES["score"].about.format(metric=record.metric)


def _format_test_score(record: StudyRecord, row: RecordRow) -> str:
    return "-" if row.test_score is None else terminal.format_score(row.test_score, record.metric)
