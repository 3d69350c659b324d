import sys

import pytest
import torch
from torch import nn

from hinged import PiecewiseLinear, errors
from hinged.lab import data
from hinged.lab.experiment.settings import CurveSettings, NetworkSettings
from hinged.lab.networks import catalogue
from hinged.lab.networks.activations import ACTIVATIONS, activation_parameters
from hinged.lab.runs.run_trial import weights_digest

CURVES = CurveSettings()


def build(network, activation="relu", seed=0, name="digits", curves=CURVES):
    factory = ACTIVATIONS[activation](curves)
    return catalogue.build_network(network, data.load_data_set(name), factory, seed)


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_vgg_blocks(depth, batch_norm):
    network = NetworkSettings(depth=depth, width=4, batch_norm=batch_norm)
    model = build(network)
    kinds = [type(layer) for layer in model]
    norm = [nn.BatchNorm2d] if batch_norm else []
    block = [nn.Conv2d, *norm, nn.ReLU, nn.Conv2d, *norm, nn.ReLU, nn.MaxPool2d]
    assert kinds == block * depth + [nn.Flatten, nn.Linear]
    filters = [layer.out_channels for layer in model if isinstance(layer, nn.Conv2d)]
    assert filters == [4 * 2**block for block in range(depth) for _ in range(2)]
    assert model(torch.zeros(3, 1, 8, 8)).shape == (3, 10)


@pytest.mark.parametrize("name", data.SKLEARN_DATA)
def test_mlp_takes_every_data_set(name):
    loaded = data.load_data_set(name)
    model = build(NetworkSettings(kind="mlp", depth=3, width=7), name=name)
    assert model(loaded.to_inputs(loaded.x_test[:5])).shape == (5, loaded.outputs)
    assert sum(isinstance(layer, nn.ReLU) for layer in model) == 3


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_activation_gets_the_same_weights(activation):
    network = NetworkSettings()
    assert weights_digest(build(network, activation)) == weights_digest(build(network, "relu"))
    assert weights_digest(build(network, activation, seed=1)) != weights_digest(build(network))


def test_random_initial_values_of_an_activation_do_not_change_the_weights():
    def drawing(channels, dim):
        assert dim == 1
        module = nn.PReLU(channels)
        nn.init.normal_(module.weight)
        return module

    loaded, network = data.load_data_set("digits"), NetworkSettings()
    assert weights_digest(catalogue.build_network(network, loaded, drawing, 0)) == weights_digest(
        build(network)
    )


def test_building_does_not_change_the_random_state():
    before = torch.get_rng_state()
    build(NetworkSettings(), seed=7)
    assert torch.equal(torch.get_rng_state(), before)


def test_curves_start_as_the_relu_network():
    digits = data.load_data_set("digits")
    x = digits.to_inputs(digits.x_test)
    hinged, relu = build(NetworkSettings(), "hinged").eval(), build(NetworkSettings()).eval()
    assert torch.equal(hinged(x), relu(x))


def test_curves_are_per_channel_or_shared():
    network = NetworkSettings(depth=1, width=4)
    layers = [m for m in build(network, "hinged") if isinstance(m, PiecewiseLinear)]
    assert [layer.values.shape for layer in layers] == [(4, 9), (4, 9)]
    shared = build(network, "hinged", curves=CurveSettings(sharing="layer", hinges=5, tails="free"))
    assert sum(p.numel() for p in activation_parameters(shared)) == 2 * (5 + 2)


def test_a_cnn_refuses_tables_and_too_many_blocks():
    with pytest.raises(errors.ArgumentError, match=r"a cnn needs images: use `network\.kind mlp`"):
        build(NetworkSettings(), name="wine")
    message = r"`network\.depth`: got 4 blocks on images of 8 x 8 pixels"
    with pytest.raises(errors.ArgumentError, match=message):
        build(NetworkSettings(depth=4))


OWN = """
from torch import nn

def takes_activation(activation):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7), activation(7), nn.Linear(7, 10))

def has_relus(classes=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 7), nn.ReLU(), nn.Linear(7, 10))

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside, self.head = nn.Linear(8, 7), nn.Linear(7, 10)
    def forward(self, x):
        return self.head(nn.functional.gelu(self.inside(x[:, 0])).mean(dim=1))

def has_functions():
    return Tokens()

def has_none():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def too_few(activation):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 9))

def nothing(activation):
    return None

def needs_two(activation, classes):
    return too_few(activation)

def needs_a_name(*, classes):
    return has_relus()

def takes_a_number(classes):
    return nn.Linear(64, classes)

def for_colours():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 10), nn.ReLU())
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "nets.py").write_text(OWN)
    return lambda name: NetworkSettings(kind=f"{tmp_path / 'nets.py'}:{name}")


@pytest.mark.parametrize("name", ["takes_activation", "has_relus"])
def test_a_users_function_makes_the_network(own, name):
    model = build(own(name), "hinged")
    assert [type(layer) for layer in model][2] is PiecewiseLinear and model.training
    assert model[2].values.shape[0] == 7
    assert weights_digest(model) == weights_digest(build(own(name), "relu"))
    assert weights_digest(model) != weights_digest(build(own(name), "relu", seed=1))


def test_original_leaves_a_users_network_unchanged(own):
    assert not list(build(own("has_functions"), "original").children())[2:]


@pytest.mark.parametrize("activation", [name for name in ACTIVATIONS if name != "original"])
def test_every_activation_of_a_users_network_is_replaced(own, activation):
    model = build(own("has_functions"), activation, curves=CurveSettings(hinges=5, low=-1, high=1))
    (layer,) = model.hinged.children()
    assert type(layer) is type(ACTIVATIONS[activation](CURVES)(7))
    assert weights_digest(model) == weights_digest(build(own("has_functions"), "relu"))
    if activation == "hinged":
        assert layer.values.shape == (7, 5) and layer.dim == -1
        assert layer.hinges.tolist() == [-1, -0.5, 0, 0.5, 1]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("has_none", "got a Sequential without activations to replace; use an activation"),
        (
            "too_few",
            "shape (2, 9) for 2 samples; the data set digits needs outputs of shape (2, 10).",
        ),
        ("nothing", "got an object of class NoneType; the function must return an nn.Module."),
        (
            "needs_two",
            "needs_two`: got a function that needs the arguments activation, classes; it is called "
            "without arguments, or with one: a function that makes an activation.",
        ),
        ("needs_a_name", "got a function that needs the argument classes; it is called without"),
    ],
)
def test_a_function_that_makes_no_network_for_the_data_is_an_error(own, name, message):
    with pytest.raises(errors.ArgumentError) as refused:
        build(own(name))
    assert message in str(refused.value)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="errors have notes from Python 3.11 on")
@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("takes_a_number", "it was called with a function that makes an activation: activation(c"),
        ("for_colours", "was called with 2 samples of shape 1 x 8 x 8."),
    ],
)
def test_errors_of_a_users_network_have_a_note(own, name, note):
    with pytest.raises((TypeError, RuntimeError)) as raised:
        build(own(name))
    assert note in raised.value.__notes__[0]
