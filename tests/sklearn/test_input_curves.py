"""Curves of columns, and constraints on how predictions depend on a column."""

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone

from hinged import errors
from hinged.curve import Curve
from hinged.model import Histogram
from hinged.sklearn import MLPClassifier, MLPRegressor
from hinged.sklearn.feature_shapes import FeatureShape
from hinged.sklearn.input_curves import InputCurves
from hinged.sklearn.ordered_layers import (
    OrderedLinear,
    WeightSigns,
    evaluate_in_order,
    sigmoid_in_order,
)
from hinged.sklearn.samples import Samples
from tests.sklearn.tables import regression_table

SETTINGS = {
    "hidden_layer_sizes": (6, 6),
    "max_iter": 6,
    "random_state": 0,
    "input_curves": True,
}
LIMITS = {0: 1, 1: -1}


def wavy_table(rows=120, seed=0):
    """Return a table whose target both rises and falls in every column."""
    X = np.random.RandomState(seed).uniform(-2, 2, (rows, 3))
    return X, np.sin(4 * X[:, 0]) + np.cos(3 * X[:, 1]) * X[:, 2]


def with_names(X):
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame(X, columns=["age", "price", "size"])


def on_grid(predict, column, lines=1, points=5000):
    """Return predictions on lines along a column, `(lines, points)`, the other columns fixed."""
    rows = np.repeat(np.random.RandomState(1).uniform(-2, 2, (lines, 3)), points, axis=0)
    rows[:, column] = np.tile(np.linspace(-9, 9, points), lines)
    return predict(rows).reshape(lines, points)


def check_limits(predict, lines=1):
    rising, falling = on_grid(predict, 0, lines), on_grid(predict, 1, lines)
    assert (np.diff(rising) >= 0).all() and (np.diff(falling) <= 0).all()
    assert np.ptp(rising) > 0 and np.ptp(falling) > 0


@pytest.mark.slow
def test_predictions_are_monotone_at_100_000_points_without_a_tolerance():
    X, y = wavy_table()
    free = MLPRegressor(**SETTINGS).fit(X, y)
    assert (np.diff(on_grid(free.predict, 0)) < 0).any()
    model = MLPRegressor(**SETTINGS, monotone=LIMITS).fit(X, y)
    check_limits(model.predict, lines=20)
    assert (np.diff(on_grid(model.predict, 2)) < 0).any()


@pytest.mark.slow
def test_probabilities_of_the_second_class_are_monotone():
    X, y = wavy_table()
    labels = np.where(y > 0, "yes", "no")
    settings = {**SETTINGS, "class_weight": "balanced", "early_stopping": False}
    model = MLPClassifier(**settings, monotone=LIMITS, n_ensemble=2).fit(X, labels)
    probabilities = model.predict_proba(X)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(len(X)))
    assert (model.predict(X) == model.classes_[probabilities.argmax(axis=1)]).all()
    check_limits(lambda rows: model.predict_proba(rows)[:, 1])
    rising = on_grid(lambda rows: model.predict(rows) == "yes", 0)
    assert (np.diff(rising.astype(int)) >= 0).all()


@pytest.mark.slow
def test_a_monotone_column_still_interacts_with_others():
    random = np.random.RandomState(0)
    X = random.uniform(-1, 1, (200, 2))
    y = (X[:, 0] + 1) * np.exp(X[:, 1])
    settings = {**SETTINGS, "max_iter": 30, "learning_rate_init": 0.03}
    model = MLPRegressor(**settings, monotone={0: 1}).fit(X, y)
    assert model.score(X, y) > 0.95
    low, high = model.predict([[-0.9, -0.9], [0.9, -0.9]]), model.predict([[-0.9, 0.9], [0.9, 0.9]])
    assert np.diff(high) > 2 * np.diff(low)


@pytest.mark.slow
def test_constraints_outlast_copies_files_and_further_training(tmp_path):
    X, y = wavy_table()
    weights = np.random.RandomState(0).uniform(0.5, 2, len(y))
    model = MLPRegressor(**SETTINGS, monotone=LIMITS, warm_start=True).fit(X, y, weights)
    model.save(tmp_path / "model.safetensors")
    copies = [
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        MLPRegressor.load(tmp_path / "model.safetensors"),
    ]
    for each in copies:
        assert (each.predict(X) == model.predict(X)).all()
    assert clone(copies[-1]).get_params() == model.get_params()
    check_limits(copies[-1].fit(X, y).predict)
    copies[0].partial_fit(X, y).partial_fit(X, y)
    check_limits(copies[0].predict)
    with pytest.raises(errors.ArgumentError, match="other layers, constraints"):
        copies[0].set_params(monotone={0: -1}).fit(X, y)


@pytest.mark.slow
def test_columns_are_named_or_numbered():
    X, y = wavy_table()
    table = with_names(X)
    numbered = MLPRegressor(**SETTINGS, monotone=LIMITS).fit(X, y)
    named = MLPRegressor(**SETTINGS, monotone={"price": -1, "age": 1}).fit(table, y)
    assert (named.predict(table) == numbered.predict(X)).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"monotone": {"aeg": 1}}, "got 'aeg'; .*age"),
        ({"monotone": {3: 1}}, "got column 3; expected a number from 0 to 2 or a name"),
        ({"monotone": {-1: 1}}, "got column -1"),
        ({"monotone": {"age": 2}}, "got 2 for column 'age'; expected 1 .*never fall"),
        ({"monotone": {"age": True}}, "got True for column 'age'"),
        ({"monotone": {"age": "up"}}, "got 'up' for column 'age'"),
        ({"monotone": [1, 0, 0]}, "expected a dict"),
        ({"monotone": {"age": 1, 0: -1}}, "two different signs for column 0"),
        ({"convex": {"age": 1}, "bounded": ["age"]}, "'age' in bounded and in convex"),
        ({"bounded": "age"}, "expected a list of columns"),
        ({"bounded": [["age"]]}, "got column .'age'."),
        ({"bounded": ["aeg"]}, "got 'aeg'; .*age"),
        ({"monotone": {"age": 1}, "input_curves": False}, "set input_curves=True"),
        ({"bounded": ["age"], "input_curves": False}, "set input_curves=True"),
        ({"monotone": {"age": 1}, "activation": "gelu"}, "only activation='hinged'"),
        ({"convex": {"age": 1}, "solver": "lbfgs"}, "only solver='adam'"),
        ({"solver": "lm", "hidden_layer_sizes": (5,)}, "without curves of columns"),
        ({"monotone": {"age": 1}, "hidden_layer_sizes": (1,)}, "a layer of 1 units with 2 kinds"),
        ({"input_curves": "yes"}, "expected True or False"),
    ],
)
def test_what_is_not_valid_is_refused_in_words(arguments, words):
    X, y = regression_table(20)
    table = with_names(X)
    with pytest.raises(errors.ArgumentError, match=words):
        MLPRegressor(**{**SETTINGS, **arguments}).fit(table, y)


def test_probabilities_are_monotone_only_with_two_classes():
    X, y = wavy_table()
    model = MLPClassifier(**SETTINGS, monotone={0: 1})
    with pytest.raises(errors.ArgumentError, match="got 3 classes; monotone"):
        model.fit(X, np.digitize(y, [-0.5, 0.5]))
    with pytest.raises(errors.ArgumentError, match="got several labels"):
        model.fit(X, np.stack([y > 0, y > 1], axis=1).astype(int))


@pytest.mark.slow
@pytest.mark.parametrize("sign", [1, -1])
def test_predictions_are_convex_or_concave(sign):
    X, _ = wavy_table()
    model = MLPRegressor(**SETTINGS, convex={0: sign}, monotone={1: -1, 0: 0})
    model.fit(X, sign * (X[:, 0] ** 2 - X[:, 1] * X[:, 2]))
    bends = sign * np.diff(on_grid(model.predict, 0), n=2)
    assert bends.min() > -1e-12 and bends.max() > 1e-4
    assert (np.diff(on_grid(model.predict, 1)) <= 0).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("center", "spread", "kind"),
    [(0, 1, np.array), (1000, 1, np.array), (1000, 0, np.array), (1000, 1, sparse.csr_array)],
)
def test_predictions_stay_the_same_outside_the_range_of_a_bounded_column(center, spread, kind):
    X, y = wavy_table()
    X[:, 0] = center + spread * X[:, 0]
    settings = {"bounded": [0], "monotone": {0: 1}, "standardize": False, "max_iter": 2}
    model = MLPRegressor(**{**SETTINGS, **settings}).fit(kind(X), y)
    ends = [[X[:, 0].min(), 0, 0], [X[:, 0].max(), 0, 0]]
    beyond = [[-5000, 0, 0], [5000, 0, 0]]
    assert (model.predict(kind(beyond)) == model.predict(kind(ends))).all()


@pytest.mark.parametrize("arguments", [{"solver": "lbfgs"}, {"activation": "relu"}])
def test_curves_without_limits_work_with_other_solvers_and_activations(arguments):
    X, y = regression_table()
    assert MLPRegressor(**{**SETTINGS, "max_iter": 15, **arguments}).fit(X, y).score(X, y) > 0.5


def test_without_hidden_layers_each_prediction_is_a_sum_of_curves():
    X, y = regression_table()
    model = MLPRegressor(**{**SETTINGS, "hidden_layer_sizes": ()}, monotone={1: 1}).fit(X, y)
    at = model.predict([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]])
    assert at[0] + at[1] == pytest.approx(at[2] + at[3])


def test_hinges_are_where_the_numbers_of_a_column_are():
    random = np.random.RandomState(0)
    columns = [np.full(500, 7.0), random.randint(0, 2, 500), np.exp(3 * random.randn(500))]
    inputs = torch.tensor(np.stack(columns, axis=1), dtype=torch.float32)
    layer = InputCurves([FeatureShape(), FeatureShape(bounded=1), FeatureShape()], 9)
    layer.place_hinges(Samples(inputs, torch.zeros(500), torch.ones(500)))
    constant, flags, skewed = (
        curve.hinges[0] if curve.hinges.dim() > 1 else curve.hinges for curve in layer.curves()
    )
    assert constant.mean() == pytest.approx(7, abs=1e-5)
    assert (flags[0], flags[-1]) == (0, 1)
    middle = np.median(columns[2])
    assert skewed[0] < middle < skewed[-1] < columns[2].max()
    x = torch.randn(4, 3)
    assert torch.equal(layer(x)[:, [0, 2]], x[:, [0, 2]])


def test_the_ends_of_bounded_columns_are_those_of_all_rows():
    inputs = torch.rand(30_000, 2, dtype=torch.float64)
    inputs[4], inputs[7] = -5, 5
    layer = InputCurves([FeatureShape(bounded=1), FeatureShape()], 5).double()
    for table in (inputs, sparse.csr_array(inputs.numpy())):
        layer.place_hinges(Samples(table, torch.zeros(30_000), torch.ones(30_000)))
        bounded, free = (curve.hinges for curve in layer.curves())
        assert (bounded[0], bounded[-1]) == (-5, 5)
        assert free[0] > 0 and free[-1] < 1


def test_the_largest_numbers_have_finite_predictions_in_order():
    X, y = wavy_table()
    model = MLPRegressor(**{**SETTINGS, "max_iter": 2}, monotone={0: 1}).fit(X / 10, y)
    rows = np.zeros((5, 3))
    rows[:, 0] = [-1.7e308, -1e300, 0, 1e300, 1.7e308]
    for table in (rows, sparse.csr_array(rows)):
        predicted = model.predict(table)
        assert np.isfinite(predicted).all() and (np.diff(predicted) >= 0).all()


def test_curves_never_fall_between_neighbouring_numbers():
    torch.manual_seed(0)
    hinges = torch.randn(50, 9, dtype=torch.float64).sort().values
    values = torch.randn(50, 9, dtype=torch.float64).sort().values
    curve = Curve(hinges, values)
    up, down = torch.full_like(hinges, torch.inf), torch.full_like(hinges, -torch.inf)
    steps = [hinges]
    for _ in range(4):
        steps = [torch.nextafter(steps[0], down), *steps, torch.nextafter(steps[-1], up)]
    x = torch.stack(steps)
    y = torch.stack([evaluate_in_order(x[:, :, k], curve) for k in range(9)])
    assert (y.diff(dim=1) >= 0).all()
    anywhere = 3 * torch.randn(200, 50, dtype=torch.float64)
    assert evaluate_in_order(anywhere, curve) == pytest.approx(curve(anywhere), abs=1e-12)


def test_equal_rows_have_equal_sums_at_every_place_in_a_batch():
    torch.manual_seed(0)
    free = torch.arange(40) < 20
    layer = OrderedLinear(WeightSigns(free.expand(7, 40), ~free.expand(7, 40))).double().eval()
    x = torch.randn(1, 40, dtype=torch.float64)
    many = layer(x.expand(101, 40)).detach()
    assert (many == layer(x)).all()
    assert many[0].tolist() == pytest.approx(layer.train()(x)[0].tolist())


def test_the_sigmoid_never_falls():
    starts = torch.linspace(-45, 45, 1001, dtype=torch.float64)
    steps = [starts]
    for _ in range(50):
        steps.append(torch.nextafter(steps[-1], torch.full_like(starts, torch.inf)))
    y = sigmoid_in_order(torch.stack(steps))
    assert (y.diff(dim=0) >= 0).all()
    assert y[0] == pytest.approx(starts.sigmoid(), rel=1e-9)


def test_histograms_show_all_numbers_of_a_bounded_column(monkeypatch):
    X, y = wavy_table()
    model = MLPRegressor(**{**SETTINGS, "max_iter": 1}, bounded=[2]).fit(X, y)
    seen, of = [], Histogram.of
    monkeypatch.setattr(Histogram, "of", lambda column: seen.append(column) or of(column))
    for table in (10 * X, sparse.csr_array(10 * X)):
        model.plot_input_curves(table)
    assert torch.stack(seen[:3], dim=1).numpy() == pytest.approx(10 * X)
    assert torch.stack(seen[3:], dim=1).numpy() == pytest.approx(10 * X)


@pytest.mark.slow
def test_a_picture_has_a_panel_for_each_column():
    X, y = wavy_table()
    table = with_names(1000 * X)
    model = MLPRegressor(**SETTINGS, monotone={"age": -1}, convex={"age": 1}, bounded=["size"])
    figure = model.fit(table, y).plot_input_curves(table)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ["age\nnever rises, convex", "price", "size\nbounded"]
    low, high = figure.axes[0].get_xlim()
    assert -3000 < low < -1500 and 1500 < high < 3000
    names = [axes.get_title().split("\n")[0] for axes in model.plot_activations(table).axes]
    assert names[:4] == [*(f"columns, group {n}" for n in (1, 2, 3)), "hidden layer 1, group 1"]
    with pytest.raises(errors.ArgumentError, match="fit with input_curves=True"):
        MLPRegressor((3,), max_iter=1).fit(X, y).plot_input_curves()
