import pytest
import torch
from torch import nn

from hinged import PiecewiseLinear
from hinged.lab.experiment.settings import CurveSettings
from hinged.lab.networks.activations import activation_factory
from hinged.lab.training.freezing import freeze, set_training_mode


def network(activation):
    return nn.Sequential(
        nn.Conv2d(3, 4, 1),
        nn.BatchNorm2d(4),
        activation,
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(16, 2),
    )


@pytest.mark.parametrize(
    ("trains", "names"),
    [
        ("everything", {"0", "1", "2", "5"}),
        ("head", {"5"}),
        ("head+norm", {"1", "5"}),
        ("head+curves", {"2", "5"}),
        ("head+curves+norm", {"1", "2", "5"}),
    ],
)
@pytest.mark.parametrize(
    "activation",
    [
        nn.ReLU(),
        nn.PReLU(4),
        PiecewiseLinear(4),
        activation_factory("curvature_tuning", CurveSettings())(4),
    ],
    ids=type,
)
def test_only_the_named_parts_are_trained(trains, names, activation):
    model = freeze(network(activation.requires_grad_(True)), trains, ["5"])
    own = {n.partition(".")[0] for n, p in model.named_parameters() if p.requires_grad}
    assert own == names - (set() if list(activation.parameters()) else {"2"})


@pytest.mark.parametrize("trains", ["head+biases", "head+curves+biases"])
def test_biases_are_those_of_layers_and_of_normalisation(trains):
    model = freeze(network(nn.PReLU(4)), trains, ["5"])
    own = {name for name, p in model.named_parameters() if p.requires_grad}
    curves = {"2.weight"} if "curves" in trains else set()
    assert own == {"0.bias", "1.bias", "5.weight", "5.bias"} | curves
    assert set_training_mode(model)[1].training


def test_curves_with_frozen_values_stay_frozen():
    model = network(PiecewiseLinear(4).requires_grad_(False))
    freeze(model, "head+curves", ["5"])
    assert not model[2].values.requires_grad and model[5].weight.requires_grad


@pytest.mark.parametrize(("trains", "drifts"), [("head", False), ("head+norm", True)])
def test_frozen_normalisation_keeps_its_statistics(trains, drifts):
    model = freeze(network(nn.ReLU()), trains, ["5"])
    before = model[1].running_mean.clone()
    set_training_mode(model)(torch.randn(8, 3, 2, 2) + 5)
    assert torch.equal(model[1].running_mean, before) != drifts
    assert model.training and model[3].training
    assert not set_training_mode(model, False)[1].training
