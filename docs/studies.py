"""Writes docs/studies/ from the studies and their records: a page each, and a list of all.

python docs/studies.py
"""

from __future__ import annotations

from pathlib import Path

from hinged.lab.reporting import markdown
from hinged.lab.reporting.plots import svg
from hinged.lab.study import overview, page
from hinged.lab.study.answer import answer
from hinged.lab.study.cells import read
from hinged.lab.study.definition import SCALES, find, names
from hinged.lab.study.record import Record

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "studies" / "records"
PAGES = ROOT / "docs" / "studies"
README = ROOT / "README.md"
BEGIN, END = "<!-- studies: begin (written by `make studies-page`) -->", "<!-- studies: end -->"
INTRODUCTION = """# Studies

Each study is a question, a grid of comparisons over it, and the record of the answer. `hinged study
list` shows them, `hinged study run NAME --scale small` does one; stopped, the same command
continues it, and several processes share its work. A study is a TOML file that holds only what
differs from the [defaults](../reference/lab.md): `hinged study copy NAME mine.toml` gives one to
change and to run as your own.

The rule was fixed in advance: pairs with the same seed, Student's t-test, Holm's correction over
all comparisons of a study, the 5 % level. Scores are those after the last epoch,
or, of second-order trainings, those of the network with the least validation error."""
MANY = ("mnist", "fashion", "cifar10-shallow", "tiny-imagenet", "tables")
"""The studies whose settings are told together: the same recipe for all."""
TOGETHER = """All settings of {studies}, with the same defaults of the curves everywhere ({scale}).
Differences are in points, over pairs with the same seed or, on tables, the same fold, whose
p-values come out too small as folds share rows; each p in the table is that of one paired t-test.
Images called cifar10-jpeg are CIFAR-10's encoded anew, and scores on them are not CIFAR-10's."""


def records(name: str, folder: Path = RECORDS) -> list[Record]:
    """Return the records of a study, the largest scale first."""
    paths = [folder / f"{name}-{scale}.json" for scale in reversed(SCALES)]
    return [Record.model_validate_json(path.read_text()) for path in paths if path.exists()]


def texts(folder: Path = RECORDS) -> dict[str, str]:
    """Return every page by its file name."""
    found = {name: records(name, folder) for name in names()}
    studies = {name: read(find(name)) for name in names()}
    pages = {f"{name}.md": page.page(name, studies[name], found[name]) for name in names()}
    rows = [
        (f"[{name}]({name}.md)", study.question, _short(found[name]))
        for name, study in studies.items()
    ]
    table = markdown.table(("study", "question", "answer"), rows).replace("---:", "---")
    index = "\n\n".join([INTRODUCTION, table, "## One recipe in many settings", *_together(found)])
    return {"index.md": f"{index}\n", **pages}


def _together(found: dict[str, list[Record]]) -> list[str]:
    """Return what the largest record of each study of many settings shows together with others."""
    largest = [found[name][0] for name in MANY if found[name]]
    if not largest:
        return ["Not recorded yet."]
    settings = overview.settings(largest)
    studies = ", ".join(f"`{record.name}` at scale {record.scale}" for record in largest)
    introduction = TOGETHER.format(studies=studies, scale=overview.scales(largest))
    return [introduction, overview.sentence(settings), overview.table(settings)]


def with_summary(readme: str) -> str:
    """Return the README with what the studies of many settings say between the two marks."""
    found = {name: records(name) for name in MANY}
    return markdown.between(readme, BEGIN, END, "\n\n".join(_together(found)))


def _short(found: list[Record]) -> str:
    return f"{answer(found[0])} (scale {found[0].scale})" if found else "not recorded yet"


def write() -> None:
    """Write pages and pictures, and remove what no study has any more."""
    files = {name: text.encode() for name, text in texts().items()}
    for name in names():
        for record in records(name):
            for file, draw in page.pictures(record).items():
                files[file] = svg(draw(record)).encode()
    PAGES.mkdir(exist_ok=True)
    for old in PAGES.iterdir():
        if old.name not in files:
            old.unlink()
    for name, content in files.items():
        (PAGES / name).write_bytes(content)
    README.write_text(with_summary(README.read_text()))


if __name__ == "__main__":
    write()
