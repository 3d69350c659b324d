import sys
import threading
from unittest import mock

import pytest
import torch
from torch import nn

import hinged
from hinged.model.conversion import candidates
from tests.model.conversion import mode_networks as networks

ROWS = torch.randn(8, 4)
NEEDS_COLUMNS = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="the columns of expressions are not known"
)


def runs(model):
    """Return in which modes `convert` searches a model for activations."""
    modes, trace = [], candidates.trace_activations

    def recorded(model, *args, **kwargs):
        modes.append(model.training)
        return trace(model, *args, **kwargs)

    with mock.patch.object(candidates, "trace_activations", recorded):
        hinged.convert(model, ROWS)
    return modes


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        networks.Base,
        networks.Layers,
        pytest.param(networks.Arguments, marks=NEEDS_COLUMNS),
        pytest.param(networks.EqualNumbers, marks=NEEDS_COLUMNS),
        networks.ByNumbersOnly,
        networks.FrozenNorm,
    ],
)
def test_one_run_serves_both_modes_if_their_activations_are_the_same(make, mode):
    model = make().train(mode)
    assert runs(model) == [mode] and model.training == mode
    converted = hinged.sites(model).converted
    assert [site.activation for site in converted] == ["ReLU()"]


@pytest.mark.parametrize("mode", [True, False])
@pytest.mark.parametrize(
    "make",
    [
        networks.UnequalNumbers,
        networks.OwnFunction,
        networks.Attribute,
        networks.TwoModules,
        networks.OneModuleStays,
        networks.ByNumbers,
        networks.ByShapes,
        networks.OwnTrain,
        networks.ModeOfClass,
        networks.ByChance,
    ],
)
def test_both_modes_run_if_their_activations_could_differ(make, mode):
    assert runs(make().train(mode)) == [mode, not mode]


@pytest.mark.parametrize("inference", [True, False])
def test_a_model_with_parameters_of_every_kind_runs_in_one_mode(inference):
    with torch.inference_mode(inference):
        model = networks.Layers().eval()
    model.unused = nn.LazyLinear(3)
    assert runs(model) == [False]


def test_a_gradient_that_evaluation_shows_counts_for_training():
    model = networks.Layers().eval()
    hinged.convert(model, ROWS)
    assert not hinged.sites(model).skipped


def test_the_mode_is_an_ordinary_attribute_after_a_run_and_in_other_threads():
    class Slow(networks.Base):
        def test(self, _x):
            thread = threading.Thread(target=lambda: other.eval().train())
            thread.start()
            thread.join()
            return False

    other, model = nn.Sequential(nn.Dropout()), Slow()
    hinged.convert(model, ROWS)
    assert other.training and other[0].training
    assert "training" not in vars(nn.Module) and vars(model)["training"]
