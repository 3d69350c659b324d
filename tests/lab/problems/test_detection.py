import math

import pytest
import torch

from hinged.lab.problems import Detection

SIZE = 24, 32
CELL = 4
PROBLEM = Detection(("a", "b", "c"), SIZE)
NONE = [-1.0] * 5
TARGETS = torch.tensor(
    [
        [[0.0, 1.0, 2.0, 9.0, 12.0], [2.0, 20.0, 10.0, 23.0, 12.0], NONE],
        # The second lies inside the first and has the same centre.
        [[1.0, 4.0, 4.0, 20.0, 20.0], [2.0, 8.0, 8.0, 16.0, 16.0], [0.0, 24.0, 0.0, 32.0, 8.0]],
        [NONE, NONE, NONE],
    ]
)


def owners(targets):
    """The object that each cell is responsible for, cell by cell."""
    found = []
    for row in range(SIZE[0] // CELL):
        for column in range(SIZE[1] // CELL):
            x, y = CELL * (column + 0.5), CELL * (row + 0.5)
            claims = []
            for place, (label, left, top, right, bottom) in enumerate(targets.tolist()):
                reach = [
                    min(max(side / 2, 0.5 * CELL), 1.5 * CELL)
                    for side in (right - left, bottom - top)
                ]
                distance = abs(x - (left + right) / 2), abs(y - (top + bottom) / 2)
                if label >= 0 and distance[0] <= reach[0] and distance[1] <= reach[1]:
                    claims.append(((right - left) * (bottom - top), place))
            found.append(min(claims)[1] if claims else -1)
    return found


def right_outputs(targets, sure=12.0):
    """Outputs of a network that predicts every object."""
    rows, columns = SIZE[0] // CELL, SIZE[1] // CELL
    outputs = torch.full((len(targets), 7, rows, columns), -sure)
    for image, objects in enumerate(targets):
        for cell, owner in enumerate(owners(objects)):
            if owner < 0:
                continue
            row, column = divmod(cell, columns)
            label, *box = objects[owner].tolist()
            outputs[image, int(label), row, column] = sure
            x, y = CELL * (column + 0.5), CELL * (row + 0.5)
            sides = (x - box[0], y - box[1], box[2] - x, box[3] - y)
            for place, side in enumerate(sides):
                raw = math.log(math.expm1(side / CELL)) if side > 0 else -20.0
                outputs[image, 3 + place, row, column] = raw
    return outputs


def test_right_outputs_have_the_best_score_and_no_loss():
    outputs = right_outputs(TARGETS)
    assert PROBLEM.score(outputs, TARGETS) == 1.0
    assert PROBLEM.loss(outputs, TARGETS).item() < 1e-3
    detections = PROBLEM.decode(outputs)
    sure = detections.valid & (detections.scores > 0.5)
    assert sure.sum(dim=1).tolist() == [2, 3, 0]
    boxes = {tuple(round(side) for side in box) for box in detections.boxes[1][sure[1]].tolist()}
    assert boxes == {(4, 4, 20, 20), (8, 8, 16, 16), (24, 0, 32, 8)}


def test_cells_are_responsible_for_the_smallest_object_near_its_centre():
    outputs = torch.zeros(len(TARGETS), 7, SIZE[0] // CELL, SIZE[1] // CELL)
    found = PROBLEM._owners(outputs, TARGETS)
    assert found.tolist() == [owners(each) for each in TARGETS]
    assert all((found[image] == place).any() for image, place in ((0, 0), (0, 1), (1, 0), (1, 1)))


def test_the_loss_by_its_formula():
    """One responsible cell and 47 others, all with the same outputs."""
    outputs = torch.tensor([0.3, -1.0, 0.2, 0.1, -0.2, 0.4, 0.0]).view(1, 7, 1, 1)
    outputs = outputs.expand(1, 7, SIZE[0] // CELL, SIZE[1] // CELL)
    target = torch.tensor([[[0.0, 9.0, 9.0, 11.0, 11.0]]])
    assert (PROBLEM._owners(outputs, target) >= 0).sum() == 1
    shares = [1 / (1 + math.exp(-logit)) for logit in (0.3, -1.0, 0.2)]
    empty = sum(-0.75 * p**2 * math.log(1 - p) for p in shares)
    right = -0.25 * (1 - shares[0]) ** 2 * math.log(shares[0])
    responsible = right + sum(-0.75 * p**2 * math.log(1 - p) for p in shares[1:])
    left, top, to_right, down = (4 * math.log1p(math.exp(raw)) for raw in (0.1, -0.2, 0.4, 0.0))
    # The box contains the target, so it is the smallest box around both.
    box = (left + to_right) * (top + down)
    assert min(left, top, to_right, down) > 1
    expected = 47 * empty + responsible + 1 - 4 / box
    assert PROBLEM.loss(outputs, target).item() == pytest.approx(expected, rel=1e-5)


def test_without_objects_the_loss_is_that_of_empty_cells_and_has_a_gradient():
    outputs = torch.zeros(2, 7, 6, 8, requires_grad=True)
    loss = PROBLEM.loss(outputs, torch.full((2, 1, 5), -1.0))
    loss.backward()
    assert loss.item() == pytest.approx(2 * 48 * 3 * 0.75 * 0.25 * math.log(2), rel=1e-5)
    assert outputs.grad.isfinite().all() and (outputs.grad[:, 3:] == 0).all()


def test_outputs_in_bfloat16_give_a_loss_in_float32():
    outputs = right_outputs(TARGETS).bfloat16()
    assert PROBLEM.loss(outputs, TARGETS).dtype == torch.float32


def test_boxes_end_at_the_edge_of_the_image():
    outputs = torch.full((1, 7, 6, 8), 30.0)
    detections = PROBLEM.decode(outputs)
    assert detections.boxes.shape == (1, 100, 4)
    assert (detections.boxes == torch.tensor([0.0, 0.0, 32.0, 24.0])).all()
    assert detections.valid.sum() == 3  # One of each class.
