import pytest
import torch

from hinged import errors
from hinged.lab import data
from hinged.lab.data.cross_validation import cross_validation_fold
from hinged.lab.data.data_set import DataSet
from hinged.lab.experiment.settings import TableSettings
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


@pytest.fixture
def messy(tmp_path):
    """Loads a table of 60 rows, 3 for each customer, in which texts and numbers have gaps."""
    pytest.importorskip("pyarrow")
    rows = [
        f"{i},{i // 3},{'' if i % 9 == 0 else i * i},{'abc'[i % 3] if i % 7 else ''},{i / 4}"
        for i in range(60)
    ]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(["day,customer,age,colour,y", *rows]))

    def load(**settings):
        return data.load_data_set(str(path), table=TableSettings(**settings))

    return load


def rows_of(part):
    return part.source.train.tolist(), part.source.test.tolist()


def test_folds_of_a_table_learn_medians_and_scale_from_their_training_rows(messy):
    whole = messy()
    tested = []
    for number in range(5):
        part = cross_validation_fold(whole, number, 5)
        train, test = rows_of(part)
        tested += test
        assert sorted(train + test) == list(range(60))
        age = torch.tensor([float("nan") if i % 9 == 0 else i * i for i in train]).double()
        filled = age.nan_to_num(age.nanquantile(0.5).item())
        expected = (filled - filled.mean()) / filled.std()
        torch.testing.assert_close(part.x_train[:, 2], expected.float())
        assert (
            part.about
            == f"60 rows of 4 columns, 8 inputs, regression; fold {number + 1} of 5 to test on"
        )
        assert part.notes == whole.notes
        y = part.target_scale.to_units(part.y_test).flatten()
        torch.testing.assert_close(y, torch.tensor(test).double() / 4, rtol=1e-5, atol=1e-5)
    assert sorted(tested) == list(range(60))


def test_folds_of_groups_and_times(messy):
    groups, times = messy(split="group:customer"), messy(split="time:day")
    for number in range(4):
        train, test = rows_of(cross_validation_fold(groups, number, 4))
        assert not {i // 3 for i in train} & {i // 3 for i in test}
        train, test = rows_of(cross_validation_fold(times, number, 4))
        assert max(train) < min(test)


def test_a_fold_with_nothing_to_learn_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    rows = [f"{i},{'late' if i > 20 else 'early'}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["day,y", *rows]))
    settings = {"split": "time:day", "leave_out": ()}
    with pytest.raises(errors.DataError, match="no input columns"):
        data.load_data_set(f"{tmp_path / 't.csv'}", table=TableSettings(**settings))
    rows = [f"{i},{i % 7},{'late' if i > 20 else 'early'}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["day,a,y", *rows]))
    whole = data.load_data_set(f"{tmp_path / 't.csv'}", table=TableSettings(**settings))
    with pytest.raises(errors.DataError, match="`fold 1`: got a train split with one class only"):
        cross_validation_fold(whole, 0, 4)


def test_classes_that_are_in_the_test_split_alone_are_named(tmp_path):
    pytest.importorskip("pyarrow")
    rows = [f"{i},{i * i},{'ab'[i % 2] if i < 40 else 'c'}" for i in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["day,a,y", *rows]))
    whole = data.load_data_set(str(tmp_path / "t.csv"), table=TableSettings(split="time:day"))
    sentence = "Classes that test rows have, and no training row: c."
    assert not any(map(str.startswith, whole.notes.warnings, [sentence]))
    folds = [cross_validation_fold(whole, number, 3) for number in range(3)]
    named = [any(each.startswith(sentence) for each in fold.notes.warnings) for fold in folds]
    assert named == [False, True, False]
