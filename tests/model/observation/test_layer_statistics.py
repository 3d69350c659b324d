import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from hinged import PiecewiseLinear, errors
from hinged.model import Histogram, LineCounts, Moments, collect_statistics
from tests.model.networks import Convolutional, assert_unchanged, snapshot
from tests.model.observation.number_batches import same

X = torch.randn(12, 3, 8, 8)


@pytest.mark.parametrize("training", [True, False])
def test_the_model_does_not_change(training):
    model = Convolutional().train(training)
    model.norm.eval()
    before = snapshot(model)
    collect_statistics(model, X)
    assert_unchanged(model, before)
    assert all(not module._forward_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_model_does_not_change_when_it_fails():
    model = Convolutional()
    before = snapshot(model)
    with pytest.raises(RuntimeError):
        collect_statistics(model, [X, torch.zeros(2, 7)])
    assert_unchanged(model, before)
    assert not model.first._forward_hooks


def test_statistics_are_those_of_inputs_and_outputs():
    model = Convolutional().eval()
    statistics = collect_statistics(model, list(X.split(5)))
    with torch.no_grad():
        inputs = model.norm(model.conv(X))
        outputs = model.first(inputs)
    first = statistics["first"]
    assert statistics.keys() == {"first", "second"}
    assert first.inputs.count.tolist() == [12 * 36] * 5
    for found, expected in [
        (first.inputs, Moments.of(inputs, 5)),
        (first.outputs, Moments.of(outputs, 5)),
        (first.absolute_outputs, Moments.of(outputs.abs(), 5)),
    ]:
        torch.testing.assert_close(found.mean, expected.mean, atol=1e-6, rtol=1e-6)
        torch.testing.assert_close(found.std, expected.std, atol=1e-6, rtol=1e-6)
    assert first.histogram.counts.sum() == first.lines.counts.sum() == inputs.numel()


def test_batches_in_every_form_give_the_same_statistics():
    model = Convolutional().eval()
    y = torch.zeros(12)
    expected = collect_statistics(model, X)["first"]
    loader = DataLoader(TensorDataset(X, y), batch_size=12)
    for data in (
        loader,
        (X, y),
        [X],
        [(X, y)],
        [[X, y]],
        {"x": X},
        iter([X]),
        {"x": X, "scale": 1.0},
    ):
        found = collect_statistics(model, data)["first"]
        assert same(found.histogram, expected.histogram) and same(found.lines, expected.lines)


def test_both_calls_of_a_layer_used_twice_count_and_a_shared_curve_is_one_channel():
    act = PiecewiseLinear()
    model = nn.Sequential(nn.Linear(3, 7), act, nn.Linear(7, 2), act)
    statistics = collect_statistics(model, torch.randn(10, 3))
    assert list(statistics) == ["1"]
    assert statistics["1"].inputs.count.tolist() == [10 * 7 + 10 * 2]


def test_half_precision():
    act = PiecewiseLinear(4, dtype=torch.bfloat16)
    x = torch.randn(50, 4, dtype=torch.bfloat16)
    statistics = collect_statistics(act, x)[""]
    assert same(statistics.histogram, Histogram.of(x, 4))
    assert same(statistics.lines, LineCounts.of(x, act.hinges, 4))


def test_refusals():
    model = Convolutional()
    with pytest.raises(errors.ArgumentError, match="got a ReLU without curves"):
        collect_statistics(nn.ReLU(), X)
    for data, got in [
        (3, "got an int"),
        (
            TensorDataset(X),
            r"got a TensorDataset; .*, such as DataLoader\(dataset, batch_size=64\)",
        ),
        ([], "got no batches"),
        (iter(()), "got no batches"),
        (["x"], "got a batch that is a str"),
        (X.split(3), "got a tuple of length 4; expected one batch as a pair"),
        ([()], "got a batch that is a tuple"),
    ]:
        with pytest.raises(errors.ArgumentError, match=got):
            collect_statistics(model, data)
