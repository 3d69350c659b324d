"""Tests of saved estimators."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from hinged import errors
from hinged.sklearn import MLPClassifier, MLPRegressor, estimator_files
from tests.damage import JSON, damaged
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


def saved_bytes(folder, model):
    model.save(folder / "model.safetensors")
    return (folder / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    """The files of three estimators, by their class."""
    folder = tmp_path_factory.mktemp("valid")
    X, y = regression_table()
    rows, labels = class_table(labels=("a", "b", "c"))
    return [
        (MLPRegressor, saved_bytes(folder, MLPRegressor((5,), **SMALL).fit(X, y))),
        (MLPRegressor, saved_bytes(folder, MLPRegressor((5,), **SMALL, solver="lm").fit(X, y))),
        (MLPClassifier, saved_bytes(folder, MLPClassifier((5,), **SMALL).fit(rows, labels))),
    ]


def load_or_explain(estimator, path):
    """Load an estimator that can predict, or get an error that names the file."""
    said = path.name
    try:
        loaded = estimator.load(path)
    except errors.EstimatorFileError as error:
        said = str(error)
    else:
        assert len(loaded.predict(np.ones((4, loaded.n_features_in_)))) == 4
    assert path.name in said


def write_with_checksum(path, metadata, arrays):
    metadata["checksum"] = estimator_files._checksum(metadata, arrays)
    path.write_bytes(safetensors.numpy.save(arrays, metadata))


def replace_anywhere(choices, contents, value):
    """Replace a value somewhere in lists and dicts by another one."""
    while contents:
        place = choices.draw(
            st.sampled_from([*contents] if isinstance(contents, dict) else range(len(contents)))
        )
        inner = contents[place]
        if not isinstance(inner, dict | list) or choices.draw(st.integers(0, 3)) == 0:
            contents[place] = value
            return
        contents = inner


@pytest.mark.slow
@given(st.data(), JSON | st.sampled_from([10**9, -1, "U999999999", [10**9] * 3]))
def test_odd_contents_with_a_valid_checksum(valid, tmp_path_factory, choices, value):
    estimator, content = choices.draw(st.sampled_from(valid))
    path = tmp_path_factory.getbasetemp() / "odd.safetensors"
    path.write_bytes(content)
    metadata, arrays = estimator_files._files_of("").read(path, "f", framework="numpy")
    state = json.loads(metadata["state"])
    replace_anywhere(choices, state, value)
    metadata["state"] = json.dumps(state)
    write_with_checksum(path, metadata, arrays)
    load_or_explain(estimator, path)


ODD_ARRAY = st.sampled_from([(), (0,), (1,), (5, 2), (9,)]).map(np.ones)


@pytest.mark.slow
@given(st.data(), ODD_ARRAY, st.booleans())
def test_odd_arrays_with_a_valid_checksum(valid, tmp_path_factory, choices, array, missing):
    estimator, content = choices.draw(st.sampled_from(valid))
    path = tmp_path_factory.getbasetemp() / "arrays.safetensors"
    path.write_bytes(content)
    metadata, arrays = estimator_files._files_of("").read(path, "f", framework="numpy")
    name = choices.draw(st.sampled_from([*arrays, "predict", "network.9.x", "network.x"]))
    arrays[name] = array
    if missing:
        del arrays[name]
    write_with_checksum(path, metadata, arrays)
    load_or_explain(estimator, path)


@given(st.data())
def test_damaged_bytes(valid, tmp_path_factory, choices):
    estimator, content = choices.draw(st.sampled_from(valid))
    path = tmp_path_factory.getbasetemp() / "bytes.safetensors"
    path.write_bytes(choices.draw(damaged([content])))
    load_or_explain(estimator, path)


@pytest.mark.parametrize(
    "changed",
    [
        {"networks": 10**9},
        {"learned": {"architecture_": {"pairs": [["sizes", [10**9, 10**9]]]}}},
        {"learned": {"classes_": {"array": ["a"], "dtype": "<U999999999"}}},
        {"learned": {"predict": 1}},
        {"arguments": {"nothing": 1}},
        {},
        [],
    ],
)
def test_a_state_that_fits_no_estimator_is_refused_before_memory_is_allocated(
    valid, tmp_path, changed
):
    estimator, content = valid[0]
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    metadata, arrays = estimator_files._files_of("").read(path, "f", framework="numpy")
    state = json.loads(metadata["state"])
    for name, value in changed.items() if changed else ():
        state[name] = state[name] | value if isinstance(value, dict) else value
    metadata["state"] = json.dumps(state if changed else changed)
    write_with_checksum(path, metadata, arrays)
    with pytest.raises(errors.EstimatorFileError, match=r"odd\.safetensors.*save the estimator"):
        estimator.load(path)


def test_classes_must_be_as_many_as_outputs(valid, tmp_path):
    estimator, content = valid[2]
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    metadata, arrays = estimator_files._files_of("").read(path, "f", framework="numpy")
    state = json.loads(metadata["state"])
    state["learned"]["classes_"]["array"].pop()
    write_with_checksum(path, metadata | {"state": json.dumps(state)}, arrays)
    with pytest.raises(errors.EstimatorFileError, match="2 classes for the outputs"):
        estimator.load(path)


def test_predictions_draw_no_random_numbers(valid, tmp_path):
    estimator, content = valid[0]
    (tmp_path / "model.safetensors").write_bytes(content)
    before = torch.get_rng_state()
    loaded = estimator.load(tmp_path / "model.safetensors")
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
