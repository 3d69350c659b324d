from dataclasses import replace

import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.data.data_set import scale_split
from hinged.lab.data.train_test_split import (
    TrainTestSplit,
    check_split,
    split_at_random,
    subset_rows,
    take_subset,
)
from hinged.lab.problems import Classification, Regression

GOOD = TrainTestSplit(
    "four flowers",
    torch.randn(4, 3),
    torch.tensor([0, 1, 0, 1]),
    torch.randn(2, 3),
    torch.tensor([1, 0]),
    Classification(2),
)


def test_good_splits_pass():
    assert check_split("mine", GOOD) is GOOD


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_train": torch.tensor([0, 2, 0, 1])},
            "labels from 0 to 2; class indices of 2 classes are",
        ),
        ({"y_test": torch.tensor([-1, 0])}, "a test split with labels from -1 to 0"),
        ({"y_train": torch.zeros(3)}, "4 inputs and 3 targets"),
        ({"x_test": torch.zeros(0, 3), "y_test": torch.zeros(0)}, "0 inputs and 0 targets"),
        ({"y_train": torch.zeros(4, 1)}, "labels of shape (4, 1); give one class index per sample"),
        (
            {"x_train": torch.tensor([[1, 2, torch.nan], [torch.inf, 0, 0], [1, 1, 1], [1, 1, 1]])},
            "NaN or infinite values in column 0, 2 of sample 0, 1 (counted from 0); replace",
        ),
        (
            {
                "y_train": torch.zeros(4, 1),
                "y_test": torch.tensor([[1.0], [torch.nan]]),
                "problem": Regression(1),
            },
            "NaN or infinite values in target 0",
        ),
        ({"problem": Regression(1)}, "targets of shape (4,); give (samples, 1)"),
        ({"y_train": torch.tensor([1, 1, 1, 1])}, "a train split with one class only; give"),
        (
            {
                "y_train": torch.tensor([[1.0, 3.5], [2.0, 3.5], [3.0, 3.5], [4.0, 3.5]]),
                "y_test": torch.tensor([[1.0, 3.5], [2.0, 3.5]]),
                "problem": Regression(2),
            },
            "a train split in which target 1 (always 3.5) is constant (counted from 0); there is",
        ),
        (
            {
                "y_train": torch.tensor([[1.0], [2.0], [3.0], [4.0]]),
                "y_test": torch.ones(2, 1),
                "problem": Regression(1),
            },
            "a test split with equal targets; R2 needs",
        ),
    ],
)
def test_unsuitable_splits_get_one_sentence(changes, message):
    with pytest.raises(errors.DataError) as refused:
        check_split("mine", replace(GOOD, **changes))
    assert message in str(refused.value) and str(refused.value).startswith("`mine`: got a t")


def test_a_test_split_of_one_class_passes():
    one = replace(GOOD, y_test=torch.tensor([1, 1]))
    assert check_split("mine", one) is one


def test_a_finished_data_set_is_checked_too():
    finished = replace(scale_split("mine", GOOD), x_test=torch.full((2, 3), torch.nan))
    with pytest.raises(errors.DataError, match="column 0, 1, 2 of sample 0, 1"):
        check_split("mine", finished)


def test_a_subset_keeps_the_shares_of_classes_and_is_part_of_larger_subsets():
    y = torch.cat([torch.zeros(700), torch.ones(200), torch.full((100,), 2.0)]).long()
    y = y[torch.randperm(1000)]
    seen = set()
    for size in (10, 57, 100, 500, 1000):
        rows = subset_rows(y, size, 3)
        assert len(rows.unique()) == size and (rows.diff() > 0).all()
        for label, share in enumerate((0.7, 0.2, 0.1)):
            assert abs((y[rows] == label).sum() - share * size) <= 1
        assert seen <= set(rows.tolist())
        seen = set(rows.tolist())


def test_a_subset_of_a_regression_is_random_but_always_the_same():
    y = torch.arange(100.0).unsqueeze(1)
    rows = subset_rows(y, 20, None)
    assert torch.equal(rows, subset_rows(y, 20, None)) and rows.max() > 50


def test_a_subset_of_a_data_set():
    whole, part = (
        data.load_data_set("digits"),
        data.load_data_set("digits", train_size=100, test_size=50),
    )
    assert len(part.x_train) == 100 and len(part.y_test) == 50
    assert part.digest != whole.digest
    assert part.about == whole.about + "; of these 100 to train on and 50 to test on"
    assert part.y_train.bincount().min() >= 9
    kept = {image.numpy().tobytes() for image in whole.x_train}
    assert {image.numpy().tobytes() for image in part.x_train} <= kept


@pytest.mark.parametrize("size", [1, 5])
def test_impossible_subset_sizes_are_rejected(size):
    with pytest.raises(
        errors.ArgumentError, match="choose a number from 2 to 4, the size of the split"
    ):
        take_subset(GOOD, size, None)


def test_a_class_with_a_single_sample_cannot_be_divided():
    with pytest.raises(errors.DataError, match="fewer than 2 samples of the class with index 1"):
        split_at_random("", torch.zeros(5, 1), torch.tensor([0, 0, 1, 0, 0]), 2)
