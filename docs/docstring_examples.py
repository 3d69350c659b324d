"""An extension of griffe that shows the examples of docstrings as code.

Markdown would show lines that start with `>>>` as nested quotes.
"""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
FLAGS = re.compile(r" *# doctest: .*|^<BLANKLINE>$", re.MULTILINE)


def with_code_blocks(docstring: str) -> str:
    """Return a docstring whose examples are blocks of code, without the flags of doctest."""
    return EXAMPLE.sub(lambda found: f"```pycon\n{FLAGS.sub('', found[0])}\n```", docstring)


class DocstringExamples(griffe.Extension):
    """Turns the examples in the docstrings of all objects into blocks of code."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of an object after it was read, and before it is parsed."""
        if obj.docstring:
            obj.docstring.value = with_code_blocks(obj.docstring.value)
