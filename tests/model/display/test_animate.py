import importlib.util

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors


def history(frames=3):
    layer, found = PiecewiseLinear(4), hinged.History()
    for step in range(frames):
        found.record(layer, 10 * step)
        with torch.no_grad():
            layer.values += 1
    return found


@pytest.mark.slow
def test_each_frame_shows_the_curves_of_its_step(tmp_path):
    film = hinged.animate(history())
    (axes,) = film._fig.axes
    limits = []
    for number in range(3):
        film._func(number)
        (median,) = [line for line in axes.get_lines() if line.get_label() == "median"]
        x = median.get_xdata()
        np.testing.assert_allclose(median.get_ydata(), np.maximum(x, 0) + number, atol=1e-6)
        assert axes.get_title() == f"step {10 * number}"
        limits.append((axes.get_xlim(), axes.get_ylim()))
    assert limits[0] == limits[1] == limits[2]
    assert limits[0][1][0] < 0 and limits[0][1][1] > 5
    film.save(tmp_path / "curves.gif", writer="pillow")
    with Image.open(tmp_path / "curves.gif") as picture:
        assert picture.n_frames == 3


def test_a_page_with_a_slider_shows_hinges_that_move_and_grow():
    model, found = nn.Sequential(PiecewiseLinear(2)), hinged.History()
    found.record(model)
    hinged.calibrate(model, 10 * torch.randn(50, 2), hinges=12)
    found.record(model)
    page = hinged.animate(found).to_jshtml()
    assert 'type="range"' in page and page.count("data:image/png") == 2


def test_refusals(monkeypatch):
    with pytest.raises(errors.ArgumentError, match="got an empty history"):
        hinged.animate(hinged.History())
    with pytest.raises(errors.ArgumentError, match=r"hinged\.animate\(examples"):
        hinged.animate(history(1), examples=-1)
    find = importlib.util.find_spec
    hide = lambda name, *rest: None if name == "matplotlib" else find(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", hide)
    with pytest.raises(errors.MissingExtraError, match="needs matplotlib"):
        hinged.animate(history(1))


@pytest.mark.parametrize("given", ["curves", [PiecewiseLinear(2)], nn.ReLU()], ids=str)
def test_other_things_than_a_history_are_refused(given):
    with pytest.raises(
        errors.ArgumentError, match=r"expected a hinged\.History, whose method record"
    ):
        hinged.animate(given)
