import math

import numpy as np
import pytest
import torch

from hinged.lab.problems.average_precision import (
    Detections,
    area_under_curve,
    mean_average_precision,
)
from tests.lab.problems.rasters import counted_overlap, random_boxes


def average_precision(detections, truth, label):
    """The development kit of Pascal VOC, box by box; the area by numpy."""
    listed = [
        (detections.scores[image, place].item(), image, detections.boxes[image, place])
        for image in range(len(truth))
        for place in range(detections.scores.shape[1])
        if detections.valid[image, place] and detections.labels[image, place] == label
    ]
    listed.sort(key=lambda entry: -entry[0])
    objects = [[row[1:] for row in image if row[0] == label] for image in truth]
    claimed = [[False] * len(image) for image in objects]
    right = []
    for _, image, box in listed:
        shares = [counted_overlap(box, other) for other in objects[image]]
        place = int(np.argmax(shares)) if shares else -1
        right.append(place >= 0 and shares[place] >= 0.5 and not claimed[image][place])
        if right[-1]:
            claimed[image][place] = True
    wanted = sum(map(len, objects))
    hits = np.cumsum(right)
    recall = np.concatenate(([0.0], hits / wanted))
    precision = hits / np.arange(1, len(right) + 1)
    best_from = [precision[place:].max() for place in range(len(right))]
    return float(np.sum(np.diff(recall) * best_from)) if right else 0.0


def random_case(seed):
    """Five images with boxes near the true boxes and far from them, in any order."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.cat(
        (
            torch.randint(-1, 3, (5, 6, 1), generator=generator).float(),
            random_boxes(generator, 5, 6),
        ),
        dim=2,
    )
    shifted = truth[..., 1:] + torch.tensor([1.0, 0.0, 1.0, 0.0])
    boxes = torch.cat((truth[..., 1:], shifted, random_boxes(generator, 5, 8)), dim=1)
    labels = torch.randint(0, 3, (5, 20), generator=generator)
    labels[:, :12] = truth[..., 0].long().clamp(min=0).repeat(1, 2)
    scores = torch.rand(5, 20, generator=generator)
    valid = torch.rand(5, 20, generator=generator) < 0.8
    return Detections(boxes, labels, scores, valid), truth


@pytest.mark.parametrize("seed", range(10))
def test_mean_average_precision_is_that_of_the_development_kit(seed):
    detections, truth = random_case(seed)
    expected = [average_precision(detections, truth, label) for label in range(3)]
    assert mean_average_precision(detections, truth) == pytest.approx(np.mean(expected), abs=1e-12)
    assert 0.05 < np.mean(expected) < 0.95


def test_precision_at_ten_boxes():
    right = torch.tensor([True, True, False, True, False, False, True, False, False, True])
    expected = (1 + 1 + 3 / 4 + 4 / 7 + 5 / 10) / 8  # Three of eight are not detected.
    assert area_under_curve(right, 8) == pytest.approx(expected, abs=1e-15)


def test_no_predictions_and_no_true_boxes():
    detections, truth = random_case(0)
    nothing = detections._replace(valid=torch.zeros_like(detections.valid))
    assert mean_average_precision(nothing, truth) == 0
    assert math.isnan(mean_average_precision(detections, truth.fill_(-1)))


def test_a_second_prediction_of_the_same_object_is_wrong():
    box = torch.tensor([[[0.0, 0.0, 4.0, 4.0]]])
    truth = torch.cat((torch.zeros(1, 1, 1), box), dim=2)
    truth = torch.cat((truth, torch.tensor([[[0.0, 6.0, 6.0, 8.0, 8.0]]])), dim=1)
    boxes = torch.cat((box, box, truth[:, 1:, 1:]), dim=1)
    labels, scores = torch.zeros(1, 3), torch.tensor([[0.9, 0.8, 0.7]])
    detections = Detections(boxes, labels.long(), scores, torch.ones(1, 3, dtype=torch.bool))
    assert mean_average_precision(detections, truth) == pytest.approx((1 + 2 / 3) / 2, abs=1e-15)
