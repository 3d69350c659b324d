"""Columns that are not numbers are named in the error."""

import datetime

import numpy as np
import pytest

from hinged import errors
from hinged.sklearn import MLPClassifier, MLPRegressor

pyarrow = pytest.importorskip("pyarrow")

NUMBERS = np.arange(20.0)
DAYS = [datetime.date(2024, 1, 1 + day) for day in range(20)]
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}


@pytest.mark.parametrize("estimator", [MLPRegressor(**SMALL), MLPClassifier(**SMALL)])
def test_columns_of_texts_and_dates_are_named(estimator):
    columns = {"age": NUMBERS, "city": ["Oslo", "Rome"] * 10, "since": DAYS}
    expected = (
        f"`{type(estimator).__name__}`: got columns that are not numbers: city ('Oslo'), "
        "since ('2024-01-01'); make numbers of them in a pipeline, texts for example with "
        "OneHotEncoder."
    )
    with pytest.raises(errors.ArgumentError) as caught:
        estimator.fit(pyarrow.table(columns), NUMBERS > 9)
    assert str(caught.value) == expected


def test_the_first_value_that_is_no_number_is_shown():
    table = pyarrow.table({"dose": ["10", "2.5", "3 mg", "x"] * 5})
    with pytest.raises(errors.ArgumentError, match=r"dose .'3 mg'.;"):
        MLPRegressor(**SMALL).fit(table, NUMBERS)


def test_five_columns_are_named():
    table = pyarrow.table({f"c{number}": ["a"] * 20 for number in range(7)})
    with pytest.raises(errors.ArgumentError, match=r"c4 .'a'. and 2 more;"):
        MLPRegressor(**SMALL).fit(table, NUMBERS)


def test_columns_of_texts_are_named_in_predictions():
    model = MLPRegressor(**SMALL).fit(pyarrow.table({"age": NUMBERS}), NUMBERS)
    with pytest.raises(errors.ArgumentError, match=r"not numbers: age .'old'."):
        model.predict(pyarrow.table({"age": ["old"]}))


def test_other_names_of_columns_are_an_error_of_scikit_learn():
    model = MLPRegressor(**SMALL).fit(pyarrow.table({"age": NUMBERS}), NUMBERS)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(pyarrow.table({"age": NUMBERS, "city": ["Oslo"] * 20}))


def test_missing_numbers_are_an_error_of_scikit_learn():
    table = pyarrow.table({"age": pyarrow.array([1.0, None] * 10)})
    with pytest.raises(ValueError, match="contains NaN"):
        MLPRegressor(**SMALL).fit(table, NUMBERS)


@pytest.mark.parametrize("kind", [list, np.array, lambda y: np.array(y, object)])
def test_texts_as_targets_of_a_regressor_point_to_the_classifier(kind):
    hint = r"got targets that are not numbers: 'a'; MLPClassifier predicts classes"
    with pytest.raises(errors.ArgumentError, match=hint):
        MLPRegressor().fit(np.ones((4, 2)), kind(["1", "a", "b", "a"]))
