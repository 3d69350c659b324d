"""Tests that `make docs` fails on faults of the documentation, and that docstrings have none."""

import logging
import re
import subprocess
import sys
from pathlib import Path

import griffe
import pytest

ROOT = Path(__file__).parents[1]
COMMAND = re.search(r"^docs:.*\n\t(.*)", (ROOT / "Makefile").read_text(), flags=re.M)[1]
PAGE = "# Page\n\n::: planted.double\n"
MODULE = '''"""A module."""


def double(x: int) -> int:
    """Return twice a number.

    Args:
        x: the number.

    >>> double(2)
    4
    """
    return 2 * x
'''


def make_docs(folder, page=PAGE, module=MODULE):
    """Run the command of `make docs` on one page and one module, with the project's settings."""
    files = {
        "mkdocs.yml": f"INHERIT: {ROOT / 'mkdocs.yml'}\nnav: [index.md]\n",
        "docs/index.md": page,
        "docs/docstring_examples.py": (ROOT / "docs/docstring_examples.py").read_text(),
        "src/planted.py": module,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    command = COMMAND.replace(".venv/", "").replace("$(BIN)/", f"{sys.executable} -m ")
    return subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)


@pytest.mark.slow
def test_docs_without_faults_are_built_with_their_examples_as_code(tmp_path):
    built = make_docs(tmp_path)
    assert built.returncode == 0, built.stderr
    html = (tmp_path / "site" / "index.html").read_text()
    assert '<span class="gp">&gt;&gt;&gt; </span><span class="n">double</span>' in html
    assert "blockquote" not in html
    assert not list(tmp_path.glob("site/**/*.py"))


PLANTED = {
    "a broken link": ({"page": PAGE + "[text](gone.md)"}, "gone.md"),
    "a broken anchor": ({"page": PAGE + "[text](#gone)"}, "#gone"),
    "an unknown name": ({"page": PAGE + "[text][hinged.nothing]"}, "hinged.nothing"),
    "an unknown object": ({"page": PAGE + "\n::: planted.nothing"}, "planted.nothing"),
    "an argument that is no parameter": (
        {"module": MODULE.replace("x: the", "y: the")},
        "Parameter 'y' does not appear in the function signature",
    ),
    "two arguments in one entry": (
        {"module": MODULE.replace("x: the", "x, y: the")},
        "Parameter 'x, y' does not appear in the function signature",
    ),
    "an entry without a name": (
        {"module": MODULE.replace("x: the", "the")},
        "Failed to get 'name: description' pair",
    ),
    "an unknown name in a docstring": (
        {"module": MODULE.replace("the number", "the [number][hinged.nothing]")},
        "hinged.nothing",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_fails(tmp_path, fault):
    changed, complaint = PLANTED[fault]
    built = make_docs(tmp_path, **changed)
    assert built.returncode != 0
    assert complaint in built.stderr


@pytest.mark.slow
def test_a_page_that_the_navigation_leaves_out_fails(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "left_out.md").write_text("# Left out\n")
    built = make_docs(tmp_path)
    assert built.returncode != 0
    assert "left_out.md" in built.stderr


def objects_of(module):
    """Yield a module and everything that is defined in it and in its submodules."""
    yield module
    for member in module.members.values():
        if not member.is_alias:
            yield from objects_of(member)


def faults_of(package, folder, caplog):
    """Return the faults in all docstrings of a package, also of objects on no page."""
    faults = []
    with caplog.at_level(logging.WARNING, logger="griffe"):
        for documented in objects_of(griffe.load(package, search_paths=[folder])):
            sections = documented.docstring.parse("google") if documented.docstring else []
            faults += [
                f"{documented.path}: no attribute {entry.name!r}"
                for section in sections
                if section.kind is griffe.DocstringSectionKind.attributes
                for entry in section.value
                if entry.name not in documented.all_members
            ]
    return faults + caplog.messages


def test_docstrings_have_no_faults(caplog):
    assert faults_of("hinged", ROOT / "src", caplog) == []


def test_faults_of_docstrings_are_found(tmp_path, caplog):
    point = (
        '\n\nclass Point:\n    """A point.\n\n    Attributes:\n'
        '        x, y: its place.\n    """\n\n    x: int\n    y: int\n'
    )
    (tmp_path / "planted.py").write_text(MODULE.replace("x: the", "y: the") + point)
    first, *others = faults_of("planted", tmp_path, caplog)
    assert first == "planted.Point: no attribute 'x,'"
    assert len(others) == 2 and "Parameter 'y' does not appear" in others[1]
