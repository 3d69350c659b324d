"""Tests that `make docs` fails on faults of the documentation, and that docstrings have none."""

import inspect
import logging
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import griffe
import pytest

import hinged

ROOT = Path(__file__).parents[1]
COMMAND = re.search(r"^docs:.*\n\t(.*)", (ROOT / "Makefile").read_text(), flags=re.M)[1]
PAGE = "# Page\n\n::: planted.double\n"
MODULE = '''"""A module."""


def double(x: int) -> int:
    """Return twice a number.

    Args:
        x: the number.

    Returns:
        The number
        twice.

    >>> double(2)
    4
    """
    return 2 * x
'''


def build(folder, site="site"):
    """Run the command of `make docs` in a folder, and write the pages into `site`."""
    command = COMMAND.replace(".venv/site", str(site)).replace("$(BIN)/", f"{sys.executable} -m ")
    return subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True)


def build_page(folder, page=PAGE, module=MODULE):
    """Build one page about one module, with the project's settings."""
    files = {
        "mkdocs.yml": f"INHERIT: {ROOT / 'mkdocs.yml'}\nnav: [index.md]\n",
        "docs/index.md": page,
        "docs/theme.css": "",
        "docs/griffe_extensions.py": (ROOT / "docs/griffe_extensions.py").read_text(),
        "src/planted.py": module,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return build(folder)


@pytest.mark.slow
def test_docs_without_faults_are_built_with_their_examples_as_code(tmp_path):
    built = build_page(tmp_path)
    assert built.returncode == 0, built.stderr
    html = (tmp_path / "site" / "index.html").read_text()
    assert '<span class="gp">&gt;&gt;&gt; </span><span class="n">double</span>' in html
    assert re.search(r"The number\s+twice", html)
    assert "blockquote" not in html
    assert 'data-md-color-media="(prefers-color-scheme: dark)"' in html
    assert "content.code.copy" in html
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
    built = build_page(tmp_path, **changed)
    assert built.returncode != 0
    assert complaint in built.stderr


@pytest.mark.slow
def test_a_page_that_the_navigation_leaves_out_fails(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "left_out.md").write_text("# Left out\n")
    built = build_page(tmp_path)
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


ENTRY = re.compile(r'<div class="doc doc-object doc-(\w+)">\s*<h[23] id="(hinged[^"]*)"')


def entries_of(html):
    """Return the entries of a page: a dictionary with the kind and the text of each name."""
    _, *parts = ENTRY.split(html)
    entries = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {name: (kind, text) for kind, name, text in entries}


def kind_of(name):
    """Return what a dotted name is when the library is imported."""
    parent, _, last = name.rpartition(".")
    value = getattr(pkgutil.resolve_name(parent), last, None) or pkgutil.resolve_name(name)
    kinds = {"module": inspect.ismodule, "class": inspect.isclass, "function": inspect.isfunction}
    return next((kind for kind, is_kind in kinds.items() if is_kind(value)), "attribute")


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The entries of all pages of the reference, built by the command of `make docs`."""
    site = tmp_path_factory.mktemp("site")
    built = build(ROOT, site)
    assert built.returncode == 0, built.stderr
    assert not list(site.rglob("*.py"))
    pages = sorted((site / "reference").rglob("*.html"))
    return [entry for page in pages for entry in entries_of(page.read_text()).items()]


@pytest.mark.slow
def test_every_public_name_has_one_entry_with_an_example(reference):
    found = {name: text for name, (_, text) in reference}
    wanted = {f"hinged.{name}" for name in hinged.__all__}
    assert wanted - found.keys() == set()
    assert [name for name in wanted if '<span class="gp">' not in found[name]] == []
    assert len(found) == len(reference)


@pytest.mark.slow
def test_every_entry_shows_what_python_finds_under_its_name(reference):
    loaded = [(name, kind) for name, (kind, _) in reference if not name.startswith("hinged.lab")]
    assert [(name, kind) for name, kind in loaded if kind_of(name) != kind] == []
    assert len(loaded) > 80


@pytest.mark.slow
def test_names_in_docstrings_link_to_their_entries(reference):
    (text,) = [text for name, (_, text) in reference if name == "hinged.calibrate"]
    assert '<a class="autorefs autorefs-internal"' in text
    assert 'href="../curve/#hinged.curve.place_hinges"><code>hinged.curve.place_hinges' in text


@pytest.mark.slow
def test_no_example_is_shown_as_a_quote(reference):
    assert [name for name, (_, text) in reference if "<blockquote>" in text] == []


@pytest.mark.slow
def test_no_sentence_is_shown_as_a_type(reference):
    assert [name for name, (_, text) in reference if re.search("<code>[^<]*`", text)] == []
