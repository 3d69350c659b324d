"""What both estimators do besides the checks of scikit-learn."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from inspect import signature

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import check_random_state

from hinged import errors
from hinged.nn.constraints import is_constrained
from hinged.sklearn import MLPClassifier, MLPRegressor, members, scaling, training
from hinged.sklearn.feature_shapes import FeatureShape
from hinged.sklearn.members import Task
from hinged.sklearn.network import FIXED_ACTIVATIONS, Architecture
from hinged.sklearn.packed_network import PackedNetwork
from hinged.sklearn.samples import make_samples
from hinged.sklearn.solvers.adam import Adam, _clip_gradients
from hinged.sklearn.split import Split
from tests.sklearn.tables import class_table, regression_table

SMALL = {"hidden_layer_sizes": (8,), "max_iter": 12, "random_state": 0, "learning_rate_init": 0.03}
BOTH = [MLPRegressor(**SMALL), MLPClassifier(**SMALL)]


def table_for(estimator):
    return regression_table() if isinstance(estimator, MLPRegressor) else class_table()


def outputs_of(estimator, X):
    is_classifier = isinstance(estimator, MLPClassifier)
    return estimator.predict_proba(X) if is_classifier else estimator.predict(X)


@pytest.mark.parametrize(
    ("ours", "theirs"), [(MLPRegressor, TheirRegressor), (MLPClassifier, TheirClassifier)]
)
def test_arguments_of_scikit_learn_are_there(ours, theirs):
    only_theirs = {"loss", "learning_rate", "power_t", "momentum", "nesterovs_momentum", "max_fun"}
    only_theirs |= {"beta_1", "beta_2", "epsilon"}
    assert set(theirs().get_params()) - set(ours().get_params()) <= only_theirs


def test_two_outputs_are_predicted_in_their_units():
    X, y = regression_table(outputs=2)
    y = y * [1, 1000] + [0, 5000]
    model = MLPRegressor(**SMALL).fit(X, y)
    assert model.predict(X).shape == y.shape
    assert model.score(X, y) > 0.7
    single = MLPRegressor(**SMALL).fit(X, y[:, :1].ravel())
    assert single.predict(X).shape == (len(X),)


def test_units_of_inputs_make_no_difference():
    X, y = regression_table()
    one = MLPRegressor(**SMALL).fit(X, y).predict(X)
    other = MLPRegressor(**SMALL).fit(1e6 * X - 1e7, y).predict(1e6 * X - 1e7)
    assert one == pytest.approx(other, rel=1e-3, abs=1e-3)
    raw = MLPRegressor(**SMALL, standardize=False).fit(1e6 * X, y)
    assert (raw.input_scale_ == 1).all() and (raw.input_center_ == 0).all()


@pytest.mark.parametrize("estimator", BOTH, ids=["regressor", "classifier"])
def test_copies_predict_alike_and_go_on(estimator):
    X, y = table_for(estimator)
    model = clone(estimator).fit(X, y)
    model.partial_fit(X, y)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert (outputs_of(other, X) == outputs_of(model, X)).all()
        before = other.loss_curve_[-1]
        assert other.partial_fit(X, y).loss_curve_[-1] == pytest.approx(before, rel=0.3)


@pytest.mark.parametrize("estimator", BOTH, ids=["regressor", "classifier"])
@pytest.mark.parametrize("standardize", [False, True])
def test_sparse_tables_give_the_same_predictions_as_dense_ones(estimator, standardize):
    X, y = table_for(estimator)
    X = np.where(np.abs(X) < 0.3, 0, X) + np.arange(X.shape[1])
    model = clone(estimator).set_params(standardize=standardize)
    dense, thin = clone(model).fit(X, y), clone(model).fit(sparse.csr_matrix(X), y)
    assert outputs_of(dense, X) == pytest.approx(outputs_of(thin, sparse.csr_array(X)), abs=1e-4)


@pytest.mark.parametrize("estimator", BOTH, ids=["regressor", "classifier"])
def test_large_sparse_tables_are_scaled_without_centring(estimator, monkeypatch):
    monkeypatch.setattr(scaling, "MOST_CENTRED", 0)
    X, y = table_for(estimator)
    X = np.where(np.abs(X) < 0.3, 0, X)
    model = clone(estimator).fit(sparse.csr_matrix(X), y)
    assert model.input_scale_ == pytest.approx(np.sqrt((X**2).mean(axis=0)))
    assert not model.input_center_.any() and model.score(X, y) > 0.6


def test_the_best_iteration_is_kept():
    X, y = regression_table()
    model = MLPRegressor(**SMALL).fit(X, y)
    assert model.n_iter_ == len(model.loss_curve_) == len(model.validation_losses_)
    assert model.best_iter_ == 1 + np.argmin(model.validation_losses_)
    assert model.best_loss_ == min(model.validation_losses_)
    again = clone(model).set_params(early_stopping=False).fit(X, y)
    assert again.validation_losses_ is None and again.best_iter_ == again.n_iter_


def test_a_training_that_no_longer_improves_ends():
    X, y = regression_table()
    settings = {**SMALL, "max_iter": 500}
    model = MLPRegressor(**settings, tol=10.0, n_iter_no_change=4).fit(X, y)
    assert model.n_iter_ == 1 + 4 + 4  # The first improves on infinity; then the rate falls.
    last = MLPRegressor(**settings, tol=10.0, n_iter_no_change=4, early_stopping=False).fit(X, y)
    assert last.n_iter_ == 1 + 4 + 4


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"monotone": {0: 1}}, {"monotone": {0: -1}}),
        ({"hidden_layer_sizes": (8,)}, {"hidden_layer_sizes": (9,)}),
        ({"n_ensemble": 2}, {"n_ensemble": 3}),
    ],
)
def test_partial_fit_refuses_other_networks_than_before(first, then):
    X, y = regression_table(20)
    model = MLPRegressor(**{**SMALL, "input_curves": True, **first}).partial_fit(X, y)
    with pytest.raises(errors.ArgumentError, match=r"partial_fit.*other layers, constraints"):
        model.set_params(**then).partial_fit(X, y)


def test_warm_start_goes_on_from_the_networks():
    X, y = regression_table()
    model = MLPRegressor(**{**SMALL, "max_iter": 20}, warm_start=True).fit(X, y)
    first = model.loss_curve_[0]
    model.set_params(learning_rate_init=1e-6).fit(X, y)
    assert model.loss_curve_[0] < 0.5 * first
    model.set_params(hidden_layer_sizes=(9,))
    with pytest.raises(errors.ArgumentError, match="other layers"):
        model.fit(X, y)


def test_partial_fit_trains_on_rows_that_come_in_parts():
    X, y = class_table(300)
    model = MLPClassifier((16,), random_state=0, learning_rate_init=0.03)
    with pytest.raises(errors.ArgumentError, match="the first call needs all classes"):
        model.partial_fit(X, y)
    for _ in range(10):
        for rows in np.array_split(np.argsort(y), 3):  # Each part has one or two classes.
            model.partial_fit(X[rows], y[rows], classes=["high", "low", "middle"])
    assert model.n_iter_ == len(model.loss_curve_) == 30
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    with pytest.raises(errors.ArgumentError, match=r"the classes \['huge'\]"):
        model.partial_fit(X[:1], ["huge"])
    with pytest.raises(AttributeError) as raised:
        MLPRegressor(solver="lm").partial_fit(X, X)
    assert "partial_fit needs solver='adam', and not 'lm'" in str(raised.value.__cause__)


def test_weights_and_class_weights_count():
    X, y = regression_table()
    weights = np.where(X[:, 0] > 0, 1.0, 0.0)
    left_out = MLPRegressor(**SMALL).fit(X, np.where(weights, y, 1e6), sample_weight=weights)
    assert left_out.score(X, y, sample_weight=weights) > 0.8
    X, y = class_table()
    heavy = MLPClassifier(**SMALL, class_weight={"low": 100.0, "middle": 1.0, "high": 1.0})
    assert (heavy.fit(X, y).predict(X) == "low").mean() > 0.8 > 1.5 * (y == "low").mean()
    with pytest.raises(errors.ArgumentError, match="no weight above 0"):
        heavy.set_params(class_weight=dict.fromkeys(np.unique(y), 0.0)).fit(X, y)


def test_a_row_with_weight_2_is_not_both_trained_and_held_out(monkeypatch):
    splits, train = [], Task.train

    def keep(task, starts, split, report):
        splits.append(split)
        return train(task, starts, split, report)

    monkeypatch.setattr(Task, "train", keep)
    X, y = regression_table(60)
    MLPRegressor(**{**SMALL, "max_iter": 1}).fit(X, y, sample_weight=np.full(60, 2.0))
    (split,) = splits
    for network in range(8):
        training = split.training_of(network).inputs.tolist()
        held_out = split.held_out_of(network).inputs.tolist()
        assert (len(training), len(held_out)) == (54, 6)
        assert not any(row in training for row in held_out)


def test_several_labels_of_a_row():
    X, _ = class_table()
    y = (X > 0).astype(int)
    model = MLPClassifier(**SMALL).fit(X, y)
    assert model.score(X, y) > 0.8
    assert model.predict_proba(X).shape == y.shape
    assert ((model.predict_proba(X) > 0.5) == model.predict(X)).all()


@pytest.mark.parametrize("labels", [(3, -1, 7), (True, False, True), ("b", "a", "ä")])
def test_labels_of_any_type(labels):
    X, y = class_table(labels=labels)
    model = MLPClassifier(**SMALL).fit(X, y)
    assert model.classes_.tolist() == sorted(set(labels))
    assert model.predict(X).dtype == y.dtype
    assert model.score(X, y) > 0.6


@pytest.mark.slow
def test_probabilities_are_calibrated_on_the_validation_rows():
    """Labels are random in a third of the rows, and the network could learn them by heart."""
    random = np.random.RandomState(0)
    X = random.randn(400, 2)
    y = np.where(random.rand(400) < 1 / 3, random.randint(2, size=400), X[:, 0] > 0)
    settings = {
        "max_iter": 20,
        "random_state": 0,
        "learning_rate_init": 0.03,
        "n_iter_no_change": 40,
    }
    model = MLPClassifier(**settings, validation_fraction=0.3).fit(X, y)
    assert model.temperatures_[0] != 1
    fresh = random.randn(2000, 2)
    sure = model.predict_proba(fresh).max(axis=1).mean()
    right = 1 / 3 * 0.5 + 2 / 3 * (model.predict(fresh) == (fresh[:, 0] > 0)).mean()
    assert sure == pytest.approx(right, abs=0.06)


def test_an_ensemble_predicts_the_mean_of_its_networks():
    X, y = regression_table()
    model = MLPRegressor(**SMALL, n_ensemble=3).fit(X, y)
    parts = []
    for parameters in model.parameters_:
        one = copy.deepcopy(model)
        one.parameters_ = [parameters]
        parts.append(one.predict(X))
    assert model.predict(X) == pytest.approx(np.mean(parts, axis=0))
    assert not np.allclose(parts[0], parts[1])


class OneSeed(np.random.RandomState):
    """A source of random numbers that always gives the same seed to networks."""

    def __init__(self, seed):
        super().__init__(seed)
        self.only = seed

    def randint(self, *_, size):
        return np.full(size, self.only)


OF_COLUMNS = {"input_curves": True, "batch_size": 200}
CONSTRAINED = {**OF_COLUMNS, "monotone": {0: 1, 1: -1}, "convex": {1: 1}, "bounded": [2]}


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"activation": "relu"},
        {**OF_COLUMNS, "activation": "relu"},
        {**CONSTRAINED, "hidden_layer_sizes": (8, 6)},
    ],
)
@pytest.mark.parametrize("rows", [40, 200])
def test_networks_that_are_trained_together_are_those_trained_alone(arguments, rows):
    """Networks that are trained together stop together, so here all train for all iterations. They
    also share the scale of the inputs of curves. Here the range of the hinges decides it, or all
    networks have the same rows in a batch."""
    X, y = regression_table(rows)
    weights = np.linspace(1, 2, rows)
    settings = {**SMALL, **arguments, "early_stopping": False}
    settings |= {"n_iter_no_change": np.inf, "max_iter": 6}
    together = MLPRegressor(**settings, n_ensemble=3).fit(X, y, sample_weight=weights)
    seeds = check_random_state(SMALL["random_state"]).randint(2**31 - 1, size=3)
    for seed, parameters in zip(seeds, together.parameters_, strict=True):
        settings["random_state"] = OneSeed(seed)
        alone = MLPRegressor(**settings, n_ensemble=1).fit(X, y, sample_weight=weights)
        for name, expected in alone.parameters_[0].items():
            assert parameters[name] == pytest.approx(expected, abs=1e-5)


def test_packed_networks_have_the_outputs_of_the_networks():
    """The networks have other rows, so their curves of columns have other hinges."""
    shapes = FeatureShape(monotone=-1), FeatureShape(convex=1), FeatureShape(bounded=1)
    networks = Architecture((3, 6, 4, 1), "hinged", 5, shapes=shapes, logit=True).build_all([1, 2])
    for network in networks:
        rows = make_samples(np.random.randn(50, 3).astype("f"), np.ones(50), np.ones(50))
        network[0].place_hinges(rows)
    inputs, packed = torch.randn(20, 3), PackedNetwork(networks)
    outputs = packed(inputs)
    for number, network in enumerate(networks):
        assert torch.allclose(outputs[number::2], network(inputs[number::2]), atol=1e-5)
    constrained = [module for module in packed.modules() if is_constrained(module)]
    assert len(constrained) == sum(map(is_constrained, networks[0].modules())) > 2


def test_a_network_with_gradients_that_are_not_numbers_leaves_those_of_others_clipped():
    parameter = torch.nn.Parameter(torch.zeros(3, 4))
    parameter.grad = torch.tensor([[torch.nan] * 4, [5.0] * 4, [0.1] * 4])
    _clip_gradients([parameter], 3)
    assert parameter.grad[1].norm() == pytest.approx(1)
    assert (parameter.grad[2] == 0.1).all()


def test_networks_with_constraints_go_on_in_another_precision():
    """Up to 64 rows without held-out rows are trained in float64. Convex curves are then no longer
    exactly convex in float32, and move a little."""
    X, y = regression_table()
    settings = {**SMALL, "max_iter": 2, "n_ensemble": 2, "input_curves": True}
    model = MLPRegressor(**settings, convex={0: 1}, warm_start=True).fit(X[:40], y[:40])
    model.fit(X, y)


def test_each_network_has_other_held_out_rows_and_its_own_best_iteration():
    X, y = class_table()
    model = MLPClassifier(**{**SMALL, "max_iter": 12}).fit(X, y)
    assert len(model.parameters_) == len(set(model.temperatures_)) == 8
    assert len(model.validation_losses_) == len(model.validation_scores_) == model.n_iter_
    assert model.best_loss_ == min(model.validation_losses_)
    assert model.validation_losses_[model.best_iter_ - 1] == model.best_loss_


def test_each_network_ends_with_the_parameters_of_its_own_best_iteration(monkeypatch):
    seen, ended = [], []
    update, train = training._BestParameters.update, Task.train

    def keep_losses(best, losses):
        seen.append(losses.tolist())
        update(best, losses)

    def keep_trained(*arguments):
        ended.append(train(*arguments))
        return ended[0]

    monkeypatch.setattr(training._BestParameters, "update", keep_losses)
    monkeypatch.setattr(Task, "train", keep_trained)
    X, y = class_table()
    model = MLPClassifier(**{**SMALL, "max_iter": 40, "learning_rate_init": 0.1}).fit(X, y)
    best = np.argmin(seen, axis=0)
    assert len(set(best)) > 1
    for number, network in enumerate(ended[0].networks):
        rows = ended[0].split.held_out_of(number)
        loss = rows.mean(model._loss_of_rows()(rows.outputs(network), rows.targets))
        assert float(loss) == pytest.approx(np.min(seen, axis=0)[number], rel=1e-5)


def test_constant_columns_are_ignored_where_the_network_is_trained(monkeypatch):
    """The mask of columns is on the device of the rows. The dtype stands for the device here."""
    dtypes, ignore_inputs = [], members.ignore_inputs

    def keep_dtype(network, ignored):
        dtypes.append(next(network.parameters()).dtype)
        ignore_inputs(network, ignored)

    monkeypatch.setattr(members, "ignore_inputs", keep_dtype)
    X, y = regression_table(40)
    MLPRegressor(**{**SMALL, "max_iter": 1}, n_ensemble=1).fit(X, y)
    assert dtypes == [torch.float64]


@pytest.mark.parametrize("as_table", [np.asarray, sparse.csr_matrix])
def test_a_column_counts_as_constant_for_the_networks_that_see_no_other_number(as_table):
    X = np.eye(12, dtype=np.float32)
    X[:, 0] = 0
    table = as_table(X)
    if sparse.issparse(table):
        table.data[3] = X[4, 4] = 0  # The matrix stores this 0.
    samples = make_samples(table, np.ones((12, 1), np.float32), np.ones(12, np.float32))
    split = Split.at_random(samples, 0.5, seeds=range(8))
    for network in range(8):
        rows = X[split.training[:, network].numpy()]
        assert split.zero_inputs_of(network).tolist() == (rows == 0).all(axis=0).tolist()


@pytest.mark.parametrize("activation", ["hinged", "tanh"])
def test_networks_that_are_built_together_are_those_that_are_built_alone(activation):
    architecture, state = Architecture((3, 8, 4, 2), activation, 9), torch.get_rng_state()
    networks = architecture.build_all([5, 6])
    assert torch.equal(torch.get_rng_state(), state)
    for seed, network in zip([5, 6], networks, strict=True):
        torch.manual_seed(seed)
        expected = architecture.build().state_dict()
        assert network.state_dict().keys() == expected.keys()
        assert all(torch.equal(each, expected[name]) for name, each in network.state_dict().items())
    torch.set_rng_state(state)


@pytest.mark.usefixtures("quick_turns")
def test_threads_build_the_networks_that_one_thread_builds():
    architecture = Architecture((3, 8, 4, 2), "tanh", 9)
    expected = architecture.build_all(range(4))
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: architecture.build_all(range(4)), range(40)))
    for networks in found:
        for one, other in zip(networks, expected, strict=True):
            pairs = zip(one.parameters(), other.parameters(), strict=True)
            assert all(torch.equal(*pair) for pair in pairs)


@pytest.mark.parametrize("done", [0, 2])
def test_an_interrupted_training_is_kept_if_an_iteration_has_ended(done, monkeypatch):
    iterate, calls = Adam.iterate, []

    def interrupt(solver, split):
        calls.append(split)
        if len(calls) > done:
            raise KeyboardInterrupt
        return iterate(solver, split)

    monkeypatch.setattr(Adam, "iterate", interrupt)
    X, y = regression_table()
    model = MLPRegressor(**SMALL)
    if not done:
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, y)
    else:
        with pytest.warns(UserWarning, match="interrupted by user"):
            model.fit(X, y)
        assert model.n_iter_ == len(model.validation_losses_) == done
        assert np.isfinite(model.predict(X)).all()


def test_predictions_build_one_network_for_all(monkeypatch):
    X, y = regression_table()
    model = MLPRegressor(**{**SMALL, "max_iter": 1}).fit(X, y)
    architecture = model._architecture()
    parts = [architecture.restore(each) for each in model.parameters_]
    built, build = [], Architecture.build

    def count(architecture):
        built.append(architecture)
        return build(architecture)

    monkeypatch.setattr(Architecture, "build", count)
    for network, part in zip(model._networks(), parts, strict=True):
        for name, tensor in part.state_dict().items():
            assert torch.equal(network.state_dict()[name], tensor)
    assert len(built) == 1


def test_the_number_of_networks_depends_on_the_rows_and_the_solver():
    X, y = regression_table()
    many = np.tile(X, (100, 1)), np.tile(y, 100)
    few = {"max_iter": 1, "random_state": 0}

    def count(X, y, **arguments):
        return len(MLPRegressor(**few, **arguments).fit(X, y).parameters_)

    assert count(X, y) == 8
    assert count(*many) == 1
    assert count(X, y, n_ensemble=3) == 3
    assert count(X, y, input_curves=True) == 8
    assert count(X, y, solver="lbfgs") == 1
    assert len(MLPRegressor().partial_fit(X, y).parameters_) == 1
    model = MLPRegressor(**few, warm_start=True).fit(X, y)
    assert len(model.fit(*many).parameters_) == 8


@pytest.mark.slow
def test_smoothing_is_chosen_on_the_validation_rows():
    X, y = regression_table()
    chosen = MLPRegressor(**SMALL, smoothing="auto").fit(X, y)
    losses = {
        smoothing: MLPRegressor(**SMALL, smoothing=smoothing).fit(X, y).best_loss_
        for smoothing in (0.003, 0.03, 0.3)
    }
    assert chosen.smoothing_ == min(losses, key=losses.get)
    assert chosen.best_loss_ == min(losses.values())


@pytest.mark.parametrize("activation", FIXED_ACTIVATIONS)
def test_fixed_activations_train(activation):
    X, y = regression_table()
    model = MLPRegressor(**{**SMALL, "max_iter": 4}, activation=activation).fit(X, y)
    assert min(model.loss_curve_) < model.loss_curve_[0]
    assert not any("values" in name for name in model.parameters_[0])


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_network_without_hidden_layers_is_linear(solver, tmp_path):
    X, y = regression_table()
    arguments = {**SMALL, "hidden_layer_sizes": ()}
    arguments |= {} if solver == "adam" else {"solver": solver, "learning_rate_init": 0.006}
    model = MLPRegressor(**arguments).fit(X, y)
    middle = model.predict((X[:5] + X[5:10]) / 2)
    np.testing.assert_allclose(middle, (model.predict(X[:5]) + model.predict(X[5:10])) / 2)
    model.save(tmp_path / "linear.safetensors")
    loaded = MLPRegressor.load(tmp_path / "linear.safetensors")
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    with pytest.raises(errors.ArgumentError, match=r"hidden_layer_sizes=\(\), a network without"):
        model.plot_activations(X)


def test_networks_without_curves_are_trained_once_with_automatic_smoothing(capsys):
    X, y = regression_table()
    arguments = {**SMALL, "max_iter": 2, "smoothing": "auto", "verbose": True}
    MLPRegressor(**arguments, activation="relu").fit(X, y)
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_search_a_pipeline_and_routed_weights():
    X, y = regression_table(60)
    steps = make_pipeline(StandardScaler(), MLPRegressor(**{**SMALL, "max_iter": 3}))
    search = GridSearchCV(steps, {"mlpregressor__activation": ["relu", "hinged"]}, cv=2)
    assert search.fit(X, y).best_params_["mlpregressor__activation"] in ("relu", "hinged")
    with config_context(enable_metadata_routing=True):
        model = MLPRegressor(**{**SMALL, "max_iter": 3}).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        weights = {"sample_weight": np.ones(len(y))}
        assert len(cross_validate(model, X, y, cv=2, params=weights)["test_score"]) == 2


def test_names_of_columns_are_kept_and_checked():
    pandas = pytest.importorskip("pandas")
    X, y = regression_table()
    frame = pandas.DataFrame(X, columns=["age", "size", "price"])
    model = MLPRegressor(**{**SMALL, "max_iter": 3}).fit(frame, y)
    assert model.feature_names_in_.tolist() == ["age", "size", "price"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["size", "age", "price"]])


def test_frames_of_polars_are_tables():
    polars = pytest.importorskip("polars")
    X, y = regression_table()
    frame = polars.DataFrame(X, schema=["age", "size", "price"])
    model = MLPRegressor(**{**SMALL, "max_iter": 3}).fit(frame, y)
    assert model.feature_names_in_.tolist() == ["age", "size", "price"]
    assert model.predict(frame).shape == y.shape


def test_lines_are_printed_if_asked_for(capsys):
    X, y = regression_table()
    MLPRegressor((4,), max_iter=2, verbose=True).fit(X, y)
    assert capsys.readouterr().out.count("\n") == 2
    MLPRegressor((4,), max_iter=2, n_ensemble=2, solver="lbfgs", verbose=True).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("network 2 of 2, iteration 1: loss ")
    assert "validation loss" in lines[2]
    MLPRegressor((4,), max_iter=2).fit(X, y)
    assert capsys.readouterr().out == ""


def test_the_curves_are_drawn():
    X, y = regression_table()
    model = MLPRegressor(**{**SMALL, "hidden_layer_sizes": (8, 4)}).fit(X, y)
    figure = model.plot_activations(X)
    titles = [axes.get_title() for axes in figure.axes[:2]]
    starts = ["hidden layer 1\n8 channels, ", "hidden layer 2\n4 channels, "]
    assert [title[: len(start)] for title, start in zip(titles, starts, strict=True)] == starts
    fixed = MLPRegressor(**{**SMALL, "max_iter": 1}, activation="relu").fit(X, y)
    with pytest.raises(errors.ArgumentError, match="activation='relu', which has no curves"):
        fixed.plot_activations()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"activation": "swish"}, "did you mean 'silu'"),
        ({"solver": "sgd"}, "expected one of: adam, lbfgs, lm, owo-molf"),
        ({"hidden_layer_sizes": (4, 0)}, "units of each hidden layer"),
        ({"hinges": 2}, "expected a whole number from 3"),
        ({"smoothing": 0}, "expected a number above 0, or 'auto'"),
        ({"validation_fraction": 1.0}, "expected a number between 0 and 1"),
        ({"max_iter": True}, "expected a whole number from 1"),
        ({"smoothing": "auto", "early_stopping": False}, "set early_stopping=True"),
        ({"solver": "lbfgs", "batch_size": 32}, "this solver does not use it"),
        ({"solver": "lm", "hidden_layer_sizes": (4,), "alpha": 1.0}, "does not use it"),
        ({"solver": "lm"}, "got 2 hidden layers"),
        ({"solver": "lm", "hidden_layer_sizes": 4, "device": "cuda"}, "leave device out"),
        ({"solver": "owo-molf", "hidden_layer_sizes": 4, "warm_start": True}, "starts anew"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused_in_words(arguments, said):
    X, y = regression_table()
    with pytest.raises(errors.ArgumentError) as raised:
        MLPRegressor(**arguments).fit(X, y)
    assert said in str(raised.value)


@pytest.mark.parametrize("base", [MLPRegressor, MLPClassifier])
def test_a_misspelt_argument_is_refused_with_the_name_of_the_estimator(base):
    class Mine(base):
        pass

    for estimator in (base, Mine):
        said = rf"`{estimator.__name__}\(n_ensembles=\.\.\.\)`: .*; did you mean 'n_ensemble'"
        with pytest.raises(TypeError, match=said):
            estimator(n_ensembles=3)
        assert (
            list(signature(estimator).parameters) == list(signature(base.__init__).parameters)[1:]
        )
        assert clone(estimator(n_ensemble=3)).get_params()["n_ensemble"] == 3


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_missing_values_are_refused_as_in_scikit_learn(value):
    X, y = regression_table()
    X[3, 1] = value
    with pytest.raises(ValueError, match=r"NaN|infinity"):
        MLPRegressor(**SMALL).fit(X, y)


def test_hard_tables():
    """A constant column, more columns than rows, equal rows, one class, a constant target."""
    X, y = regression_table(60)
    X[:, 2] = 5.0
    assert MLPRegressor(**SMALL).fit(X, y).score(X, y) > 0.5
    wide = np.random.RandomState(0).randn(20, 50)
    assert np.isfinite(MLPRegressor(**SMALL).fit(wide, wide[:, 0]).predict(wide)).all()
    assert MLPRegressor(**SMALL).fit(X, np.full(60, 3.0)).predict(X) == pytest.approx(3.0, abs=0.2)
    assert (MLPClassifier(**SMALL).fit(X, ["a"] * 60).predict(X) == "a").all()
    assert np.isfinite(MLPRegressor(**SMALL).fit(np.ones((60, 2)), y).predict(X[:, :2])).all()


@pytest.mark.parametrize("solver", ["adam", "lbfgs", "owo-molf", "lm"])
@pytest.mark.parametrize("table", [np.asarray, sparse.csr_matrix])
def test_a_column_that_was_constant_has_no_influence(solver, table):
    X, y = regression_table()
    X = np.column_stack([X, np.zeros(len(X))])
    model = MLPRegressor((8,), solver=solver, max_iter=5, random_state=0).fit(table(X), y)
    other = X + np.array([0.0] * (X.shape[1] - 1) + [1000])
    np.testing.assert_allclose(model.predict(table(X)), model.predict(table(other)), 1e-6)


def test_a_constant_column_of_a_table_with_curves_of_columns_has_no_influence():
    X, y = regression_table()
    X = np.column_stack([X, np.full(len(X), 2024)])
    few = {**SMALL, "max_iter": 2}
    model = MLPRegressor(**few, input_curves=True, monotone={0: 1}).fit(X, y)
    other = X + np.array([0] * (X.shape[1] - 1) + [1])
    np.testing.assert_array_equal(model.predict(X), model.predict(other))


def test_a_constant_column_of_a_small_table_does_no_harm_with_few_hinges():
    X = np.random.default_rng(0).normal(size=(40, 3))
    y, X[:, 1] = X[:, 0], 0.1234567
    for unit in (1, 1e5):
        settings = {**SMALL, "max_iter": 2, "n_ensemble": 1, "standardize": unit == 1}
        model = MLPRegressor(**settings, input_curves=True, hinges=4).fit(unit * X, y)
        assert np.isfinite(model.predict(X)).all()


def test_later_parts_teach_about_a_column_that_was_constant_in_the_first():
    X, y = regression_table()
    first = X.copy()
    first[:, 0] = 0
    few = {**SMALL, "max_iter": 2}
    for model in (MLPRegressor(**few), MLPRegressor(**few, warm_start=True)):
        teach = model.fit if model.warm_start else model.partial_fit
        teach(first, y)
        teach(X, y)
        assert not np.allclose(model.predict(X), model.predict(first))


def test_the_lines_of_automatic_smoothing_name_the_smoothing(capsys):
    X, y = regression_table()
    MLPRegressor((4,), max_iter=1, smoothing="auto", verbose=True, random_state=0).fit(X, y)
    starts = [line.split(" iteration")[0] for line in capsys.readouterr().out.splitlines()]
    assert starts == ["smoothing 0.003,", "smoothing 0.03,", "smoothing 0.3,"]
