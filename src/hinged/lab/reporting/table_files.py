"""Tables as files for other programs: CSV, and LaTeX with the package `booktabs`."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "±": r"$\pm$",
        **{symbol: f"\\{symbol}" for symbol in "&%$#_{}"},
    }
)
_MINUS = re.compile(r"(?<![\w.])-(?=\d)")


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV text with a header line. Numbers keep all their digits.

    Args:
        rows: values by the name of their column. A row without a column, None and NaN leave the
            cell empty.

    >>> print(csv_text([{"name": "relu", "score": 0.1}, {"name": "a, b", "p": None}]), end="")
    name,score,p
    relu,0.1,
    "a, b",,
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: None if _is_nan(value) else value for name, value in row.items()})
    return text.getvalue()


def latex_text(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table as LaTeX text, with the first column aligned left and all others right.

    The document needs `\\usepackage{booktabs}`.

    Args:
        headings: the heading of each column.
        rows: the texts of each row, one for each column.
    """
    lines = [
        r"% Needs \usepackage{booktabs} in the preamble.",
        rf"\begin{{tabular}}{{l{'r' * (len(headings) - 1)}}}",
        r"\toprule",
        _latex_line(headings),
        r"\midrule",
        *map(_latex_line, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Return a text for LaTeX, with special characters escaped and real minus signs.

    >>> print(escape_latex("leaky_relu: -0.5 %"))
    leaky\\_relu: $-$0.5 \\%
    """
    return _MINUS.sub("$-$", text.translate(_ESCAPES))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _latex_line(texts: Sequence[str]) -> str:
    return " & ".join(map(escape_latex, texts)) + r" \\"
