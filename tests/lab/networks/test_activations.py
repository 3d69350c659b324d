import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hinged import PiecewiseLinear, errors
from hinged.lab.experiment.settings import CurveSettings
from hinged.lab.networks.activations import (
    ACTIVATIONS,
    TRAINABLE_ACTIVATIONS,
    activation_factory,
    activation_parameters,
    check_activation_name,
    replace_activations,
)
from hinged.lab.networks.published_activations import ChannelPReLU
from hinged.nn import param_groups


class Residual(nn.Module):
    """A model with one ReLU that two layers of different widths share, an in-place ReLU, a function
    call, and a ReLU that is never called. It computes feature maps first, then tokens."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.unused = nn.ReLU()
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.wide = nn.Conv2d(4, 7, 1)
        self.last = nn.Linear(7, 6)

    def forward(self, x):
        x = self.act(self.wide(self.act(self.inner(x))))
        return F.relu(self.last(x.flatten(2).transpose(1, 2)))


def factory(name, **settings):
    return ACTIVATIONS[name](CurveSettings(**settings))


def made(name, **settings):
    torch.manual_seed(0)
    model, x = Residual(), torch.randn(5, 3, 4, 4)
    plain = copy.deepcopy(model)
    return replace_activations(model, x, factory(name, **settings)), plain, x


def test_every_activation_is_replaced_by_curves_with_the_given_settings():
    model, plain, _ = made("hinged", hinges=5, low=-2, high=2, tails="constant")
    layers = [module for module in model.modules() if isinstance(module, PiecewiseLinear)]
    assert sorted(layer.values.shape for layer in layers) == [(4, 5), (4, 5), (6, 5), (7, 5)]
    assert all(layer.hinges.tolist() == [-2, -1, 0, 1, 2] for layer in layers)
    assert all(layer.tails == "constant" for layer in layers)
    assert model.training and model.inner[1].num_batches_tracked == 0
    assert isinstance(model.unused, nn.ReLU)
    assert plain.state_dict().keys() <= model.state_dict().keys()


def test_curves_that_start_as_relu_do_not_change_the_function():
    model, plain, x = made("hinged")
    assert torch.equal(model(x), plain(x))
    shared, plain, x = made("hinged", sharing="layer")
    assert torch.equal(shared(x), plain(x))
    assert sum(parameter.numel() for parameter in activation_parameters(shared)) == 4 * 9


@pytest.mark.parametrize("name", ["gelu", "leaky_relu", "silu"])
def test_every_activation_is_replaced_by_another_one(name):
    class By(Residual):
        def forward(self, x):
            function = getattr(F, name)
            x = function(self.wide(function(function(self.inner[1](self.inner[0](x))))))
            return function(self.last(x.flatten(2).transpose(1, 2)))

    model, plain, x = made(name)
    wanted = By()
    wanted.load_state_dict(plain.state_dict())
    assert torch.equal(model(x), wanted(x))


def test_prelu_has_one_slope_per_channel_on_any_axis():
    model, *_ = made("prelu")
    assert sum(parameter.numel() for parameter in activation_parameters(model)) == 4 + 4 + 7 + 6
    last = [m for m in model.modules() if isinstance(m, ChannelPReLU) and m.num_parameters == 6]
    nn.init.normal_(last[0].weight)
    tokens = torch.randn(2, 9, 6)
    expected = torch.where(tokens > 0, tokens, tokens * last[0].weight)
    assert torch.equal(last[0](tokens), expected)


def test_a_model_without_activations_is_an_error():
    with pytest.raises(errors.ArgumentError, match="a Linear without activations to replace; use"):
        replace_activations(nn.Linear(3, 2), torch.randn(4, 3), factory("silu"))
    gated = nn.Sequential(nn.Linear(3, 2), nn.Sigmoid())
    with pytest.raises(
        errors.ArgumentError, match=r"\(activation 1 is skipped: the model's output, bounded"
    ):
        replace_activations(gated, torch.randn(4, 3), factory("silu"))


OWN = """
import torch
from torch import nn


class Scaled(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x.relu() * self.scale.view(-1, *[1] * (x.dim() - 2))


class Anywhere(nn.Module):
    def __init__(self, dim, channels):
        super().__init__()
        self.channels, self.dim = channels, dim

    def forward(self, x):
        assert x.shape[self.dim] == self.channels
        return x.relu()


class Started(nn.Module):
    def __init__(self, curve):
        super().__init__()
        self.values = nn.Parameter(curve.values.clone())

    def forward(self, x):
        return x + self.values.sum() * 0


def fixed():
    return nn.Sequential(nn.ReLU(), nn.Tanh())


def nothing():
    return torch.relu
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    return lambda name, **settings: activation_factory(
        f"{tmp_path / 'own.py'}:{name}", CurveSettings(**settings)
    )


def test_a_users_function_gets_the_arguments_it_names(own):
    torch.manual_seed(0)
    model, x = Residual(), torch.randn(5, 3, 4, 4)
    plain = copy.deepcopy(model)
    for name in ("Scaled", "Anywhere"):
        made_so = replace_activations(copy.deepcopy(model), x, own(name))
        assert torch.equal(made_so(x), plain(x))
    widths = sorted(
        p.numel() for p in activation_parameters(replace_activations(model, x, own("Scaled")))
    )
    assert widths == [4, 4, 6, 7]
    assert (
        own("Started", hinges=5, low=-2, high=2)(3).inner.values.tolist() == [[0, 0, 0, 1, 2]] * 3
    )
    assert own("fixed")(3).inner(torch.tensor([-1.0])).item() == 0


def test_parameters_of_a_users_activation_are_in_the_group_of_activations(own):
    model = nn.Sequential(nn.Linear(2, 3), own("Scaled")(3))
    groups = param_groups(model, 0.1, 0.5, activation_lr=0.2, curve_types=TRAINABLE_ACTIVATIONS)
    (curves,) = [group for group in groups if group["name"] == "activations"]
    assert curves["params"] == [model[1].inner.scale]
    assert (curves["lr"], curves["weight_decay"]) == (0.2, 0.0)


def test_functions_that_cannot_be_loaded_are_errors(own, tmp_path):
    with pytest.raises(errors.ArgumentError, match="returns an object of class builtin_function"):
        own("nothing")(3)
    (tmp_path / "needs.py").write_text("def make(channels, slope, *, start):\n    pass")
    message = r"a function that needs the arguments channels, slope, start; it gets the number of"
    with pytest.raises(errors.ArgumentError, match=message):
        activation_factory(f"{tmp_path / 'needs.py'}:make", CurveSettings())(3)
    for name, message in [
        (f"{tmp_path / 'own.py'}:Scald", "the function 'Scald', which"),
        ("torch.nn:Tanhh", "did you mean 'Tanh'"),
        ("nowhere.at.all:Tanh", "nowhere.at.all, which is not an installed module"),
        ("torch.nowhere:Tanh", "torch.nowhere, which is not an installed module"),
    ]:
        with pytest.raises(errors.ArgumentError, match=message):
            activation_factory(name, CurveSettings())


def test_names_are_checked_without_loading_anything():
    for name in ("relu", "apl", "frozen:silu", "nowhere.py:make"):
        check_activation_name("activations", name)
    with pytest.raises(errors.UnknownNameError, match=r"`activations`: got 'rleu'; did you mean"):
        check_activation_name("activations", "rleu")
    with pytest.raises(errors.UnknownNameError, match=r"frozen:\.\.\.`: got 'sliu'; did you mean"):
        check_activation_name("activations", "frozen:sliu")


def test_frozen_curves_equal_the_function_they_start_as():
    frozen = activation_factory("frozen:tanh", CurveSettings(init="relu", hinges=33))(4)
    assert isinstance(frozen, PiecewiseLinear) and not frozen.values.requires_grad
    x = torch.linspace(-3, 3, 50).view(-1, 1).expand(-1, 4)
    assert (frozen(x) - x.tanh()).abs().max() < 0.01


def test_all_of_torchs_activations_without_parameters_have_a_name():
    """Exceptions: random ones (RReLU), those with arguments (Threshold), and non-scalar ones."""
    others = {"GLU", "MultiheadAttention", "PReLU", "RReLU", "Threshold"}
    names = {name for name in nn.modules.activation.__all__ if "oftm" not in name} - others
    assert {ACTIVATIONS[n](CurveSettings())(1).__class__.__name__ for n in ACTIVATIONS} >= names


@pytest.mark.parametrize("exponent", [-7, 7])
def test_training_in_the_metric_does_not_depend_on_the_unit(exponent):
    """With a power of 2 as the factor, no number is rounded differently."""
    x = torch.randn(64, 3)
    outputs = []
    for unit in (1.0, 2.0**exponent):
        torch.manual_seed(0)
        activation = activation_factory("hinged", CurveSettings(unit=unit))(8)
        model = nn.Sequential(nn.Linear(3, 8), activation, nn.Linear(8, 1))
        optimizer = torch.optim.AdamW(param_groups(model, 0.01))
        for _ in range(50):
            optimizer.zero_grad()
            (model(x) - x.prod(dim=1, keepdim=True)).square().mean().backward()
            optimizer.step()
        outputs.append(model(x))
    assert torch.equal(*outputs)
