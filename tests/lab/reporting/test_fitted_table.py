import io
from dataclasses import replace

import pytest
from rich.console import Console

from hinged.lab.reporting.fitted_table import FittedTable
from tests.lab.tables import WIDTHS, printed, whole_cells

NAMES = ("nets/my_activations.py:make_the_first", "relu", "[red]odd[/red]")
TABLE = FittedTable(
    headings=("activation", "accuracy, %", "parameters", "time per step", "kept for backward"),
    rows=[
        (
            name,
            f"{10 * i + 12.34:.2f} ± 100.00",
            "11,178,058 (12,345)",
            "123.45 ms (x1.00)",
            "9 MiB",
        )
        for i, name in enumerate(NAMES)
    ],
    title="3 of 3 trials",
    left_out=(4, 2, 3),
    found_in="The page",
    bold=("relu",),
)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_that_is_shown_is_whole(width):
    text = printed(TABLE, width)
    shown = TABLE.columns_for(width)
    assert max(map(len, text.splitlines())) <= width
    for row in TABLE.rows:
        assert whole_cells(text, row, shown)
    missing = [heading for i, heading in enumerate(TABLE.headings) if i not in shown]
    assert ("Left out in" in text) == bool(missing)
    if missing:
        said = " ".join(text.split())
        assert f"Left out in {width} columns: {'; '.join(missing)}. The page has them." in said


def test_columns_are_left_out_in_their_order_and_only_as_many_as_needed():
    shown = [TABLE.columns_for(width) for width in range(200, 20, -1)]
    kept = [[0, 1, 2, 3, 4], [0, 1, 2, 3], [0, 1, 3], [0, 1]]
    assert [columns for i, columns in enumerate(shown) if i == 0 or columns != shown[i - 1]] == kept


def test_names_are_folded_before_a_column_is_left_out():
    # 37 characters of the longest name can be folded into 24.
    natural = max(map(len, printed(TABLE, 200).splitlines()))
    assert "Left out" not in printed(TABLE, natural - 37 + 24)
    assert "Left out" in printed(TABLE, natural - 37 + 23)


def test_in_a_very_narrow_terminal_lines_are_longer_than_the_terminal_is_wide():
    text = printed(TABLE, 20)
    assert all(whole_cells(text, row, [0, 1]) for row in TABLE.rows)


def test_without_a_terminal_nothing_is_left_out():
    console = Console(file=io.StringIO(), width=60)
    console.print(TABLE, crop=False)
    text = console.file.getvalue()
    assert all(whole_cells(text, row, range(5)) for row in TABLE.rows)
    assert "Left out" not in text


def test_brackets_in_texts_are_not_taken_for_colours():
    assert "[red]odd[/red]" in printed(TABLE, 200)


def test_columns_without_texts_are_not_shown():
    rows = [(name, accuracy, "", time, "") for name, accuracy, _, time, _ in TABLE.rows]
    for width in (200, 50):
        text = printed(replace(TABLE, rows=rows), width)
        assert "parameters" not in text and "kept" not in text
    assert "Left out in 50 columns: time per step." in text
