import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.data.readers import table_files

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
    assert splits.about == "40 rows of 4 columns, regression; 30 % to test on"
    x, y = torch.cat([splits.x_train, splits.x_test]), torch.cat([splits.y_train, splits.y_test])
    place = y[:, 0].argsort()
    i = torch.arange(ROWS)
    expected = torch.stack([i / 7.0, i % 2.0, 1 - i % 2.0, i % 3 == 0.0], dim=1).double()
    torch.testing.assert_close(x[place], expected)


def test_the_columns_to_predict_can_be_named(table):
    path = table(y=NUMBERS, a=NUMBERS, z=NUMBERS)
    assert data.load_data_set(f"{path}:y").x_train.shape == (28, 2)
    assert data.load_data_set(f"{path}:y,z").outputs == 2


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
            {"a": [None, *NUMBERS[1:]], "y": NUMBERS},
            "infinite values in a, the first in row 1 of the data; replace",
        ),
        ({"a": [float("inf"), *NUMBERS[1:]], "y": NUMBERS}, "empty, NaN or infinite values in a"),
        ({"a": NUMBERS, "y": [float("nan"), *NUMBERS[1:]]}, "empty, NaN or infinite values in y"),
        ({"y": NUMBERS}, "no input columns; add a column"),
        ({"a": [], "y": []}, "a table without rows"),
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


def test_too_many_texts(table):
    texts = [f"name {i}" for i in range(101)]
    with pytest.raises(
        errors.DataError, match="101 different texts in the input column who; at most 100"
    ):
        table_files.read_csv_or_parquet(table(who=texts, y=[float(i) for i in range(101)]))


def test_a_truncated_file(table):
    path = table(".parquet", a=NUMBERS, y=NUMBERS)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(errors.DataError, match="the file is damaged or incomplete") as refused:
        table_files.read_csv_or_parquet(path)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "separator"),
    [
        ("a;b;c\n1;2;3\n4;5;6\n", "semicolons"),
        ("a;b\n1,5;2\n3;4,5\n", "semicolons"),
        ("a\tb\n1\t2\n3\t4\n", "tabs"),
    ],
)
def test_another_separator_is_named(tmp_path, content, separator):
    (tmp_path / "table.csv").write_text(content)
    with pytest.raises(errors.DataError, match=f"separated by {separator}; save it with commas"):
        table_files.read_csv_or_parquet(tmp_path / "table.csv", "b")
