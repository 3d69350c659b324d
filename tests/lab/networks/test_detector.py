import pytest
import torch
from torch import nn

from hinged import errors
from hinged.lab import data
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings, TrainingSettings
from hinged.lab.networks import catalogue
from hinged.lab.networks.activations import ACTIVATIONS
from hinged.lab.networks.detector import DETECTORS, DetectorBlock
from hinged.lab.runs.run_trial import weights_digest
from hinged.lab.training import fit

CURVES = CurveSettings()


def build(kind="detector", activation="relu", name="shapes", **network):
    settings = NetworkSettings(kind=kind, **{"width": 4, "depth": 2, **network})
    factory = ACTIVATIONS[activation](CURVES)
    return catalogue.build_network(
        settings, data.load_data_set(name, train_size=64, test_size=32), factory, 0
    )


@pytest.mark.parametrize("kind", DETECTORS)
@pytest.mark.parametrize("batch_norm", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_outputs_have_one_cell_for_each_square_of_pixels(kind, depth, batch_norm):
    model = build(kind, depth=depth, batch_norm=batch_norm)
    assert model(torch.zeros(2, 3, 48, 64)).shape == (2, 6, 48 // 2**depth, 64 // 2**depth)
    filters = [block.second_activation for block in model if isinstance(block, DetectorBlock)]
    assert len(filters) == depth
    assert any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules()) == batch_norm


def test_a_residual_block_equals_the_sum_of_its_parts():
    block = DetectorBlock(3, 4, lambda channels: nn.Tanh(), batch_norm=False, residual=True)
    x = torch.randn(2, 3, 8, 8)
    inner = nn.functional.conv2d(x, block.first.weight, block.first.bias, stride=2, padding=1)
    inner = nn.functional.conv2d(inner.tanh(), block.second.weight, block.second.bias, padding=1)
    means = x.view(2, 3, 4, 2, 4, 2).mean(dim=(3, 5))
    last = block.shortcut[1]
    shortcut = torch.einsum("nchw,fc->nfhw", means, last.weight[..., 0, 0])
    expected = (inner + shortcut + last.bias.view(1, -1, 1, 1)).tanh()
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("kind", DETECTORS)
def test_weights_do_not_depend_on_the_activation(kind):
    assert len({weights_digest(build(kind, activation)) for activation in ACTIVATIONS}) == 1


def test_an_untrained_detector_predicts_a_class_in_about_one_cell_of_100():
    model = build(batch_norm=True).eval()
    loaded = data.load_data_set("shapes", train_size=64, test_size=32)
    shares = model(loaded.to_inputs(loaded.x_train))[:, :2].sigmoid()
    assert 0.003 < shares.mean().item() < 0.03


def test_networks_that_do_not_fit_the_data_are_errors():
    with pytest.raises(
        errors.ArgumentError, match=r"`network.kind cnn`: got the data set shapes, which"
    ):
        build("cnn")
    with pytest.raises(
        errors.ArgumentError,
        match=r"`network.kind detector`: got the data set digits, .*cnn, mlp, .*vgg11",
    ):
        build(name="digits")
    with pytest.raises(
        errors.ArgumentError, match=r"`network\.depth`: got 6 blocks on images of 48 x 64 pixels"
    ):
        build(depth=6)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "hinged"])
def test_a_detector_learns_to_find_shapes(activation):
    loaded = data.load_data_set("shapes", train_size=256, test_size=64)
    settings = NetworkSettings(kind="detector", width=6, depth=2, batch_norm=True)
    model = catalogue.build_network(settings, loaded, ACTIVATIONS[activation](CURVES), 0)
    training = TrainingSettings(epochs=6, batch_size=16, lr=0.02, augment=("flip",))
    result = fit.train_network(model, loaded, training, seed=0)
    assert result.test_scores[0] < 0.5 < result.test_score
