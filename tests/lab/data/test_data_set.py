import dataclasses

import numpy as np
import pytest
import torch
from sklearn import datasets

from hinged.lab import data
from hinged.lab.data.data_set import scale_split
from hinged.lab.data.train_test_split import TrainTestSplit
from hinged.lab.problems import Classification


@pytest.mark.parametrize("name", data.SKLEARN_DATA)
def test_shapes_kinds_and_scaling(name):
    loaded = data.load_data_set(name)
    assert len(loaded.x_train) == len(loaded.y_train) and len(loaded.x_test) == len(loaded.y_test)
    inputs = loaded.to_inputs(loaded.x_train)
    assert inputs.dtype == torch.float32 and inputs.isfinite().all()
    assert inputs.mean().abs() < 1e-5
    if loaded.classes is None:
        assert loaded.y_train.dtype == torch.float32 and loaded.y_train.shape[1] == loaded.outputs
    else:
        assert loaded.y_train.dtype == torch.int64
        assert loaded.y_train.unique().tolist() == list(range(loaded.classes))


def test_digits_are_complete_and_no_image_is_in_both_splits():
    loaded = data.load_data_set("digits")
    assert len(loaded.x_train) + len(loaded.x_test) == 1797
    assert loaded.x_train.shape[1:] == (1, 8, 8) and loaded.x_train.dtype == torch.uint8
    train = {image.numpy().tobytes() for image in loaded.x_train}
    assert not train & {image.numpy().tobytes() for image in loaded.x_test}
    original = datasets.load_digits().images[:898]
    np.testing.assert_array_equal(loaded.x_train.squeeze(1).numpy(), original)


def test_images_are_scaled_per_channel_by_the_training_split(pictures):
    train = torch.from_numpy(pictures(50)).permute(0, 3, 1, 2).contiguous()
    train[:, 1] //= 3
    test = torch.full((2, 3, 8, 8), 255, dtype=torch.uint8)
    labels = torch.zeros(50, dtype=torch.long)
    loaded = scale_split(
        "mine", TrainTestSplit("", train, labels, test, labels[:2], Classification(1))
    )
    inputs = loaded.to_inputs(loaded.x_train).double().numpy()
    np.testing.assert_allclose(inputs.mean(axis=(0, 2, 3)), np.zeros(3), atol=1e-6)
    np.testing.assert_allclose(inputs.std(axis=(0, 2, 3), ddof=1), np.ones(3), rtol=1e-6)
    exact = train.double().numpy()
    expected = (255 - exact.mean(axis=(0, 2, 3))) / exact.std(axis=(0, 2, 3), ddof=1)
    np.testing.assert_allclose(
        loaded.to_inputs(loaded.x_test)[1, :, 3, 3].numpy(), expected, rtol=1e-5
    )


def test_an_image_of_one_colour_stays_finite():
    flat = torch.full((4, 1, 2, 2), 7, dtype=torch.uint8)
    labels = torch.zeros(4, dtype=torch.long)
    loaded = scale_split("flat", TrainTestSplit("", flat, labels, flat, labels, Classification(1)))
    assert torch.equal(loaded.to_inputs(flat), torch.zeros(4, 1, 2, 2))


def test_tables_are_scaled_by_the_training_split():
    loaded = data.load_data_set("wine")
    torch.testing.assert_close(loaded.x_train.std(dim=0), torch.ones(13))
    assert (loaded.x_test.mean(dim=0).abs() > 1e-3).any()


def test_digest_changes_with_one_pixel():
    first = data.load_data_set("digits")
    images = first.x_test.clone()
    assert dataclasses.replace(first, x_test=images).digest == first.digest
    images[0, 0, 0, 0] += 1
    assert dataclasses.replace(first, x_test=images).digest != first.digest


def test_scores():
    loaded = data.load_data_set("iris")
    outputs = torch.eye(3)[torch.tensor([0, 1, 1, 2])]
    assert loaded.score(outputs, torch.tensor([0, 1, 2, 2])) == 0.75
    regression = data.load_data_set("diabetes")
    targets = torch.tensor([[1.0], [2.0], [3.0]])
    assert regression.score(targets, targets) == 1.0
    assert regression.score(torch.full((3, 1), 2.0), targets) == 0.0


def test_predicted_numbers_are_described_in_the_units_of_the_data():
    raw = datasets.load_diabetes().target
    loaded = data.load_data_set("diabetes")
    in_units = loaded.target_scale.to_units(loaded.y_test).flatten()
    assert np.isin(in_units.numpy().round(3), raw).all()
    # A network that predicts the mean of the training split: its RMSE is the spread around it.
    mean = loaded.target_scale.to_units(loaded.y_train).mean()
    scores, kept = loaded.describe_predictions(torch.zeros_like(loaded.y_test))
    expected = (in_units - mean).square().mean().sqrt().item()
    assert scores == {"RMSE": pytest.approx(expected, rel=1e-5)} and 50 < expected < 100
    torch.testing.assert_close(kept.outputs, mean.float().expand_as(kept.outputs))
    np.testing.assert_allclose(kept.targets.flatten().numpy(), in_units.numpy(), rtol=1e-5)


def test_outputs_that_are_not_finite_have_no_description():
    loaded = data.load_data_set("iris")
    outputs = torch.zeros(len(loaded.y_test), 3)
    assert loaded.describe_predictions(outputs)[1].counts[:, 1:].sum() == 0
    outputs[0, 0] = torch.nan
    assert loaded.describe_predictions(outputs) == ({}, None)


def test_classes_of_scikit_learn_have_their_names():
    assert data.load_data_set("iris").problem.names == ("setosa", "versicolor", "virginica")
    assert data.load_data_set("breast_cancer").problem.names == ("malignant", "benign")
