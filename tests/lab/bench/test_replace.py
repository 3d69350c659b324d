import pytest
import torch
from torch import nn

from hinged import PiecewiseLinear, errors
from hinged.lab.bench.replace import replace_relus, widths


class Residual(nn.Module):
    """One ReLU at two places, one in place inside, one never called."""

    def __init__(self, second=4):
        super().__init__()
        self.act = nn.ReLU()
        self.unused = nn.ReLU()
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.last = nn.Conv2d(4, second, 1)

    def forward(self, x):
        x = self.act(self.inner(x))
        return self.act(self.last(x))


def test_every_relu_that_is_called_becomes_a_curve_of_its_width():
    model, x = Residual().eval(), torch.randn(2, 3, 5, 5)
    before, statistics = model(x), model.inner[1].running_mean.clone()
    replace_relus(model, x, lambda channels: PiecewiseLinear(channels))
    assert isinstance(model.act, PiecewiseLinear) and model.act.channels == 4
    assert isinstance(model.inner[2], PiecewiseLinear)
    assert isinstance(model.unused, nn.ReLU)
    assert torch.equal(model(x), before)
    assert torch.equal(model.inner[1].running_mean, statistics)


def test_mode_and_statistics_stay():
    model = Residual().train()
    assert widths(model, torch.randn(2, 3, 5, 5)) == {"act": 4, "inner.2": 4}
    assert model.training and model.inner[1].num_batches_tracked == 0


def test_one_module_with_two_widths_is_refused():
    with pytest.raises(errors.ArgumentError, match="act called with 4 and 7 channels"):
        widths(Residual(second=7), torch.randn(2, 3, 5, 5))
