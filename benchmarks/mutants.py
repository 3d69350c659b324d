"""Draws random changes of source code, as cosmic-ray makes them."""

from __future__ import annotations

import ast
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cosmic_ray.plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

LEFT_OUT = (
    "RShift",
    "LShift",
    "BitXor",
    "Pow",
    "Mod",
    "FloorDiv",
    "Invert",
    "Eq_Is",
    "NotEq_IsNot",
)
"""Ends of the names of changes that are not made.

Most of them would only raise a `TypeError`, or change nothing, as `is` in place of `==`.
"""
Change = tuple[str, int]
"""A kind of change in cosmic-ray, and the index of the place in the file."""


@dataclass(frozen=True)
class Mutant:
    """The source code of a file with one change.

    Attributes:
        file: the file.
        line: the number of the changed line.
        before: this line before the change.
        after: this line after the change.
        code: the whole file after the change.
    """

    file: Path
    line: int
    before: str
    after: str
    code: str


def draw_mutants(files: Sequence[Path], count: int, seed: int) -> list[Mutant]:
    """Return `count` random mutants; fewer if there are not so many places to change.

    Every place in the source code has the same probability, however many changes it allows.
    """
    places = [(file, changes) for file in files for changes in _changes_by_place(file)]
    generator = random.Random(seed)
    generator.shuffle(places)
    mutants: list[Mutant] = []
    for file, changes in places:
        generator.shuffle(changes)
        found = next(filter(None, (_mutate(file, *change) for change in changes)), None)
        mutants += [found] if found else []
        if len(mutants) == count:
            break
    return mutants


def _changes_by_place(file: Path) -> list[list[Change]]:
    """Return the changes that cosmic-ray can make in a file: one list for each place."""
    nodes = list(ast_nodes(get_ast(file.read_text(encoding="utf-8"))))
    places: dict[tuple[int, int], list[Change]] = defaultdict(list)
    for name in sorted(cosmic_ray.plugins.operator_names()):
        kind = cosmic_ray.plugins.get_operator(name)
        if kind.arguments() or name.endswith(LEFT_OUT):
            continue
        positions = (start for node in nodes for start, _ in kind().mutation_positions(node))
        for index, start in enumerate(positions):
            places[start].append((name, index))
    return [places[start] for start in sorted(places)]


def _mutate(file: Path, name: str, index: int) -> Mutant | None:
    """Return a mutant; None if it cannot be compiled, or does the same as the original."""
    source = file.read_text(encoding="utf-8")
    code = mutate_code(source, cosmic_ray.plugins.get_operator(name)(), index)
    try:
        if code is None or _without_annotations(code) == _without_annotations(source):
            return None
    except SyntaxError:
        return None
    lines = enumerate(zip(source.splitlines(), code.splitlines(), strict=False), 1)
    line, (before, after) = next((i, pair) for i, pair in lines if pair[0] != pair[1])
    return Mutant(file, line, before.strip(), after.strip(), code)


def _without_annotations(source: str) -> str:
    """Return source code without annotations of arguments, results and variables."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.FunctionDef):
            node.returns = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant("")
    return ast.unparse(tree)
