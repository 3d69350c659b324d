import csv
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import train_test_split

from hinged import errors
from hinged.lab import data
from hinged.lab.data.readers import table_files
from hinged.lab.experiment.settings import TableSettings
from hinged.lab.problems import Regression

pyarrow = pytest.importorskip("pyarrow")
ROWS = 40


@pytest.fixture
def table(tmp_path):
    """Writes columns, by name, to a CSV or Parquet file."""

    def write(ending=".csv", **named):
        path = tmp_path / f"table{ending}"
        made = pyarrow.table(named)
        if ending == ".csv":
            from pyarrow import csv

            csv.write_csv(made, path)
        else:
            from pyarrow import parquet

            parquet.write_table(made, path)
        return path

    return write


NUMBERS = [i / 7 for i in range(ROWS)]
COLOURS = ["red", "blue"] * (ROWS // 2)


@pytest.mark.parametrize("ending", table_files.SUFFIXES)
def test_numbers_texts_and_booleans(table, ending):
    path = table(ending, a=NUMBERS, colour=COLOURS, b=[i % 3 == 0 for i in range(ROWS)], y=NUMBERS)
    splits = table_files.read_csv_or_parquet(path)
    assert splits.about == "40 rows of 3 columns, 4 inputs, regression; 30 % to test on"
    x, y = torch.cat([splits.x_train, splits.x_test]), torch.cat([splits.y_train, splits.y_test])
    place = y[:, 0].argsort()
    i = torch.arange(ROWS)
    expected = torch.stack([i / 7.0, i % 2.0, 1 - i % 2.0, i % 3 == 0.0], dim=1).double()
    torch.testing.assert_close(x[place], expected)


def test_the_columns_to_predict_can_be_named(table):
    path = table(y=NUMBERS, a=NUMBERS, z=NUMBERS)
    assert data.load_data_set(f"{path}:y").x_train.shape == (28, 2)
    assert data.load_data_set(f"{path}:y,z").outputs == 2


@pytest.mark.parametrize("name", ["ratio a:b", "size, in m", "price:3"])
def test_a_target_with_punctuation_in_its_name(table, name):
    path = table(a=NUMBERS, **{name: NUMBERS}, z=COLOURS)
    assert data.load_data_set(f"{path}:{name}").problem == Regression(1, (name,))


@pytest.mark.parametrize(
    ("target", "classes", "names"),
    [
        (COLOURS, 2, ("blue", "red")),
        ([3, 5, 9, 5] * 10, 3, ("3", "5", "9")),
        ([True, False] * 20, 2, ("False", "True")),
        (list(range(ROWS)), None, ("y",)),
        (NUMBERS, None, ("y",)),
    ],
)
def test_classes_or_numbers(table, target, classes, names):
    loaded = data.load_data_set(str(table(a=NUMBERS, y=target)))
    assert loaded.classes == classes and loaded.problem.names == names
    if classes:
        assert loaded.y_train.unique().tolist() == list(range(classes))


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (
            {"a": [float("inf"), *NUMBERS[1:]], "y": NUMBERS},
            "infinite values in a, the first in row 1 of the data; replace",
        ),
        (
            {"a": [None] * ROWS, "b": ["x"] * ROWS, "y": NUMBERS},
            r"no input columns; all others are left out: a .no row has a value: left out., b .alw",
        ),
        ({"a": NUMBERS, "y": [float("nan"), *NUMBERS[1:]]}, "empty, NaN or infinite values in y"),
        ({"y": NUMBERS}, "no input columns; add a column"),
        ({"a": [], "y": []}, "a table without rows"),
        ({"a": NUMBERS, "y": ["one"] * ROWS}, "the target column y, which is always one; there is"),
        ({"a": NUMBERS, "y": [2.5] * ROWS}, "the target column y, which is always 2.5; there is"),
    ],
)
def test_unsuitable_tables_get_one_sentence(table, named, message):
    path = table(".parquet", **named)
    with pytest.raises(errors.DataError, match=message):
        table_files.read_csv_or_parquet(path)


def test_a_missing_column(table):
    with pytest.raises(
        errors.DataError, match="columns that do not exist: price; the columns are a, y"
    ):
        table_files.read_csv_or_parquet(table(a=NUMBERS, y=NUMBERS), "price")


@pytest.mark.parametrize(
    "setting",
    [{"split": "group:price"}, {"split": "time:price"}, {"leave_out": ("price",)}],
)
def test_settings_that_name_a_missing_column(table, setting):
    with pytest.raises(errors.DataError, match=r"price.*; the columns are a, y"):
        table_files.read_csv_or_parquet(table(a=NUMBERS, y=NUMBERS), None, TableSettings(**setting))


@pytest.mark.parametrize(
    ("split", "message"),
    [
        ("group:y", "`table.split`: got group:y; choose a column that is not the target"),
        ("time:colour", "no times in the column colour; choose a column of numbers or dates"),
        ("time:day", r"column day \(dates that can be read in two ways, such as 1/2/2024"),
        ("group:list", r"a column 'list' of type list<.*>; use a column of numbers, booleans"),
        ("group:gaps", "infinite values in gaps, which divides the rows, the first in row 2; give"),
        ("time:gaps", "infinite values in gaps, which divides the rows, the first in row 2; give"),
    ],
)
def test_columns_that_cannot_divide_the_rows(table, split, message):
    gaps, days = [1, None] * (ROWS // 2), ["1/2/2024", "2/1/2024"] * (ROWS // 2)
    path = table(".parquet", colour=COLOURS, day=days, gaps=gaps, list=[[1]] * ROWS, y=NUMBERS)
    with pytest.raises(errors.DataError, match=message):
        table_files.read_csv_or_parquet(path, None, TableSettings(split=split))


def test_only_identifiers(table):
    texts = [f"name {i}" for i in range(101)]
    with pytest.raises(
        errors.DataError, match=r"no input columns; .*who .101 different texts in 101 rows, such as"
    ):
        table_files.read_csv_or_parquet(table(who=texts, y=[float(i) for i in range(101)]))


@pytest.mark.parametrize("ending", table_files.SUFFIXES)
@pytest.mark.parametrize("target", ["y", "z"])
def test_a_table_of_numbers_is_not_encoded(table, ending, target):
    named = {"a": NUMBERS, "i": list(range(ROWS)), "b": [i % 3 == 0 for i in range(ROWS)]}
    named |= {"k": [5] * ROWS, "y": NUMBERS[::-1], "z": [i % 4 for i in range(ROWS)]}
    split = table_files.read_csv_or_parquet(table(ending, **named), target)
    other = {name: values for name, values in named.items() if name != target}
    x = np.stack([np.array(values, dtype=float) for values in other.values()], axis=1)
    labels = named["z"] if target == "z" else None
    train, test = train_test_split(x, test_size=0.3, random_state=0, stratify=labels)
    assert np.array_equal(split.x_train, train) and np.array_equal(split.x_test, test)
    assert split.source is None  # Folds and validation samples are those of any other data.
    assert split.about.startswith("40 rows of 5 columns, ")


MESSY = {
    "id": list(range(ROWS)),
    "token": [f"t{i}" for i in range(ROWS)],
    "colour": [*COLOURS[:-1], None],
    "day": [f"{1 + i % 28}.{1 + i % 12}.2024" for i in range(ROWS)],
    "age": [None if i % 7 == 0 else float(i * i % 50) for i in range(ROWS)],
    "zone": ["EU"] * ROWS,
    "y": [str(i * 7 % 3) for i in range(ROWS)],
}


@pytest.mark.parametrize("ending", table_files.SUFFIXES)
def test_what_is_found_in_a_messy_table_is_said(table, ending):
    strings = {name: v if name != "y" else [f"c{each}" for each in v] for name, v in MESSY.items()}
    loaded = data.load_data_set(str(table(ending, **strings)))
    assert loaded.x_train.isfinite().all() and loaded.x_test.isfinite().all()
    assert loaded.about == "40 rows of 6 columns, 11 inputs, 3 classes; 30 % to test on"
    assert loaded.notes.found == (
        "y: 3 different texts, so the task is a classification.",
        "Texts, with an input for each different text: colour (3).",
        "Dates, as the day and the position in the year and the week, and times as the position in "
        "the day: day.",
        "Missing values: age (6 of 40 rows). They become the median of the training rows, and one "
        "more input marks them.",
        "Missing texts, which count as a text of their own: colour (1 of 40 rows).",
        "zone: always 'EU': left out.",
    )
    first, second = loaded.notes.warnings
    assert first.startswith("id: whole numbers that count the rows, so it looks like an identifier")
    assert second.startswith("token: 40 different texts in 40 rows, such as 't0', so it looks like")


def test_marks_of_missing_numbers(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b,y\n1,?,1.5\n-,2,2.5\nNA,None,3.5\n4,nan,4.5\n")
    found = table_files.read_csv_or_parquet(path).notes.found
    assert "Missing values: a (2 of 4 rows), b (3 of 4 rows)." in found[1]


def test_columns_in_another_order_are_the_same_data(table):
    names = ["y", *reversed(list(MESSY)[:-1])]
    first = data.load_data_set(f"{table(**MESSY)}:y")
    other = data.load_data_set(f"{table('.parquet', **{n: MESSY[n] for n in names})}:y")
    assert torch.equal(first.y_train, other.y_train)
    assert first.x_train.shape == other.x_train.shape

    def columns(loaded):
        return sorted(loaded.x_train.T.tolist())

    assert columns(first) == columns(other)


def test_more_classes_than_test_rows(table):
    with pytest.raises(
        errors.DataError, match="got 8 classes in 16 rows, of which 5 test; give more"
    ):
        data.load_data_set(str(table(a=NUMBERS[:16], y=[*range(8)] * 2)))


def test_more_columns_than_rows_and_repeated_rows(table):
    wide = {f"c{i}": [float(i * j % 7) for j in range(8)] * 2 for i in range(60)}
    loaded = data.load_data_set(str(table(**wide, y=NUMBERS[:8] * 2)))
    assert loaded.x_train.shape == (11, 60)
    assert loaded.facts.repeated > 0  # The comparison warns of them.


@pytest.mark.slow
def test_ten_thousand_categories(table):
    texts = [f"city {i * 7919 % 10_000}" for i in range(21_000)]
    loaded = data.load_data_set(str(table(city=texts, y=[float(i % 100) for i in range(21_000)])))
    assert loaded.x_train.shape == (14_700, 100)
    assert loaded.notes.found[1] == (
        "city: 10,000 different texts. The 99 most frequent have an input each, and all others "
        "share one."
    )


def test_the_target_among_the_inputs_is_warned_of(table):
    (warning,) = data.load_data_set(
        str(table(a=NUMBERS[::-1], cents=[100 * y for y in NUMBERS], b=COLOURS, y=NUMBERS))
    ).notes.warnings[1:]
    assert warning.startswith("cents: tells y exactly in every row")


def test_spaces_in_the_header_and_columns_without_a_name(tmp_path):
    rows = "".join(f"{i}, {i * i % 7}, {i / 2}\n" for i in range(40))
    (tmp_path / "t.csv").write_text(f", a, y\n{rows}")
    notes = data.load_data_set(f"{tmp_path / 't.csv'}:y").notes
    assert notes.warnings[0].startswith("column1: whole numbers that count the rows")


def test_a_header_of_numbers_is_warned_of(tmp_path):
    (tmp_path / "t.csv").write_text("".join(f"{i * i % 7},{i / 2}\n" for i in range(40)))
    (warning,) = data.load_data_set(str(tmp_path / "t.csv")).notes.warnings
    assert warning.startswith(
        "The names of the columns are numbers (0, 0.0). If they are the first"
    )


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_an_empty_file(tmp_path, content):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(
        errors.DataError, match=r"t.csv`: got an empty file; expected a header line"
    ):
        table_files.read_csv_or_parquet(tmp_path / "t.csv")


def test_a_header_alone(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n")
    with pytest.raises(errors.DataError, match="a table without rows; add at least 2 rows"):
        table_files.read_csv_or_parquet(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("split", "inputs", "end"),
    [
        ("group:age", 5, "; 30 % of the groups of age to test on"),
        ("time:day", 7, "; the last 30 % in the order of day to test on"),
        ("time:age", 7, "; the last 30 % in the order of age to test on"),
    ],
)
def test_rows_divided_by_a_column(table, split, inputs, end):
    named = {"colour": COLOURS, "day": MESSY["day"], "y": NUMBERS}
    path = table(age=[i // 4 for i in range(ROWS)], **named)
    settings = TableSettings(split=split, leave_out=("colour",) * split.startswith("group"))
    loaded = table_files.read_csv_or_parquet(path, None, settings)
    assert loaded.about.endswith(end) and loaded.x_train.shape[1] == inputs
    source = loaded.source
    keys = source.table.division.keys
    assert not set(keys[source.train]) & set(keys[source.test])
    assert any(split.partition(":")[2] in note for note in loaded.notes.found)
    assert ("Left out, as --leave-out says: colour." in loaded.notes.found) == (
        split == "group:age"
    )


def test_a_truncated_file(table):
    path = table(".parquet", a=NUMBERS, y=NUMBERS)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(errors.DataError, match="the file is damaged or incomplete") as refused:
        table_files.read_csv_or_parquet(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_the_delimiter_is_found_in_the_header(tmp_path, delimiter):
    header = ["a", "height, in m; or cm\tor km, ly, pc", "colour", "y"]
    rows = [[i, i / 7, "red, blue; green" if i % 3 else "\tred", i % 2] for i in range(ROWS)]
    read = []
    for each in (",", delimiter):
        with (tmp_path / "table.csv").open("w", newline="") as file:
            writer = csv.writer(file, delimiter=each)
            writer.writerows([header, *rows])
        read.append(table_files.read_csv_or_parquet(tmp_path / "table.csv"))
    commas, others = read
    assert others.about == commas.about and others.notes == commas.notes
    assert torch.equal(others.x_train, commas.x_train)
    assert torch.equal(others.y_train, commas.y_train)


@pytest.mark.parametrize("numbers", ["1,5 2 -3,25", "1.234,5 7 1.000", "? 0,5 0,5"])
def test_decimal_commas_are_refused(tmp_path, numbers):
    first, *_ = re.findall(r"\S*,\S*", numbers)
    rows = "".join(f"x;{number};1\n" for number in numbers.split())
    (tmp_path / "table.csv").write_text(f"a;b;y\n{rows}")
    message = f"decimal commas in column 'b', such as '{first}'; save the file with points"
    with pytest.raises(errors.DataError, match=message):
        table_files.read_csv_or_parquet(tmp_path / "table.csv")


def test_the_page_on_data_shows_what_is_said(tmp_path, monkeypatch):
    page = (Path(__file__).parents[4] / "docs" / "data.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, flags=re.S)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    loaded = data.load_data_set("customers.csv:churn")
    (shown,) = re.findall(r"```text\n(.*?)```", page, flags=re.S)
    said = [f"Data: {each}" for each in (f"{loaded.about}.", *loaded.notes.found)]
    assert shown.splitlines() == [*said, *(f"Warning: {each}" for each in loaded.notes.warnings)]


@pytest.mark.parametrize(("mark", "marks"), [(",", "commas"), (";", "semicolons")])
def test_a_row_with_too_many_values(tmp_path, mark, marks):
    path = tmp_path / "t.csv"
    row = f"3{mark}Doe{mark} Jane{mark}4"
    path.write_text(f"a{mark}name{mark}y\n1{mark}x{mark}2\n{row}\n")
    message = f"got a row with 4 values for 3 columns: '{row}'; .* texts with {marks} in quotes"
    with pytest.raises(errors.DataError, match=message):
        table_files.read_csv_or_parquet(path)


def test_a_table_that_is_too_large_is_refused_with_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "MOST_BYTES", 3 * 2**29)
    said = r"got a table of 1\.6 GiB; at most 1\.5 GiB are allowed"
    with pytest.raises(errors.DataError, match=said):
        table_files._check_size(tmp_path / "large.csv", round(0.2 * 2**30))
