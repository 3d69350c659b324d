import numpy as np
import pytest

from hinged import errors
from hinged.lab.data.tables.columns import read_column

pyarrow = pytest.importorskip("pyarrow")


def read(values, name="c", kind=None):
    return read_column("data t.csv", name, pyarrow.chunked_array([pyarrow.array(values, kind)]))


def test_numbers_keep_their_gaps():
    column = read([1, None, 3])
    assert column.kind == "numbers" and column.missing == 1 and column.width == 2
    assert np.array_equal(column.values, [[1], [np.nan], [3]], equal_nan=True)
    assert read([True, None, False]).values[:, 0].tolist()[::2] == [1.0, 0.0]
    assert read([0.5, float("nan")]).missing == 1


def test_texts_are_numbered_in_sorted_order_without_spaces_around_them():
    column = read(["red", " blue", "red ", "", None])
    assert column.kind == "texts" and column.levels == 3 and column.missing == 2
    assert column.values[:, 0].tolist() == [2, 1, 2, 0, 0]
    repeated = read_column("data", "c", pyarrow.chunked_array([["a", "b"]]).dictionary_encode())
    assert repeated.values[:, 0].tolist() == [0, 1]


def test_texts_that_are_dates():
    column = read(["31.12.2024", "", "1.1.2025"])
    assert column.kind == "dates" and column.missing == 1
    assert np.isnan(column.values[1]).all()
    assert column.values[2, 0] - column.values[0, 0] == 1


NAMES = [f"n{i:03}" for i in range(400)]


@pytest.mark.parametrize(
    ("name", "values", "kind", "remark", "warns"),
    [
        ("c", [f"{i},5" for i in range(40)], "left out", "in another form, such as '0,5': l", True),
        (
            "c",
            [f"${i}" for i in range(40)],
            "left out",
            "in another form, such as '$0': left",
            True,
        ),
        (
            "c",
            [f"{i} %" for i in range(40)],
            "left out",
            "in another form, such as '0 %': le",
            True,
        ),
        ("c", [*map(str, range(40))], "left out", "that are stored as texts, such as '0'", True),
        (
            "c",
            [*map(str, range(40)), "no"],
            "left out",
            "numbers, and texts such as 'no': le",
            True,
        ),
        ("c", [5.0, 5.0], "numbers", "always 5, so it has no influence", False),
        ("c", ["a", "a"], "left out", "always 'a': left out", False),
        ("c", [None, None], "left out", "no row has a value: left out", False),
        ("c", ["", " "], "left out", "no row has a value: left out", False),
        ("c", [float("nan")] * 2, "left out", "no row has a value: left out", False),
        ("c", ["2024-01-01"] * 2, "left out", "always '2024-01-01': left out", False),
        ("c", NAMES, "left out", "400 different texts in 400 rows, such as 'n000', so it", True),
        ("c", NAMES * 3, "texts", "400 different texts. The 99 most frequent have an", False),
        ("c", NAMES[:50] * 2, "texts", "", False),
        ("c", NAMES[:20], "texts", "", False),
        ("c", ["0,5", "1", "1,5", "2"], "texts", "numbers in another form, such as '0,5', w", True),
        ("c", ["01.02.24", "03.02.24"], "texts", "", False),
        ("c", ["1.2.3", "1.2.4"], "texts", "", False),
        ("c", ["<18", "18-59", "60+"], "texts", "", False),
        ("c", ["1", "2", "no"], "texts", "", False),
        ("c", ["?", "1/2/2024", "2/1/2024"], "left out", "such as 1/2/2024: left out. Wri", True),
        ("c", ["1/2/2024", "2/1/2024"], "left out", "read in two ways, such as 1/2/2024", True),
        ("c", list(range(40)), "numbers", "whole numbers that count the rows, so it looks", True),
        ("c", [*range(9), *range(10, 40)], "numbers", "whole numbers that rise from row to", True),
        ("user_id", list(range(80, 0, -2)), "numbers", "another whole number in every row", True),
        ("userId", list(range(80, 0, -2)), "numbers", "another whole number in every row", True),
        ("c", list(range(80, 0, -2)), "numbers", "", False),
        ("grid", list(range(80, 0, -2)), "numbers", "", False),
        ("id", [1, 2] * 20, "numbers", "", False),
        ("id", [i / 2 for i in range(40)], "numbers", "", False),
    ],
)
def test_what_is_said_about_a_column(name, values, kind, remark, warns):
    column = read(values, name)
    assert (column.kind, column.warns) == (kind, warns)
    assert remark in column.remark and bool(remark) == bool(column.remark)
    assert (column.width == 0) == (kind == "left out")


@pytest.mark.parametrize(
    ("values", "kind", "message"),
    [
        ([1.0, float("-inf")], None, "got infinite values in c, the first in row 2 of the data"),
        (
            [1.0, -1e300],
            None,
            r"got -1e\+300 in c, in row 2 of the data; change the unit of the col",
        ),
        ([b"\xff"], None, "a column 'c' of type binary; save the file again with the encoding"),
        ([[1], [2]], None, "type list<.*>; use numbers, .*, or leave the column out: `table.leav"),
        ([3, 4], "duration[s]", "a column 'c' of type duration"),
    ],
)
def test_columns_that_cannot_be_read(values, kind, message):
    with pytest.raises(errors.DataError, match=message):
        read(values, kind=kind)


def test_dictionary_values_without_a_row_are_no_levels():
    places = pyarrow.array([2, 1, None, 2])
    column = pyarrow.DictionaryArray.from_arrays(places, ["unused", "b", " a "])
    column = read_column("data", "c", pyarrow.chunked_array([column]))
    assert (column.levels, column.missing, column.values[:, 0].tolist()) == (3, 1, [1, 2, 0, 1])


def test_marks_of_missing_dates():
    column = read(["NA", "31.01.2024", None, "01.02.2024", " - "])
    assert (column.kind, column.missing) == ("dates", 3)
    assert np.isnan(column.values[:, 0]).tolist() == [True, False, True, False, True]
