import numpy as np
import pytest
import torch

from hinged.lab.data.tables.columns import Column
from hinged.lab.data.tables.leaking_columns import warn_of_leaks

Y = [0.5, 1.5, -2.0, 4.0]
CLASSES = [0, 1, 1, 2]


def leaks(values, y, kind="numbers"):
    column = Column("x", kind, np.array(values, dtype=float)[:, None])
    return list(warn_of_leaks([column], torch.tensor(y), ["y"]))


@pytest.mark.parametrize(
    ("values", "y", "kind"),
    [
        (Y, [[each] for each in Y], "numbers"),
        ([32 - 1.8 * each for each in Y], [[each] for each in Y], "numbers"),
        ([7, 3, 3, 5], CLASSES, "texts"),
        ([7, np.nan, np.nan, 5], CLASSES, "numbers"),
    ],
)
def test_a_column_that_tells_the_target_is_warned_of(values, y, kind):
    (sentence,) = leaks(values, y, kind)
    assert sentence.startswith("x: tells y exactly in every row")
    assert sentence.endswith("leave it out (--leave-out x).")


@pytest.mark.parametrize(
    ("values", "y", "kind"),
    [
        ([0.5, 1.5, -2.0, 3.9], [[each] for each in Y], "numbers"),
        ([5, 5, 5, 5], [[each] for each in Y], "numbers"),
        ([0.5, 1.5, -2.0, np.nan], [[each] for each in Y], "numbers"),
        ([0, 1, 2, 3], CLASSES, "texts"),
        ([0, 1, 1, 0], CLASSES, "texts"),
        ([0, 1, 2, 2], CLASSES, "texts"),
        (Y, [[each] for each in Y], "left out"),
    ],
)
def test_other_columns_are_not(values, y, kind):
    assert leaks(values, y, kind) == []


@pytest.mark.filterwarnings("error")
def test_one_of_several_targets():
    column = Column("x", "numbers", np.array(Y)[:, None])
    y = torch.tensor([[1.0, 2.0, 2.0, 3.0], Y]).T
    (sentence,) = warn_of_leaks([column], y, ["a", "b"])
    assert "tells b exactly" in sentence
