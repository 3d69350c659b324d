"""The checks of scikit-learn for both estimators."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from hinged.sklearn import MLPClassifier, MLPRegressor


@pytest.mark.slow
@parametrize_with_checks(
    [
        MLPRegressor((8,), max_iter=25, learning_rate_init=0.02),
        MLPClassifier((8,), max_iter=8, learning_rate_init=0.02, tol=0.01),
    ]
)
def test_check_of_scikit_learn(estimator, check):
    check(estimator)
