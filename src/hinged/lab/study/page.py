"""The page of a study, as Markdown text.

A record holds the results of a study at one scale: `smoke`, `small` or `full`. A row of a record is
one activation in one cell (one combination of the study's settings).
"""

from __future__ import annotations

from hinged.lab.reporting.markdown import markdown_table
from hinged.lab.study import tables
from hinged.lab.study.answer import answer
from hinged.lab.study.definition import Study
from hinged.lab.study.doubts import remaining_doubts, trouble
from hinged.lab.study.origin import origin
from hinged.lab.study.record import StudyRecord
from hinged.lab.study.record_plots import Picture, pictures_of
from hinged.lab.study.scales import SCALES
from hinged.lab.study.sizes import expected_time, scale_size

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
        parts += [f"## At scale {record.scale}", *record_section(record, study)]
    if not records:
        parts.append(f"No record yet: `hinged study run {name} --scale small --record` makes one.")
    sizes = "\n".join(f"- **{scale}**: {_size_words(name, study, scale)}" for scale in SCALES)
    parts += ["## The study", sizes]
    parts.append(
        f"`hinged study show {name}` prints all combinations of settings. "
        f"`hinged study copy {name} .` copies its file, so that you can change it."
    )
    if not records and study.unsure:
        parts.append(f"What the study cannot show: {study.unsure}")
    return "\n\n".join(parts) + "\n"


def record_section(record: StudyRecord, study: Study) -> list[str]:
    """Return the paragraphs about a record (the results of a study at one scale).

    They contain, in this order, the answer, what went wrong, a picture, the table, the remaining
    doubts, and the details: further pictures and tables, and how the results were measured.
    """
    said = answer(record, study.yes_if)
    first, *pictures = [
        f"![{picture.description}]({file})" for file, picture in picture_files(record).items()
    ]
    doubts = remaining_doubts(record)
    numbers = f"All numbers: `studies/records/{record.name}-{record.scale}.json`."
    return [
        f"**{said.verdict}.** {said.lead}" if said.verdict else said.lead,
        *(["\n".join(f"- {sentence}" for sentence in said.more)] if said.more else []),
        *(f"**{sentence}**" for sentence in trouble(record)),
        first,
        _as_markdown(tables.results(record)),
        tables.how_to_read(record),
        *([f"What remains unsure: {doubts}"] if doubts else []),
        *([_fold("More pictures", "\n\n".join(pictures))] if pictures else []),
        *(_fold(table.title, _as_markdown(table)) for table in tables.details(record)),
        _fold("How it was measured", f"{origin(record)} {numbers}"),
    ]


def picture_files(record: StudyRecord) -> dict[str, Picture]:
    """Return the pictures that belong to the record of a study; the keys are file names."""
    stem = f"{record.name}-{record.scale}"
    return {f"{stem}{picture.suffix}.svg": picture for picture in pictures_of(record)}


def _size_words(name: str, study: Study, scale: str) -> str:
    size = scale_size(study, scale).as_words()
    rest = "; ".join(f"{what} {text}" for what, text in size.items() if what != "trainings")
    time = expected_time(name, study, scale)
    return f"{size['trainings']}; {rest}. Expected time: {time}."


def _fold(title: str, content: str) -> str:
    """Return a part of the page that is closed at first."""
    return f'<details markdown="1">\n<summary>{title}</summary>\n\n{content}\n\n</details>'


def _as_markdown(table: tables.Table) -> str:
    """Return a table as Markdown, with rows of curves in bold and headings of groups in italics."""
    rows = []
    for texts, stands_out, is_heading in table.rows:
        mark = "**" if stands_out else "*" if is_heading else ""
        rows.append([f"{mark}{text}{mark}" if text else "" for text in texts])
    about = [table.about] if table.about else []
    return "\n\n".join([*about, markdown_table(table.headings, rows)])
