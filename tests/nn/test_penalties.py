from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors, penalty

KINDS = ("curvature", "differences", "drift")


def network(tails="linear", dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(
        PiecewiseLinear(4, tails=tails, dtype=dtype),
        PiecewiseLinear(3, hinges=5, range=(-1, 2), dtype=dtype),
        PiecewiseLinear(1, hinges=[-1.0, 0.5, 4.0], init="identity", dtype=dtype),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model


def rows(layer):
    """Hinges, values and slopes of all lines of each channel, in NumPy."""
    hinges = layer.hinges.double().numpy()
    for channel, values in enumerate(layer.values.detach().double().numpy()):
        slopes = np.diff(values) / np.diff(hinges)
        ends = {"linear": slopes[[0, -1]], "constant": np.zeros(2)}.get(layer.tails)
        if ends is None:
            ends = layer.tail_slopes[channel].detach().double().numpy()
        yield hinges, values, np.r_[ends[0], slopes, ends[1]]


def squared_gap(x, hinges, differences):
    return np.interp(x, hinges, differences) ** 2


def expected(kind, model, begun):
    found = []
    for layer, before in zip(model, begun, strict=True):
        for (hinges, values, slopes), (_, old, _) in zip(rows(layer), rows(before), strict=True):
            if kind == "curvature":
                found.append(np.abs(np.diff(slopes)).sum())
            elif kind == "differences":
                found.append(np.abs(np.diff(values)).sum())
            else:
                gap = partial(squared_gap, hinges=hinges, differences=values - old)
                found.append(sum(quad(gap, *ends)[0] for ends in pairwise(hinges)))
    return found


@pytest.mark.parametrize("tails", ["linear", "constant", "free"])
@pytest.mark.parametrize("kind", KINDS)
def test_penalties_are_what_numpy_computes(kind, tails):
    model, begun = network(tails), network(tails, seed=1)
    start = {"start": hinged.copy_curves(begun)} if kind == "drift" else {}
    wanted = expected(kind, model, begun)
    assert penalty(model, kind, **start).item() == pytest.approx(np.mean(wanted), rel=1e-12)
    total = penalty(model, kind, reduction="sum", **start)
    assert total.item() == pytest.approx(np.sum(wanted), rel=1e-12)
    assert total.dim() == 0 and total.dtype == torch.float64


def test_the_mean_does_not_grow_with_the_model():
    layers = [PiecewiseLinear(4) for _ in range(5)]
    assert penalty(nn.Sequential(*layers)).item() == penalty(layers[0]).item() == 1.0


def test_a_shared_layer_counts_once():
    layer = PiecewiseLinear(4)
    assert penalty(nn.Sequential(layer, layer), reduction="sum").item() == 4.0


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_the_formulas(kind):
    model, start = network(), hinged.copy_curves(network(seed=1))
    given = {"start": start} if kind == "drift" else {}
    layer = model[0]

    def by_values(values):
        held = nn.Module()
        held.layer = PiecewiseLinear(4, dtype=torch.float64)
        curve = hinged.Curve(layer.hinges, values)
        held.layer.curve = lambda: curve
        begun = {"start": {"layer": start["0"]}} if given else {}
        return penalty(held, kind, **begun)

    assert torch.autograd.gradcheck(by_values, (layer.values.detach().requires_grad_(),))


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_step_downhill_gains_what_the_gradient_promises(kind):
    model = network()
    given = {"start": hinged.copy_curves(network(seed=1))} if kind == "drift" else {}
    before = penalty(model, kind, **given)
    before.backward()
    promised = 0.0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-6 * parameter.grad
            promised += 1e-6 * parameter.grad.square().sum().item()
    gained = before.item() - penalty(model, kind, **given).item()
    assert gained == pytest.approx(promised, rel=1e-4)


def test_the_gradient_of_drift_at_the_start_is_0():
    model = PiecewiseLinear(2)
    penalty(model, "drift", start=hinged.copy_curves(model)).backward()
    assert torch.equal(model.values.grad, torch.zeros(2, 9))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_float32(dtype):
    model = PiecewiseLinear(4096, init="abs", dtype=dtype)
    total = penalty(model, reduction="sum")
    assert total.dtype == torch.float32 and total.item() == 8192.0
    total.backward()
    assert model.values.grad.dtype == dtype


@pytest.mark.parametrize(
    "kind, given, message",
    [
        ("drift", {}, "kind='drift' without a start"),
        ("curvature", {"start": {}}, "kind='curvature' with a start"),
        ("drift", {"start": {"7": None}}, r"only one of the two: \['', '7'\]"),
        ("curvy", {}, "did you mean 'curvature'"),
        ("curvature", {"reduction": "max"}, "mean, sum"),
    ],
)
def test_refusals(kind, given, message):
    with pytest.raises(errors.ArgumentError, match=message):
        penalty(PiecewiseLinear(2), kind, **given)


def test_a_model_without_curves_is_refused():
    with pytest.raises(errors.ArgumentError, match="a Linear without curves"):
        penalty(nn.Linear(2, 2))
