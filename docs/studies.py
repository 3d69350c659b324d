"""Writes docs/studies/ from the studies and their records: one page each, and an index.

python docs/studies.py
"""

from __future__ import annotations

from pathlib import Path

from hinged.lab.reporting.markdown import markdown_table, replace_between
from hinged.lab.reporting.plots import to_svg
from hinged.lab.study import across_studies
from hinged.lab.study.answer import answer_sentence
from hinged.lab.study.cells import read_study
from hinged.lab.study.definition import SCALES, find_study, shipped_studies
from hinged.lab.study.page import picture_files, study_page
from hinged.lab.study.record import StudyRecord

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "studies" / "records"
PAGES = ROOT / "docs" / "studies"
README = ROOT / "README.md"
BEGIN, END = "<!-- studies: begin (written by `make studies-page`) -->", "<!-- studies: end -->"
INTRODUCTION = """# Studies

A study is a question, a grid of comparisons that answers it, and the record of the answer. `hinged
study list` lists the studies, and `hinged study run NAME --scale small` runs one. If it is stopped,
the same command continues it, and several processes can share its work. A study is a TOML file with
only the settings that differ from the [defaults](../reference/lab.md). `hinged study copy NAME
mine.toml` copies one, so that you can change it and run your own study.

The rule was fixed in advance: pairs with the same seed, Student's t-test, Holm's correction over
all comparisons of a study, the 5 % level. Scores are those after the last epoch. Second-order
trainings use those of the network with the smallest validation error."""
MANY = ("mnist", "fashion", "cifar10-shallow", "tiny-imagenet", "tables")
"""Studies of the same recipe; one table shows the settings of all of them."""
MANY_SETTINGS = """All settings of {studies}, with the same defaults of the curves everywhere
({trainings}). Differences are in points, over pairs with the same seed, or with the same fold on
tables. Folds share rows, so the p-values on tables are too small. Each p in the table is that of
one paired t-test. The images cifar10-jpeg are those of CIFAR-10, encoded again as JPEG; scores on
them are not scores on CIFAR-10."""


def read_records(name: str, folder: Path = RECORDS) -> list[StudyRecord]:
    """Return the records of a study, the largest scale first."""
    paths = [folder / f"{name}-{scale}.json" for scale in reversed(SCALES)]
    return [StudyRecord.model_validate_json(p.read_text()) for p in paths if p.exists()]


def pages(folder: Path = RECORDS) -> dict[str, str]:
    """Return every page by its file name."""
    records = {name: read_records(name, folder) for name in shipped_studies()}
    studies = {name: read_study(find_study(name)) for name in shipped_studies()}
    rows = [
        (f"[{name}]({name}.md)", study.question, _short_answer(records[name]))
        for name, study in studies.items()
    ]
    table = markdown_table(("study", "question", "answer"), rows).replace("---:", "---")
    heading = "## One recipe in many settings"
    index = "\n\n".join([INTRODUCTION, table, heading, *_many_settings(records)])
    return {
        "index.md": f"{index}\n",
        **{f"{name}.md": study_page(name, study, records[name]) for name, study in studies.items()},
    }


def _many_settings(records: dict[str, list[StudyRecord]]) -> list[str]:
    """Return the paragraphs about the largest record of each study of `MANY`."""
    largest = [records[name][0] for name in MANY if records[name]]
    if not largest:
        return ["Not recorded yet."]
    settings = across_studies.collect_gains(largest)
    studies = ", ".join(f"`{record.name}` at scale {record.scale}" for record in largest)
    trainings = across_studies.describe_trainings(largest)
    introduction = MANY_SETTINGS.format(studies=studies, trainings=trainings)
    return [
        introduction,
        across_studies.gains_sentence(settings),
        across_studies.gains_table(settings),
    ]


def with_summary(readme: str) -> str:
    """Return the README with the paragraphs about many settings between the two marks."""
    records = {name: read_records(name) for name in MANY}
    return replace_between(readme, BEGIN, END, "\n\n".join(_many_settings(records)))


def _short_answer(records: list[StudyRecord]) -> str:
    if not records:
        return "not recorded yet"
    return f"{answer_sentence(records[0])} (scale {records[0].scale})"


def write() -> None:
    """Write pages and pictures, and delete those of removed studies."""
    files = {name: text.encode() for name, text in pages().items()}
    for name in shipped_studies():
        for record in read_records(name):
            for file, picture in picture_files(record).items():
                files[file] = to_svg(picture.draw(record)).encode()
    PAGES.mkdir(exist_ok=True)
    for old in PAGES.iterdir():
        if old.name not in files:
            old.unlink()
    for name, content in files.items():
        (PAGES / name).write_bytes(content)
    README.write_text(with_summary(README.read_text()))


if __name__ == "__main__":
    write()
