import math

import numpy as np
import pytest
import sklearn.metrics
import torch
import torchmetrics.functional.classification as torchmetrics

from hinged import errors
from hinged.lab.problems import Classification, Detection, Regression

DETECTION = Detection(("a", "b"), (8, 12))


def test_classification_against_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    outputs = torch.randn(50, 4, generator=generator)
    labels = torch.randint(0, 4, (50,), generator=generator)
    problem = Classification(4)
    assert (problem.outputs, problem.classes, problem.metric) == (4, 4, "accuracy")
    assert problem.score(outputs, labels) == sklearn.metrics.accuracy_score(
        labels, outputs.argmax(dim=1)
    )
    shares = outputs.double().softmax(dim=1).numpy()
    expected = sklearn.metrics.log_loss(labels.numpy(), shares, labels=range(4))
    assert problem.loss(outputs, labels).item() == pytest.approx(expected, rel=1e-6)
    even = problem.loss(outputs, labels, 1.0).item()
    assert even == pytest.approx(-np.log(shares).mean(), rel=1e-6)


def test_regression_against_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    outputs, targets = (torch.randn(50, 2, generator=generator) for _ in range(2))
    problem = Regression(2)
    assert (problem.outputs, problem.classes, problem.metric) == (2, None, "R2")
    expected = sklearn.metrics.r2_score(targets, outputs, multioutput="variance_weighted")
    assert problem.score(outputs, targets) == pytest.approx(expected, rel=1e-6)
    expected = sklearn.metrics.mean_squared_error(targets, outputs)
    assert problem.loss(outputs, targets).item() == pytest.approx(expected, rel=1e-6)


def test_balanced_accuracy_and_macro_f1_against_torchmetrics_and_scikit_learn():
    generator = torch.Generator().manual_seed(1)
    outputs = torch.randn(60, 5, generator=generator)
    labels = torch.randint(0, 4, (60,), generator=generator)  # No sample of class 4.
    predicted = outputs.argmax(dim=1)
    found = Classification(5).other_scores(outputs, labels)
    present = predicted != 4
    assert 0 < present.sum() < 60, "class 4 is predicted for some samples"
    with pytest.warns(UserWarning, match="classes not in y_true"):
        balanced = sklearn.metrics.balanced_accuracy_score(labels, predicted)
    f1 = torchmetrics.multiclass_f1_score(predicted, labels, 5, average=None)
    assert found == {
        "balanced accuracy": pytest.approx(balanced),
        "macro F1": pytest.approx(f1[:4].mean().item(), rel=1e-6),
    }


def test_a_rare_class_counts_as_much_as_a_common_one():
    outputs, labels = torch.eye(2)[[0] * 10], torch.tensor([0] * 9 + [1])
    found = Classification(2).other_scores(outputs, labels)
    # Class 0: precision 0.9 and recall 1, F1 = 1.8 / 1.9. Class 1 is never found.
    assert found["balanced accuracy"] == 0.5
    assert found["macro F1"] == pytest.approx(1.8 / 1.9 / 2)


def test_rmse_of_each_target_against_scikit_learn():
    generator = torch.Generator().manual_seed(2)
    outputs, targets = (100 * torch.randn(50, 2, generator=generator) for _ in range(2))
    expected = sklearn.metrics.root_mean_squared_error(targets, outputs, multioutput="raw_values")
    found = Regression(2, ("price", "area")).other_scores(outputs, targets)
    assert found == {
        "RMSE of price": pytest.approx(expected[0], rel=1e-6),
        "RMSE of area": pytest.approx(expected[1], rel=1e-6),
    }
    assert list(Regression(2).other_scores(outputs, targets))[1] == "RMSE of target 2"
    assert Regression(1).other_scores(outputs[:, :1], targets[:, :1]) == {
        "RMSE": pytest.approx(expected[0], rel=1e-6)
    }


def test_detection_keeps_no_predictions():
    assert DETECTION.other_scores(torch.zeros(1), torch.zeros(1)) == {}
    assert DETECTION.keep_predictions(torch.zeros(1), torch.zeros(1)) is None


@pytest.mark.parametrize("task", [Classification, Regression])
def test_each_class_or_target_needs_a_name(task):
    with pytest.raises(errors.ArgumentError, match="got 2 names for 3 network outputs; give one"):
        task(3, ("a", "b"))


@pytest.mark.parametrize(
    ("problem", "targets", "message"),
    [
        (Classification(3), torch.zeros(4, 1), "labels of shape"),
        (Classification(3), torch.tensor([0, 3]), "labels from 0 to 3"),
        (Regression(2), torch.zeros(4), "targets of shape"),
        (DETECTION, torch.zeros(4, 5), "targets of shape"),
        (DETECTION, torch.tensor([[[2.0, 0.0, 0.0, 1.0, 1.0]]]), "a class index outside 0 to"),
        (DETECTION, torch.tensor([[[0.0, 3.0, 0.0, 3.0, 1.0]]]), "a box without an area"),
    ],
)
def test_wrong_targets_have_a_fault(problem, targets, message):
    assert problem.target_fault(targets)[0].startswith(message)


def test_right_targets_have_no_fault():
    assert Classification(3).target_fault(torch.tensor([0, 2, 1])) is None
    assert Regression(1).target_fault(torch.tensor([[math.pi]])) is None
    rows = torch.tensor([[[1.0, 0.0, 0.0, 2.0, 1.0], [-1.0] * 5]])
    assert DETECTION.target_fault(rows) is None


def test_only_boxes_are_mirrored_with_their_images():
    labels = torch.tensor([0, 2, 1])
    assert Classification(3).mirror_targets(labels) is labels
    rows = torch.tensor([[[1.0, 0.0, 0.0, 2.0, 1.0], [-1.0] * 5]])
    turned = DETECTION.mirror_targets(rows)
    assert turned.tolist() == [[[1.0, 10.0, 0.0, 12.0, 1.0], [-1.0] * 5]]
    assert torch.equal(DETECTION.mirror_targets(turned), rows)
