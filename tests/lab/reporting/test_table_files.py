import csv
import io
import math

import pytest

from hinged.lab.reporting.table_files import csv_text, escape_latex, latex_text


def test_csv_is_read_back_with_all_digits():
    rows = [
        {"name": 'a, "b"\nc', "score": 1 / 3, "p": None},
        {"name": "leaky_relu", "score": -1e-300, "p": math.nan, "more": math.inf},
    ]
    read = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [each["name"] for each in read] == [row["name"] for row in rows]
    assert [float(each["score"]) for each in read] == [1 / 3, -1e-300]
    assert list(read[0]) == ["name", "score", "p", "more"]
    assert (
        read[0]["p"] == read[1]["p"] == read[0]["more"] == "" and float(read[1]["more"]) == math.inf
    )


def test_a_latex_table_has_a_cell_for_each_heading_and_no_free_special_character():
    headings = ("activation", "accuracy, %", "a & b")
    rows = [("leaky_relu", "77.5 ± 4.2", "-0.5"), ("{x}^2#$~\\", "< 0.001", "1-2")]
    lines = latex_text(headings, rows).splitlines()
    assert lines[0] == r"% Needs \usepackage{booktabs} in the preamble."
    assert lines[1] == r"\begin{tabular}{lrr}" and lines[-1] == r"\end{tabular}"
    assert [lines[i] for i in (2, 4, 7)] == [r"\toprule", r"\midrule", r"\bottomrule"]
    assert lines[3] == r"activation & accuracy, \% & a \& b \\"
    assert lines[5] == r"leaky\_relu & 77.5 $\pm$ 4.2 & $-$0.5 \\"
    assert lines[6] == (
        r"\{x\}\textasciicircum{}2\#\$\textasciitilde{}\textbackslash{} & "
        r"\textless{} 0.001 & 1-2 \\"
    )


@pytest.mark.parametrize(
    ("text", "escaped"), [("x-1", "x-1"), ("+1 to -2", "+1 to $-$2"), ("1e-5", "1e-5")]
)
def test_only_signs_become_minus_signs(text, escaped):
    assert escape_latex(text) == escaped
