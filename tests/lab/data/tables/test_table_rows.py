import numpy as np
import pytest
import torch

from hinged.lab.data.tables.columns import read_column
from hinged.lab.data.tables.table_notes import NO_NOTES
from hinged.lab.data.tables.table_rows import RawTable, TableRows
from hinged.lab.problems import Regression

pyarrow = pytest.importorskip("pyarrow")


def encode(train, test, **columns):
    """The inputs of training and test rows."""
    read = [read_column("", name, pyarrow.chunked_array([each])) for name, each in columns.items()]
    count = len(next(iter(columns.values())))
    table = RawTable(tuple(read), torch.zeros(count, 1), Regression(1), None, NO_NOTES)
    return [part.tolist() for part in TableRows(table, np.array(train), np.array(test)).encode()]


def test_medians_come_from_the_training_rows():
    train, test = encode([0, 1, 2], [3, 4], a=[1.0, 3.0, None, None, 1000.0])
    assert train == [[1, 0], [3, 0], [2, 1]]
    assert test == [[2, 1], [1000, 0]]


def test_gaps_in_test_rows_alone_get_the_median_and_no_flag():
    assert encode([0, 1], [2], a=[1.0, 3.0, None]) == [[[1], [3]], [[2]]]


def test_a_column_that_has_no_value_in_the_training_rows():
    assert encode([0, 1], [2], a=[None, None, 7.0]) == [[[0, 1], [0, 1]], [[7, 0]]]


def test_texts_come_from_the_training_rows():
    train, test = encode([0, 1, 2], [3, 4], c=["red", "", "red", "new", "red"])
    assert train == [[0, 1], [1, 0], [0, 1]]
    assert test == [[0, 0], [0, 1]]


def test_rare_texts_share_an_input():
    texts = [f"t{i}" for i in range(150)] * 2 + ["t7", "t149"] + ["other"]
    train, test = encode(range(302), [302], c=texts)
    assert len(train[0]) == 100
    counts = np.sum(train, axis=0)
    assert sorted(counts)[-3:] == [3, 3, 2 * 51] and counts[-1] == 2 * 51
    assert test[0][-1] == 1 and sum(test[0]) == 1


def test_columns_stay_in_order_and_unusable_ones_have_no_input():
    train, _ = encode([0, 1], [2], a=[1, 2, 3], c=["x", "y", "y"], k=["z"] * 3, b=[4.0, None, 6.0])
    assert train == [[1, 1, 0, 4, 0], [2, 0, 1, 4, 1]]


def test_dates_have_one_flag():
    train, test = encode([0, 1, 2], [3], d=["2024-01-01", "2024-01-03", "", "2024-01-09"])
    assert len(train[0]) == 6 and [row[-1] for row in train] == [0, 0, 1]
    assert train[2][0] == train[0][0] + 1 and test[0][0] == train[0][0] + 8


def test_names_with_underscores():
    assert encode([0, 1], [2], **{"a__b": [1.0, None, 3.0]}) == [[[1, 0], [1, 1]], [[3, 0]]]
