import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hinged.curve.compression.search import (
    best_subset,
    exclude_pieces,
    piece_losses,
    search_subsets,
)
from tests import oracles

FUNCTIONS = {"gelu": torch.nn.functional.gelu, "sin": lambda x: torch.sin(2 * x), "abs": torch.abs}


def best_free_slopes(points, weights, target, hinges, values):
    slopes = []
    for end, outside in ((0, points < hinges[0]), (-1, points >= hinges[-1])):
        x, y, w = points[outside] - hinges[end], target[outside] - values[end], weights[outside]
        square = (w * x * x).sum()
        slopes.append((w * x * y).sum() / square if square > 0 else 0.0)
    return slopes


def loss(points, weights, target, hinges, values, tails):
    slopes = None
    if tails == "free":
        slopes = best_free_slopes(points, weights, target, hinges, values)
    found = oracles.interpolate(points, hinges, values, tails, slopes)
    return (weights * (found - target) ** 2).sum()


@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
@given(data=st.data())
def test_the_search_loses_what_the_best_of_all_choices_loses(tails, data):
    function = FUNCTIONS[data.draw(st.sampled_from(sorted(FUNCTIONS)))]
    numbers = st.lists(st.integers(-12, 12), min_size=6, max_size=6, unique=True).map(sorted)
    candidates = torch.tensor(data.draw(numbers), dtype=torch.float64) / 4
    points = torch.linspace(-4, 4, 21, dtype=torch.float64)
    weights = torch.tensor(
        data.draw(st.lists(st.integers(0, 4), min_size=21, max_size=21)), dtype=torch.float64
    )
    targets, heights = function(points), function(candidates)
    rows = [t[None] for t in (points, weights, targets, candidates, heights)]
    losses = exclude_pieces(piece_losses(*rows, tails), candidates[None], (), tails)
    subsets = search_subsets(losses, 5)
    arrays = [t.numpy() for t in (points, weights, targets)]
    for count in range(2, 6):
        tried = {
            places: loss(
                *arrays, candidates.numpy()[list(places)], heights.numpy()[list(places)], tails
            )
            for places in itertools.combinations(range(6), count)
        }
        expected = min(tried.values())
        assert subsets.loss[0, count - 2].item() == pytest.approx(expected, rel=1e-9, abs=1e-9)
        places = tuple(best_subset(subsets, count)[0].tolist())
        assert tried[places] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_pieces_of_a_straight_line_lose_nothing_far_from_0():
    points = torch.linspace(1000, 1006, 301, dtype=torch.float64)[None]
    candidates = torch.linspace(1000, 1006, 7, dtype=torch.float64)[None]
    relu = (points - 1003).relu(), (candidates - 1003).relu()
    losses = piece_losses(points, torch.ones_like(points), relu[0], candidates, relu[1], "linear")
    inside = losses.piece[0]
    for a, b in itertools.combinations(range(7), 2):
        if b <= 3 or a >= 3:
            assert inside[a, b] < 1e-20
        else:
            assert inside[a, b] > 1e-3


def test_forbidden_are_pieces_over_a_kink_and_without_width():
    candidates = torch.tensor([[-1.0, 0.0, 0.0, 1.0, 2.0]], dtype=torch.float64)
    zeros = torch.zeros_like(candidates)
    losses = piece_losses(candidates, zeros, zeros, candidates, zeros, "linear")
    linear = exclude_pieces(losses, candidates, (0.0,), "linear")
    possible = np.argwhere(linear.piece[0].isfinite().numpy()).tolist()
    assert possible == [[0, 1], [0, 2], [1, 3], [1, 4], [2, 3], [2, 4], [3, 4]]
    assert linear.left[0, :, -1].isfinite().tolist() == [True, False, False, False, False]
    assert linear.right[0, 0].isfinite().tolist() == [False, False, False, True, True]
    constant = exclude_pieces(losses, candidates, (0.0,), "constant")
    assert constant.left[0, :, -1].isfinite().tolist() == [True, True, True, False, False]
    assert constant.right[0, 0].isfinite().tolist() == [False, True, True, True, True]


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_which_pieces_are_too_narrow_does_not_depend_on_the_unit(scale):
    candidates = scale * torch.tensor([[-1.0, 0.0, 1e-7, 1e-5, 2.0]], dtype=torch.float64)
    zeros = torch.zeros_like(candidates)
    losses = piece_losses(candidates, zeros, zeros, candidates, zeros, "linear")
    allowed = exclude_pieces(losses, candidates, (), "linear").piece[0].isfinite()
    assert not allowed[1, 2] and allowed[1, 3] and allowed[2, 3]
