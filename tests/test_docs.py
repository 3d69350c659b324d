"""What the documentation shows is what the records and the code say."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_figures_of_the_readme_are_those_of_the_record():
    record = runpy.run_path(str(ROOT / "docs" / "record.py"))
    assert record["with_figures"](README) == README


def test_figures_that_were_edited_are_seen():
    record = runpy.run_path(str(ROOT / "docs" / "record.py"))
    edited = re.sub(r"(\| hinged \| )\d+", r"\g<1>99", README)
    assert edited != README
    assert record["with_figures"](edited) == README


def test_code_of_the_readme_runs():
    (block,) = re.findall(r"```python\n(.*?)```", README, flags=re.S)
    names = {}
    exec(block, names)
    assert [group["name"] for group in names["optimizer"].param_groups] == ["weights", "curves"]


def test_every_file_the_documentation_links_to_is_there():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
