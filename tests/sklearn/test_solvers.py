"""Tests of the training methods of the estimators."""

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.utils.estimator_checks import check_sample_weight_equivalence_on_dense_data

from hinged import errors, optim
from hinged.nn import PiecewiseLinear
from hinged.sklearn import MLPClassifier, MLPRegressor
from hinged.sklearn.losses import squared_error
from hinged.sklearn.members import Task
from hinged.sklearn.samples import make_samples
from hinged.sklearn.solvers.adam import Adam
from hinged.sklearn.solvers.second_order import SecondOrder
from hinged.sklearn.split import Split
from tests.sklearn.tables import class_table, regression_table

SOLVERS = ("lbfgs", "owo-molf", "lm")


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_solver_without_batches_trains(solver):
    X, y = regression_table()
    model = MLPRegressor((30,), solver=solver, max_iter=30, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert model.best_loss_ == min(model.validation_losses_)
    X, y = class_table()
    model = MLPClassifier((30,), solver=solver, max_iter=30, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.8
    assert model.predict_proba(X).max(axis=1).mean() > 0.6


@pytest.mark.parametrize("estimator", [MLPRegressor, MLPClassifier])
def test_a_row_with_weight_2_is_two_rows_without_batches(estimator):
    """scikit-learn's own perceptrons pass this check of scikit-learn with such solvers only."""
    model = estimator((5,), solver="lbfgs", max_iter=5, random_state=0)
    check_sample_weight_equivalence_on_dense_data(estimator.__name__, model)


def test_second_order_training_is_that_of_hinged_optim():
    X, y = regression_table()
    model = MLPRegressor((6,), solver="owo-molf", max_iter=5, random_state=0, early_stopping=False)
    model.fit(X, y)
    inputs = (X - model.input_center_) / model.input_scale_
    targets = (y[:, None] - model.target_mean_) / model.target_scale_
    x, t = torch.from_numpy(inputs), torch.from_numpy(targets)
    seed = np.random.RandomState(0).randint(2**31 - 1, size=1)
    torch.manual_seed(int(seed[0]))
    network = optim.MLP(3, 6, 1, PiecewiseLinear(6), dtype=torch.float32).double()
    optim.net_control(network, x)
    history = optim.fit(network, x, t, "owo-molf", epochs=5)
    assert model.loss_curve_ == pytest.approx([error / 2 for error in history.error])
    predicted = model.target_mean_ + model.target_scale_ * network(x).detach().numpy()
    assert model.predict(X) == pytest.approx(predicted[:, 0])


def test_a_step_to_infinite_numbers_is_refused_in_words():
    random = np.random.default_rng(0)
    X, y = 1e150 * random.normal(size=(100, 3)), random.normal(size=100)
    model = MLPRegressor((5,), solver="lm", standardize=False, max_iter=3, random_state=0)
    with pytest.raises(errors.ArgumentError, match="the step was undone"):
        model.fit(X, y)


@pytest.mark.parametrize("method", ["owo-molf", "lm"])
def test_second_order_training_on_a_sparse_table_is_that_on_the_dense_one(method, monkeypatch):
    X, y = regression_table()
    X = np.where(np.abs(X) < 0.3, 0, X)
    monkeypatch.setattr("hinged.sklearn.solvers.second_order.BATCH_ROWS", 50)
    losses = []
    for table in (X, sparse.csr_matrix(X)):
        torch.manual_seed(0)
        samples = make_samples(table, y[:, None], np.ones(len(y)))
        solver = SecondOrder(optim.MLP(3, 5, 1, PiecewiseLinear(5)), method, samples)
        split = Split.without_held_out(samples, 1)
        losses.append([solver.iterate(split) for _ in range(3)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-9)


@pytest.mark.parametrize("solver", ["adam", "owo-molf"])
def test_the_training_rows_of_a_sparse_table_stay_sparse(solver, monkeypatch):
    X, y = regression_table()
    X = np.where(np.abs(X) < 0.3, 0, X)
    tables, solver_of = [], Task.solver

    def keep_table(task, starts, split, smoothing):
        tables.append(split.training_of(0).inputs)
        return solver_of(task, starts, split, smoothing)

    monkeypatch.setattr(Task, "solver", keep_table)
    model = MLPRegressor((5,), solver=solver, max_iter=3, standardize=False, random_state=0)
    dense, thin = (model.fit(table, y).predict(X) for table in (X, sparse.csr_matrix(X)))
    assert thin == pytest.approx(dense, abs=1e-4)
    assert [sparse.issparse(table) for table in tables] == [False, True]
    assert tables[1].shape == tuple(tables[0].shape) < X.shape


def test_what_a_second_order_method_cannot_do_is_refused_in_words():
    X, y = regression_table()
    weights = np.linspace(1, 2, len(y))
    with pytest.raises(errors.ArgumentError, match="weights all rows alike"):
        MLPRegressor((4,), solver="lm").fit(X, y, sample_weight=weights)
    with pytest.raises(errors.ArgumentError, match="needs one class for each row"):
        MLPClassifier((4,), solver="lm").fit(X, (X > 0).astype(int))


def test_the_penalty_pulls_weights_and_neither_biases_nor_curves():
    """Without a gradient of the loss, only the penalty moves the parameters."""
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), PiecewiseLinear(3), torch.nn.Linear(3, 1))
    samples = make_samples(np.ones((8, 2)), np.zeros((8, 1)), np.ones(8))
    samples = samples.to(torch.device("cpu"), torch.float32)
    before = {name: each.detach().clone() for name, each in network.named_parameters()}
    solver = Adam(
        network,
        lambda outputs, targets: 0 * squared_error(outputs, targets),
        8,
        lr=0.01,
        alpha=100.0,
        smoothing=0.03,
        batch_size=8,
        order=None,
    )
    solver.iterate(Split.without_held_out(samples, 1))
    for name, parameter in network.named_parameters():
        is_weight = name in ("0.weight", "2.weight")
        moved = (parameter.abs() < before[name].abs()).all()
        assert moved if is_weight else torch.equal(parameter, before[name]), name


def test_a_training_that_diverges_is_refused_in_words():
    X, y = regression_table()
    model = MLPRegressor((4,), activation="identity", learning_rate_init=1e30, max_iter=20)
    with pytest.raises(errors.ArgumentError, match="lower learning_rate_init"):
        model.fit(X, y)
