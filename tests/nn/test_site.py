import torch

from hinged.nn import PiecewiseLinear, Site, layer_site


def test_a_layer_of_curves_is_described_as_a_site():
    layer = PiecewiseLinear(3, hinges=5, range=(-2.0, 2.0), dim=-1)
    assert layer_site("block.act", layer) == Site(
        "block.act", str(layer), channels=3, axis=-1, hinges=5, range=(-2.0, 2.0)
    )


def test_the_range_spans_the_hinges_of_all_channels():
    layer = PiecewiseLinear(2, torch.tensor([[-1.0, 0.0, 1.0], [-0.5, 0.0, 4.0]]))
    assert layer_site("", layer).range == (-1.0, 4.0)


def test_a_layer_on_the_meta_device_has_no_range():
    assert layer_site("", PiecewiseLinear(2, device="meta")).range is None
