"""Writes the pages in docs/studies from the studies and their records.

Each study has a page. docs/studies/index.md and a part of the README summarise all studies.
Run it with: python docs/studies.py
"""

from __future__ import annotations

import json
from pathlib import Path

from hinged.lab.reporting.markdown import replace_between
from hinged.lab.reporting.plots import to_svg
from hinged.lab.study import across_studies
from hinged.lab.study.answer import answer
from hinged.lab.study.cells import read_study
from hinged.lab.study.definition import Study, find_study, shipped_studies
from hinged.lab.study.page import picture_files, study_page
from hinged.lab.study.record import StudyRecord
from hinged.lab.study.scales import SCALES
from hinged.lab.study.sizes import TIMES, measured_time
from hinged.lab.study.summary_plot import draw_gains

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "studies" / "records"
PAGES = ROOT / "docs" / "studies"
README = ROOT / "README.md"
BEGIN, END = "<!-- studies: begin (written by `make studies-page`) -->", "<!-- studies: end -->"
INTRODUCTION = """# Studies

A study asks a question, answers it by several comparisons of activations, and keeps the results in
a record. `hinged study list` lists all studies. `hinged study run NAME --scale small` runs a
study. The same command continues an interrupted study, and several processes can run it together.
A study is a TOML file with the settings that differ from the [defaults](../reference/lab.md).
`hinged study copy NAME mine.toml` copies this file. You can change the copy and run it.

The statistical test was fixed before the studies ran. Trainings with the same seed form pairs, and
each comparison is a paired t-test at the 5 % level. The p-values have Holm's correction for all
comparisons of a study. Fewer than five seeds give no verdict. A score is measured after the last
epoch. Second-order trainings use the network with the smallest validation error instead."""
MANY = ("mnist", "fashion", "cifar10-shallow", "tiny-imagenet", "tables")
"""Studies with the same settings of the curves. One table shows the results of all of them."""
MANY_SETTINGS = """The table has all settings of {studies}. The curves have the same default
settings in all of them, and the networks are small ({trainings}). Gains are means over pairs of
trainings with the same seed, or with the same fold for tables. Each p belongs to one paired t-test,
without correction. Folds share rows, so the p-values for tables are too small. The images of
the study cifar10-shallow are those of CIFAR-10, encoded again as JPEG (the data set
`cifar10-jpeg`). Their scores cannot be compared with published scores on CIFAR-10."""
ALL_STUDIES = """Some studies ask a yes-or-no question, and their answers begin with a verdict in
bold. "Curves (as it is)" are curves with the unchanged settings of the study."""
SUMMARY_PICTURE = "summary.svg"
SUMMARY_ALT = "The gain of curves over ReLU and over other activations in each setting"


def read_records(name: str, folder: Path = RECORDS) -> list[StudyRecord]:
    """Return the records of a study. The record of the largest scale is first."""
    paths = [folder / f"{name}-{scale}.json" for scale in reversed(SCALES)]
    return [StudyRecord.model_validate_json(p.read_text()) for p in paths if p.exists()]


def pages(folder: Path = RECORDS) -> dict[str, str]:
    """Return the Markdown text of each page in docs/studies, by file name."""
    records = {name: read_records(name, folder) for name in shipped_studies()}
    studies = {name: read_study(find_study(name)) for name in shipped_studies()}
    answers = "\n".join(
        f"- **[{name}]({name}.md)**: {study.question}<br>{_short_answer(records[name], study)}"
        for name, study in studies.items()
    )
    heading = "## Does it pay off? One recipe in many settings"
    index = "\n\n".join(
        [INTRODUCTION, heading, *_many_settings(records), "## All studies", ALL_STUDIES, answers]
    )
    return {
        "index.md": f"{index}\n",
        **{f"{name}.md": study_page(name, study, records[name]) for name, study in studies.items()},
    }


def _largest(records: dict[str, list[StudyRecord]]) -> list[StudyRecord]:
    """Return the record of each study in `MANY` at its largest scale."""
    return [records[name][0] for name in MANY if records[name]]


def _many_settings(records: dict[str, list[StudyRecord]]) -> list[str]:
    """Return paragraphs about the studies in `MANY`, with their table."""
    largest = _largest(records)
    if not largest:
        return ["Not recorded yet."]
    settings = across_studies.collect_gains(largest)
    studies = ", ".join(f"`{record.name}`" for record in largest)
    trainings = across_studies.describe_trainings(largest)
    return [
        f"![{SUMMARY_ALT}]({SUMMARY_PICTURE})",
        _as_list(across_studies.summary_lines(settings)),
        across_studies.how_gains_are_counted(settings),
        across_studies.gains_table(settings),
        MANY_SETTINGS.format(studies=studies, trainings=trainings),
    ]


def with_summary(readme: str) -> str:
    """Return the README with a new picture and new sentences about the studies in `MANY`."""
    largest = _largest({name: read_records(name) for name in MANY})
    settings = across_studies.collect_gains(largest)
    links = ", ".join(
        f"[{record.name}](studies/records/{record.name}-{record.scale}.json)" for record in largest
    )
    source = (
        f"The networks are small: {across_studies.describe_trainings(largest)}. "
        f"{across_studies.how_gains_are_counted(settings)} Records: {links}. "
        "[The table of all settings, and all studies](docs/studies/index.md)."
    )
    lines = _as_list(across_studies.summary_lines(settings))
    picture = f"![{SUMMARY_ALT}](docs/studies/{SUMMARY_PICTURE})"
    return replace_between(readme, BEGIN, END, "\n\n".join([picture, lines, source]))


def _as_list(sentences: list[str]) -> str:
    return "\n".join(f"- {sentence}" for sentence in sentences)


def _short_answer(records: list[StudyRecord], study: Study) -> str:
    if not records:
        return "Not recorded yet."
    said = answer(records[0], study.yes_if)
    return f"**{said.verdict}.** {said.lead}" if said.verdict else said.lead


def measured_times() -> str:
    """Return the text of the file with the measured times of all records."""
    times = {
        name: {record.scale: measured_time(record).model_dump() for record in read_records(name)}
        for name in shipped_studies()
    }
    return json.dumps(times, indent=1) + "\n"


def write() -> None:
    """Write all pages and pictures, and delete all other files in docs/studies.

    The measured times of the studies are written into the package.
    """
    TIMES.write_text(measured_times())
    files = {name: text.encode() for name, text in pages().items()}
    for name in shipped_studies():
        for record in read_records(name):
            for file, picture in picture_files(record).items():
                files[file] = to_svg(picture.draw(record)).encode()
    gains = across_studies.collect_gains(_largest({name: read_records(name) for name in MANY}))
    files[SUMMARY_PICTURE] = to_svg(draw_gains(gains)).encode()
    PAGES.mkdir(exist_ok=True)
    for old in PAGES.iterdir():
        if old.name not in files:
            old.unlink()
    for name, content in files.items():
        (PAGES / name).write_bytes(content)
    README.write_text(with_summary(README.read_text()))


if __name__ == "__main__":
    write()
