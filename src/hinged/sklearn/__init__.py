"""Estimators for tables with the face of scikit-learn's multilayer perceptrons.

The estimators need scikit-learn; `pip install 'hinged[sklearn]'` installs it.

>>> from sklearn.datasets import load_diabetes
>>> from hinged.sklearn import MLPRegressor
>>> X, y = load_diabetes(return_X_y=True)
>>> model = MLPRegressor(max_iter=20, random_state=0).fit(X[:300], y[:300])
>>> model.score(X[300:], y[300:]) > 0.4
True
"""

from hinged import errors

errors.require_extra("sklearn", ["scipy", "sklearn"])

from hinged.sklearn.classifier import MLPClassifier as MLPClassifier  # noqa: E402
from hinged.sklearn.regressor import MLPRegressor as MLPRegressor  # noqa: E402
