import pytest
import torch

from hinged.lab.problems.boxes import (
    box_area,
    box_iou,
    generalised_box_iou,
    non_maximum_suppression,
)
from tests.lab.problems.rasters import around, counted_overlap, pixels, random_boxes


@pytest.fixture
def pairs():
    generator = torch.Generator().manual_seed(1)
    return random_boxes(generator, 200), random_boxes(generator, 200)


def test_iou_is_that_of_counted_pixels(pairs):
    found = box_iou(*pairs)
    counted = [counted_overlap(*pair) for pair in zip(*pairs, strict=True)]
    torch.testing.assert_close(found, torch.tensor(counted))
    assert 0 < sum(share == 0 for share in counted) < 200


def test_generalised_iou_is_that_of_counted_pixels(pairs):
    expected = []
    for one, other in zip(*pairs, strict=True):
        hull = pixels(around(one, other))
        left = hull - pixels(one) - pixels(other)
        expected.append(counted_overlap(one, other) - len(left) / len(hull))
    torch.testing.assert_close(generalised_box_iou(*pairs), torch.tensor(expected))


def test_boxes_without_an_area_overlap_nothing_and_have_finite_gradients():
    point = torch.tensor([[3.0, 3.0, 3.0, 3.0]], requires_grad=True)
    assert box_area(point).item() == 0 and box_iou(point, point).item() == 0
    generalised_box_iou(point, torch.tensor([[0.0, 0.0, 2.0, 2.0]])).sum().backward()
    assert point.grad.isfinite().all()


def stays(boxes, labels, most):
    """Non-maximum suppression by the loop of textbooks."""
    left, kept = list(range(len(boxes))), []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [
            other
            for other in left
            if labels[other] != labels[best] or counted_overlap(boxes[best], boxes[other]) <= most
        ]
    return [place in kept for place in range(len(boxes))]


@pytest.mark.parametrize("most", [0.3, 0.5])
def test_suppression_of_many_images_at_once_is_the_loop_over_each(most):
    generator = torch.Generator().manual_seed(2)
    boxes = random_boxes(generator, 8, 30)
    labels = torch.randint(0, 2, (8, 30), generator=generator)
    expected = [stays(*image, most) for image in zip(boxes, labels, strict=True)]
    assert non_maximum_suppression(boxes, labels, most).tolist() == expected
    assert 0 < sum(map(sum, expected)) < 8 * 30
