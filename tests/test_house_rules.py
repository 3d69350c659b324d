"""Tests that functions and files are short, and that library code never prints."""

import ast
import statistics
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "hinged"
FILES = sorted(SOURCE.rglob("*.py"))


def lengths(source):
    """Yield the name of each function and its number of lines, without signature and docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            yield node.name, (body[-1].end_lineno - body[0].lineno + 1) if body else 0


@pytest.mark.slow
def test_functions_are_short():
    counts = [count for path in FILES for _, count in lengths(path.read_text())]
    assert statistics.median(counts) <= 8
    assert statistics.quantiles(counts, n=10)[-1] <= 30


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_function_and_no_file_is_long(path):
    source = path.read_text()
    assert source.count("\n") <= 400
    if path.parent.name != "kernels":
        assert [(name, count) for name, count in lengths(source) if count > 60] == []


def test_a_long_function_is_found():
    assert dict(lengths("def f():\n" + "    x = 1\n" * 61)) == {"f": 61}


PRINTING = {
    *(SOURCE / "__main__.py", SOURCE / "cli", SOURCE / "lab" / "cli"),
    SOURCE / "sklearn" / "progress.py",  # `verbose=True` asks for lines, as in scikit-learn.
}
LIBRARY = [path for path in FILES if not PRINTING & {path, *path.parents}]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(SOURCE)))
def test_library_code_neither_prints_nor_exits(path):
    calls = [
        node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    names = {ast.unparse(call) for call in calls}
    assert not names & {"print", "exit", "sys.exit", "quit", "hasattr"}
