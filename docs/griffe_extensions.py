"""Extensions of griffe, which reads the docstrings for the reference pages."""

import re
from collections.abc import Iterator
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
NAME = re.compile(r"`(hinged(?:\.\w+)+)`")
FLAGS = re.compile(r" *# doctest: .*|^<BLANKLINE>$", re.MULTILINE)


def as_markdown(docstring: str) -> str:
    """Return a docstring whose examples are blocks of code, and whose names link to their entries.

    Markdown would show lines that start with `>>>` as nested quotes. The blocks are without the
    flags of doctest. A name without an entry gets no link.
    """
    linked = NAME.sub(r'<autoref identifier="\1" optional><code>\1</code></autoref>', docstring)
    return EXAMPLE.sub(lambda found: f"```pycon\n{FLAGS.sub('', found[0])}\n```", linked)


class DocstringsInMarkdown(griffe.Extension):
    """Turns the docstrings of all objects into Markdown."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object after it was read, and before it is parsed."""
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value)


class ShadowedModules(griffe.Extension):
    """Makes `package.name` a function if the package imports it from its module `package.name`.

    In Python, `hinged.curve.evaluate` is a function. Griffe would show the module of this name.
    """

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any) -> None:
        """Replace the modules after all imports were followed, because that needs the modules."""
        loader.resolve_aliases(implicit=True, external=False)
        found = [
            (package, name, inner) for package in packages(pkg) for name, inner in shadows(package)
        ]
        for package, name, inner in found:
            package.members[name] = griffe.Alias(name, inner, parent=package)


def packages(package: griffe.Module) -> Iterator[griffe.Module]:
    """Yield a package and all packages inside it."""
    yield package
    for module in package.modules.values():
        if module.is_init_module and not module.is_alias:
            yield from packages(module)


def shadows(package: griffe.Module) -> Iterator[tuple[str, griffe.Object]]:
    """Yield the name of each module that a function of the same name shadows, and the function."""
    inside = f"{package.package.path}."
    for name in [name for name, path in package.imports.items() if path.startswith(inside)]:
        member = package.members[name]
        module = member.final_target if member.is_alias else member
        inner = module.members.get(name) if module.is_module else None
        if inner is not None and inner.is_function:
            yield name, inner
