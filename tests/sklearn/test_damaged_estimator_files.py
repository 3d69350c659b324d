"""Damaged files of estimators: `EstimatorFileError`, which names the file, is the only error."""

import json

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from hinged import errors
from hinged.sklearn import MLPClassifier, MLPRegressor, estimator_files
from tests.damage import JSON, damaged
from tests.sklearn.tables import class_table, regression_table

SMALL = {"max_iter": 3, "n_ensemble": 2, "random_state": 0}


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
