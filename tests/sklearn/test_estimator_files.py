"""Tests of saved estimators."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from safetensors import safe_open

from hinged import errors
from hinged.sklearn import MLPClassifier, MLPRegressor
from tests.sklearn.tables import class_table, regression_table

KEPT = Path(__file__).parent / "saved"
"""Files of earlier versions. Never write them anew: later versions must read them."""

SMALL = {"max_iter": 3, "random_state": 0}


def test_a_loaded_regressor_is_the_saved_one(tmp_path):
    X, y = regression_table(outputs=2)
    model = MLPRegressor((5, 4), **SMALL, n_ensemble=2).fit(X, y)
    model.save(tmp_path / "model.safetensors")
    loaded = MLPRegressor.load(tmp_path / "model.safetensors")
    assert (loaded.predict(X) == model.predict(X)).all()
    assert loaded.get_params() == model.get_params()
    assert vars(loaded).keys() == vars(model).keys()
    assert loaded.loss_curve_ == model.loss_curve_
    assert loaded.partial_fit(X, y).n_iter_ == model.n_iter_ + 1


@pytest.mark.parametrize("labels", [(3, -1, 7), (True, False, True), ("b", "a", "ä")])
def test_a_loaded_classifier_has_its_labels_and_weights(tmp_path, labels):
    X, y = class_table(labels=labels)
    weights = dict.fromkeys(np.unique(y), 2.0)
    model = MLPClassifier((5,), **SMALL, class_weight=weights).fit(X, y)
    model.save(tmp_path / "model.safetensors")
    loaded = MLPClassifier.load(str(tmp_path / "model.safetensors"))
    assert loaded.classes_.dtype == model.classes_.dtype
    assert (loaded.predict(X) == model.predict(X)).all()
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()
    assert loaded.class_weight == weights
    assert loaded.fit(X, y).classes_.tolist() == model.classes_.tolist()


def rewrite(path, change):
    with safe_open(path, framework="numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    change(arrays, metadata)
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


def change_weight(arrays, _metadata):
    arrays["network.0.0.weight"][0, 0] += 1


def change_state(_arrays, metadata):
    metadata["state"] = metadata["state"].replace('"solver"', '"solvent"')


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (change_weight, "changed or damaged"),
        (change_state, "changed or damaged"),
        (lambda arrays, metadata: arrays.pop("input_scale_"), "changed or damaged"),
        (lambda arrays, metadata: metadata.update(version="2"), "update hinged"),
        (lambda arrays, metadata: metadata.update(format="other"), "another program"),
    ],
)
def test_a_changed_file_is_refused_in_words(tmp_path, change, said):
    X, y = regression_table()
    path = tmp_path / "model.safetensors"
    MLPRegressor((5,), **SMALL).fit(X, y).save(path)
    rewrite(path, lambda arrays, metadata: None)
    MLPRegressor.load(path)  # Writing the same again changes nothing.
    rewrite(path, change)
    with pytest.raises(errors.EstimatorFileError, match=said):
        MLPRegressor.load(path)


def test_predictions_draw_no_random_numbers(tmp_path):
    path = tmp_path / "model.safetensors"
    MLPRegressor((5,), **SMALL).fit(*regression_table()).save(path)
    before = torch.get_rng_state()
    loaded = MLPRegressor.load(path)
    loaded.predict(np.ones((4, loaded.n_features_in_)))
    assert torch.equal(torch.get_rng_state(), before)


def test_other_files_are_refused_in_words(tmp_path):
    X, y = regression_table()
    path = tmp_path / "model.safetensors"
    model = MLPRegressor((5,), **SMALL).fit(X, y)
    model.save(path)
    with pytest.raises(errors.EstimatorFileError, match=r"call MLPRegressor\.load"):
        MLPClassifier.load(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(errors.EstimatorFileError, match="truncated"):
        MLPRegressor.load(path)
    with pytest.raises(FileNotFoundError):
        MLPRegressor.load(tmp_path / "none")
    model.set_params(random_state=np.random.RandomState(0))
    with pytest.raises(errors.ArgumentError, match="random_state="):
        model.save(path)


@pytest.mark.parametrize("estimator", [MLPRegressor, MLPClassifier])
def test_files_of_earlier_versions_are_read(estimator):
    for path in sorted(KEPT.glob(f"{estimator.__name__}-*.safetensors")):
        expected = np.load(path.with_suffix(".npz"))
        predicted = estimator.load(path).predict(expected["X"])
        if predicted.dtype.kind == "f":
            assert predicted == pytest.approx(expected["predicted"], rel=1e-9)
        else:
            assert (predicted == expected["predicted"]).all()
    assert list(KEPT.glob(f"{estimator.__name__}-1.safetensors"))


def test_skops_saves_and_loads_an_estimator(tmp_path):
    skops = pytest.importorskip("skops.io")
    X, y = class_table()
    model = MLPClassifier((5,), **SMALL).fit(X, y)
    skops.dump(model, tmp_path / "model.skops")
    unknown = skops.get_untrusted_types(file=tmp_path / "model.skops")
    assert all(name.startswith("hinged.sklearn.") for name in unknown)
    loaded = skops.load(tmp_path / "model.skops", trusted=unknown)
    assert (loaded.predict_proba(X) == model.predict_proba(X)).all()
