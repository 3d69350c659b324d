import numpy as np
import pytest

from hinged import errors
from hinged.lab.data.row_division import GroupDivision, TimeDivision

GENERATOR = np.random.default_rng(0)
GROUPS = GroupDivision("customer", GENERATOR.integers(0, 40, 300))
TIMES = TimeDivision("day", GENERATOR.integers(0, 60, 300) / 2)
LABELS = GENERATOR.integers(0, 2, 300)
ROWS = GENERATOR.permutation(300)[:200]


def check(division, parts, rows):
    """No row is lost or used twice, and no group or time is on both sides."""
    train, test = (division.keys[part] for part in parts)
    assert sorted([*parts[0], *parts[1]]) == sorted(rows)
    assert not set(train) & set(test) and len(train) and len(test)
    if division is TIMES:
        assert train.max() < test.min()


@pytest.mark.parametrize("division", [GROUPS, TIMES])
def test_rows_that_belong_together_are_on_one_side(division):
    divided = division.divide()
    check(division, divided, range(300))
    assert 0.2 < len(divided.test) / 300 < 0.4
    assert np.array_equal(divided.test, division.divide().test)


@pytest.mark.parametrize("labels", [None, LABELS[ROWS]])
def test_folds_of_groups(labels):
    folds = GROUPS.folds(ROWS, labels, 5)
    for fold in folds:
        check(GROUPS, fold, ROWS)
    assert sorted(np.concatenate([fold.test for fold in folds])) == sorted(ROWS)


def test_folds_in_time_train_on_the_past():
    folds = TIMES.folds(ROWS, None, 4)
    ends = [TIMES.keys[fold.test].max() for fold in folds]
    assert ends == sorted(ends) and ends[-1] == TIMES.keys[ROWS].max()
    for train, test in folds:
        assert TIMES.keys[train].max() < TIMES.keys[test].min()
        assert set(train) | set(test) <= set(ROWS)
    check(TIMES, folds[-1], ROWS)


@pytest.mark.parametrize("division", [GROUPS, TIMES])
def test_validation_rows_are_whole_groups_or_the_latest(division):
    held_out = division.held_out(ROWS, 0.2, seed=3)
    check(division, (ROWS[~held_out], ROWS[held_out]), ROWS)
    assert 0.1 < held_out.mean() < 0.3
    other = division.held_out(ROWS, 0.2, seed=4)
    assert np.array_equal(held_out, other) == (division is TIMES)


def test_many_rows_of_one_time_stay_together():
    division = TimeDivision("day", np.array([0, 1, 1, 1, 1, 1]))
    assert division.divide().train.tolist() == [0]
    assert division.about == "the last 83 % in the order of day to test on"


@pytest.mark.parametrize("kind", [GroupDivision, TimeDivision])
def test_too_few_groups_or_times(kind):
    same = kind("c", np.zeros(9))
    for divide, setting in (
        (same.divide, "table.split"),
        (lambda: same.held_out(np.arange(9), 0.5, 0), "training.validation"),
        (lambda: same.folds(np.arange(9), None, 3), "folds"),
    ):
        with pytest.raises(errors.ArgumentError, match=f"`{setting}`: got only 1 value of c"):
            divide()


@pytest.mark.parametrize("labels", [np.arange(200) == 7, np.arange(200) // 2])
def test_folds_of_groups_with_classes_of_few_rows(labels):
    folds = GROUPS.folds(ROWS, labels.astype(int), 5)
    assert sorted(np.concatenate([fold.test for fold in folds])) == sorted(ROWS)


def test_one_group_at_least_is_trained_on():
    held_out = GROUPS.held_out(ROWS, 0.999, seed=0)
    check(GROUPS, (ROWS[~held_out], ROWS[held_out]), ROWS)
    assert len(set(GROUPS.keys[ROWS[~held_out]])) == 1
