import importlib.util
import itertools

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors, plot
from hinged.model.display.panels import shorten_name


def network():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(2, 8), PiecewiseLinear(8), nn.Linear(8, 4), PiecewiseLinear(1, range=(-1, 1))
    )
    with torch.no_grad():
        model[1].values.add_(0.1 * torch.randn(8, 9))
    return model


def panels(figure):
    return [axes for axes in figure.axes if axes.get_title()]


def lines(axes, label):
    return [line for line in axes.get_lines() if line.get_label() == label]


def test_a_panel_shows_the_median_band_and_channels_that_numpy_computes():
    model = network()
    (axes, _) = panels(plot(model, examples=8))
    hinges, values = model[1].hinges.numpy(), model[1].values.detach().double().numpy()
    (median,) = lines(axes, "median")
    x = median.get_xdata()
    inside = (x >= hinges[0]) & (x <= hinges[-1])
    curves = np.array([np.interp(x[inside], hinges, row) for row in values])
    np.testing.assert_allclose(median.get_ydata()[inside], np.median(curves, axis=0), atol=1e-12)
    drawn = np.array([line.get_ydata()[inside] for line in lines(axes, "a channel")])
    assert len(drawn) == 8
    np.testing.assert_allclose(np.sort(drawn, axis=0), np.sort(curves, axis=0), atol=1e-12)
    (band,) = axes.collections
    tops = band.get_paths()[0].vertices
    y = np.array([line.get_ydata() for line in lines(axes, "a channel")])
    np.testing.assert_allclose(tops[:, 1].max(), np.quantile(y, 0.95, axis=0).max())


def test_the_histogram_shows_the_inputs():
    model, data = network(), torch.randn(500, 2)
    figure = plot(model, data)
    inputs = model[0](data).detach().double().numpy()
    behind = next(axes for axes in figure.axes if not axes.get_title())
    heights, edges, _ = behind.patches[0].get_data()
    within = (inputs >= edges[0]) & (inputs < edges[-1])
    assert heights.sum() == within.sum()
    middle = (heights * (edges[1:] + edges[:-1]) / 2).sum() / heights.sum()
    assert middle == pytest.approx(inputs[within].mean(), abs=np.diff(edges)[0])
    outside = (np.abs(inputs) > 3).mean()
    assert panels(figure)[0].get_title() == f"1\n8 channels, {100 * outside:.1f} % outside"


def test_the_model_does_not_change():
    model = nn.Sequential(nn.BatchNorm1d(2), PiecewiseLinear(2)).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    plot(model, [torch.randn(8, 2)])
    assert model.training and not model[1]._forward_hooks
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


@pytest.mark.slow
def test_layers_of_any_kind_are_drawn_without_a_window(tmp_path):
    hinges = torch.linspace(-1, 1, 5).repeat(2, 1) * torch.tensor([[1.0], [2.0]])
    layers = nn.ModuleDict()
    for tails in ("linear", "constant", "free"):
        layers[tails] = PiecewiseLinear(2, tails=tails)
        layers[f"{tails}_by_channel"] = PiecewiseLinear(
            2, hinges=hinges, tails=tails, dtype=torch.bfloat16
        )
    figure = plot(layers)
    assert [axes.get_title() for axes in panels(figure)] == [f"{n}\n2 channels" for n in layers]
    figure.savefig(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 10_000


def test_the_title_of_a_layer_without_inputs_says_so():
    model = network()
    model.forward = lambda x: model[1](model[0](x))
    assert panels(plot(model, torch.randn(4, 2)))[1].get_title() == "3\n1 channel, no inputs"


def test_the_farthest_channel_is_among_the_examples():
    layer = PiecewiseLinear(9)
    with torch.no_grad():
        layer.values[4] -= 1.0
    (axes,) = panels(plot(layer, examples=1))
    (line,) = lines(axes, "a channel")
    assert line.get_ydata()[0] == -1.0


def test_refusals(monkeypatch):
    with pytest.raises(errors.ArgumentError, match="a Linear without curves"):
        plot(nn.Linear(2, 2))
    with pytest.raises(errors.ArgumentError, match="got -1; expected a whole number"):
        plot(network(), examples=-1)
    find = importlib.util.find_spec
    hide = lambda name, *rest: None if name == "matplotlib" else find(name, *rest)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", hide)
    with pytest.raises(errors.MissingExtraError, match="needs matplotlib"):
        hinged.plot(network())


class StemInForward(nn.Module):
    """A network that applies its first activation in its own method, and the others in blocks."""

    def __init__(self, blocks):
        super().__init__()
        self.stem = nn.Linear(2, 4)
        self.first_stage_of_the_network = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 4), nn.ReLU()) for _ in range(blocks)
        )

    def forward(self, x):
        x = self.stem(x).relu()
        for block in self.first_stage_of_the_network:
            x = block(x)
        return x


def test_panels_and_tables_are_in_the_order_of_the_forward_pass():
    x = torch.randn(50, 2)
    model = hinged.convert(StemInForward(11), x)
    names = [site.name for site in hinged.sites(model)]
    assert names[0] == "hinged.relu_1" and list(dict(model.named_modules()))[1] == "stem"
    shown = [axes.get_title().splitlines()[0] for axes in panels(plot(model))]
    assert len(shown) == 12 and shown[0] == names[0]
    assert [title.split(".")[-2] for title in shown[1:]] == [
        name.split(".")[-2] for name in names[1:]
    ]
    assert list(hinged.copy_curves(model)) == names == list(hinged.diagnose(model, x).layers)
    part = nn.Sequential(nn.Linear(2, 2), PiecewiseLinear(2), model)
    assert list(hinged.copy_curves(part)) == [*(f"2.{name}" for name in names), "1"]


LONG = "model.text_encoder.encoder.layers.{}.feed_forward.intermediate_activation"


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 4, 9, 20, 50])
def test_nothing_overlaps_and_nothing_is_cut(count):
    layers = nn.ModuleDict()
    for number in range(count):
        layers[LONG.format(number).replace(".", "/")] = PiecewiseLinear(8, range=(-1.3, 1.2))
    layers.forward = lambda x: [layer(x) for layer in layers.values()]
    figure = plot(layers, torch.randn(99, 8))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [axes.get_tightbbox() for axes in panels(figure)]
    boxes.append(figure.legends[0].get_window_extent())
    width, height = canvas.get_width_height()
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    overlapping = [pair for pair in itertools.combinations(boxes, 2) if pair[0].overlaps(pair[1])]
    assert not overlapping


def test_shortened_names_fit_and_keep_their_numbers():
    names = [LONG.format(number) for number in range(100)]
    for length in (20, 36, 60):
        short = [shorten_name(name, length) for name in names]
        assert len(set(short)) == 100 and max(map(len, short)) <= length
        assert all(str(number) in each.split(".") for number, each in enumerate(short))
    assert shorten_name("layer1.0.relu") == "layer1.0.relu"
    assert len(shorten_name("1." * 50, 21)) <= 21
