import pytest
import torch

from hinged import errors
from hinged.lab.data.tables.targets import read_targets
from hinged.lab.problems import Classification, Regression

pyarrow = pytest.importorskip("pyarrow")
COLUMNS = {
    "text": ["b", "a", "b", "a"],
    "flag": [True, False, True, True],
    "few": [3, 3, 5, 5],
    "real": [0.5, 1.5, 0.5, 1.5],
}


def read(name, task=None, **columns):
    return read_targets("data t.csv", pyarrow.table(columns or COLUMNS), name.split(","), task)


@pytest.mark.parametrize(
    ("name", "task", "problem", "note"),
    [
        ("text", None, Classification(2, ("a", "b")), "2 different texts, so the task is a cl"),
        ("few", None, Classification(2, ("3", "5")), "2 different whole numbers, so the task"),
        ("few", "regression", Regression(1, ("few",)), "is a regression, as --task says."),
        ("real", None, Regression(1, ("real",)), "(--task classification overrules)."),
        ("real", "classification", Classification(2, ("0.5", "1.5")), "as --task says."),
        ("few,real", None, Regression(2, ("few", "real")), "2 targets, so the task is a regr"),
        ("flag", "regression", Regression(1, ("flag",)), "true or false, so the task is a"),
    ],
)
def test_the_task_is_found_and_said(name, task, problem, note):
    found = read(name, task)
    assert found.problem == problem and note in found.note and found.note.endswith(".")


def test_targets_are_class_indices_or_numbers():
    assert read("text").y.tolist() == [1, 0, 1, 0]
    assert torch.equal(
        read("few,real").y, torch.tensor([[3, 0.5], [3, 1.5], [5, 0.5], [5, 1.5]]).double()
    )


@pytest.mark.parametrize(
    ("task", "values", "message"),
    [
        (None, [1.0, None, 2.0], "NaN or infinite values in y, the first in row 2 of the data; a"),
        (None, [1.0, float("inf"), 2.0], "infinite values in y, the first in row 2"),
        (None, ["a", "b", ""], "empty, NaN or infinite values in y, the first in row 3"),
        (None, [None, None], "empty, NaN or infinite values in y, the first in row 1"),
        (None, [2.5, 2.5], "the target column y, which is always 2.5; there is nothing to learn"),
        (None, ["a", "a"], "the target column y, which is always a; there is nothing to learn"),
        (None, ["a", "a", "b"], "classes of y that only one row has: b; give at least 2 rows"),
        ("classification", [1.0, 2.0], "only one row has: 1.0, 2.0; .*`table.task` regression"),
        (None, ["1,5", "2,5"], "if these are numbers, write them like 1234.5, or else give at"),
        ("regression", ["a", "b"], "texts in the target column y; a regression needs numbers"),
    ],
)
def test_targets_that_cannot_be_learned(task, values, message):
    with pytest.raises(errors.DataError, match=message):
        read("y", task, y=values)


def test_lists_are_no_classes():
    with pytest.raises(errors.DataError, match="a column 'y' of type list<"):
        read("y", "classification", y=[[1], [2], [1], [2]])


def test_dates_are_no_targets():
    import datetime

    days = [datetime.date(2024, 1, day) for day in (1, 2)]
    with pytest.raises(errors.DataError, match="dates in the target column y; a regression needs"):
        read("y", y=days)


def test_one_target_for_classes():
    with pytest.raises(
        errors.DataError, match="target columns few, text; a classification has one"
    ):
        read("few,text", "classification")
    with pytest.raises(errors.DataError, match="texts in the target column text"):
        read("few,text")


def test_classes_that_look_like_numbers_are_pointed_out():
    found = read("y", y=["0,5", "1,5"] * 2)
    assert found.note.endswith("If '0,5' is a number, write the numbers like 1234.5.")
    assert "If" not in read("y", y=["0", "1"] * 2).note


def test_unused_values_of_a_dictionary_are_no_classes():
    column = pyarrow.DictionaryArray.from_arrays(pyarrow.array([1, 2, 1, 2]), ["", "a", "b"])
    assert read("y", y=column).problem == Classification(2, ("a", "b"))
