import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.data.cross_validation import cross_validation_fold
from hinged.lab.data.data_set import DataSet
from hinged.lab.problems import Classification, Regression


def numbered(n, classes=None):
    """A data set with the row number as its only input."""
    x = torch.arange(float(n))[:, None]
    y = torch.arange(n) % classes if classes else 2 * x
    cut = n // 3
    problem = Classification(classes) if classes else Regression(1)
    return DataSet("numbered", "n rows; some to test", x[cut:], y[cut:], x[:cut], y[:cut], problem)


@pytest.mark.parametrize("folds", [2, 3, 10])
def test_every_row_is_tested_once(folds):
    whole = numbered(41)
    tested, sizes = [], []
    for number in range(folds):
        part = cross_validation_fold(whole, number, folds)
        assert len(part.x_train) + len(part.x_test) == 41
        both = torch.cat((part.x_train, part.x_test)).flatten()
        order = both.argsort().argsort()
        tested += order[len(part.x_train) :].tolist()
        sizes.append(len(part.x_test))
    assert sorted(tested) == list(range(41))
    assert max(sizes) - min(sizes) <= 1


def test_classes_keep_their_shares_and_images_their_pixels():
    whole = data.load_data_set("digits")
    part = cross_validation_fold(whole, 3, 10)
    assert part.x_train.dtype == torch.uint8 and part.y_test.bincount().min() >= 17
    assert not torch.equal(part.mean, whole.mean)


def test_folds_are_scaled_by_their_training_split():
    part = cross_validation_fold(data.load_data_set("diabetes"), 1, 10)
    for scaled in (part.x_train, part.y_train):
        assert scaled.mean(dim=0).abs().max() < 1e-6
        torch.testing.assert_close(scaled.std(dim=0), torch.ones(scaled.shape[1]))
    assert part.x_test.mean().abs() > 1e-4


def test_a_fold_knows_the_units_of_its_targets():
    whole = data.load_data_set("diabetes")
    raw = whole.target_scale.to_units(torch.cat((whole.y_train, whole.y_test))).flatten()
    part = cross_validation_fold(whole, 1, 10)
    found = part.target_scale.to_units(torch.cat((part.y_train, part.y_test))).flatten()
    torch.testing.assert_close(found.sort().values, raw.sort().values, rtol=1e-5, atol=1e-4)


def test_the_folds_are_the_same_every_time():
    whole = data.load_data_set("diabetes")
    first, again, other = (
        cross_validation_fold(whole, 0, 5),
        cross_validation_fold(whole, 0, 5),
        cross_validation_fold(whole, 1, 5),
    )
    assert torch.equal(first.x_test, again.x_test)
    assert not torch.equal(first.x_test, other.x_test)
    assert other.about == "442 rows of 10 columns, regression; fold 2 of 5 to test on"


@pytest.mark.parametrize("classes, least", [(None, 8), (2, 4)])
def test_more_folds_than_samples_are_rejected(classes, least):
    with pytest.raises(errors.ArgumentError, match=f"at most {least}"):
        cross_validation_fold(numbered(8, classes), 0, 9)
