import math

import numpy as np
import pytest
import torch

from hinged.lab import data
from hinged.lab.data.synthetic import FUNCTIONS, SYNTHETIC, draw_shapes, sample_function

POINTS = {
    "sine": [((-2 * math.pi,), 0.0), ((math.pi / 2,), 1.0), ((-math.pi / 2,), -1.0)],
    "chirp": [((0.0,), 0.0), ((0.25,), math.sin(0.875 * math.pi)), ((1.0,), 0.0)],
    # The minimum, and two values of the formula by hand.
    "rosenbrock": [((1.0, 1.0), 0.0), ((0.0, 0.0), 1.0), ((-2.0, 2.0), 409.0)],
    # The formula, with a pocket calculator.
    "franke": [((0.0, 0.0), 0.766420), ((1.0, 1.0), 0.035869), ((0.5, 0.5), 0.325762)],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_at_known_points(name):
    for point, value in POINTS[name]:
        found = FUNCTIONS[name].evaluate(torch.tensor([point], dtype=torch.float64))
        assert found.item() == pytest.approx(value, abs=2e-6)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_points_fill_the_domain_and_are_the_same_at_every_call(name):
    first, again = sample_function(name), sample_function(name)
    assert torch.equal(first.x_train, again.x_train)
    low, high, inputs = FUNCTIONS[name][2:]
    assert first.x_train.shape == (2048, inputs) and first.x_test.shape == (10_201, inputs)
    assert first.x_test.amin(dim=0).tolist() == [low] * inputs
    assert first.x_test.amax(dim=0).tolist() == [high] * inputs
    assert len(first.x_test.unique(dim=0)) == 10_201
    assert low < first.x_train.min() < low + 0.01 * (high - low)
    assert first.y_train.shape == (2048, 1) and first.y_train.isfinite().all()


@pytest.mark.parametrize("name", SYNTHETIC)
def test_synthetic_data_need_no_folder(name):
    loaded = data.load_data_set(name, train_size=32, test_size=16)
    assert len(loaded.x_train) == 32 and loaded.to_inputs(loaded.x_train).isfinite().all()


def test_boxes_of_shapes_are_where_the_image_is_bright():
    made = draw_shapes(64)
    assert made.problem.target_fault(made.y_train) is None
    for image, rows in zip(made.x_train.numpy(), made.y_train, strict=True):
        covered = np.zeros((48, 64), dtype=bool)
        for _, left, top, right, bottom in rows[rows[:, 0] >= 0].int().tolist():
            covered[top:bottom, left:right] = True
            assert 0 <= left < right <= 64 and 0 <= top < bottom <= 48
            assert (image[:, (top + bottom) // 2, (left + right) // 2] >= 96).all()
        assert (image[:, ~covered] < 64).all()


def test_shapes_touch_all_sides_of_their_boxes():
    made = draw_shapes(64)
    alone = (made.y_train[:, :, 0] >= 0).sum(dim=1) == 1
    assert alone.any()
    for image, rows in zip(made.x_train[alone], made.y_train[alone], strict=True):
        rows_on, columns_on = (image.amin(dim=0) >= 96).nonzero().unbind(dim=1)
        found = [columns_on.min(), rows_on.min(), columns_on.max() + 1, rows_on.max() + 1]
        assert [int(side) for side in found] == rows[0, 1:].int().tolist()


def test_mirrored_boxes_are_those_of_the_mirrored_image():
    made = draw_shapes(64)
    turned = made.problem.mirror_targets(made.y_train)
    for image, rows in zip(made.x_train.flip(3), turned, strict=True):
        covered = torch.zeros(48, 64, dtype=torch.bool)
        for _, left, top, right, bottom in rows[rows[:, 0] >= 0].int().tolist():
            covered[top:bottom, left:right] = True
        assert (image[:, ~covered] < 64).all()
