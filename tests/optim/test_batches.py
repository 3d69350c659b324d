"""Rows that are read in batches, and never all at once."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from hinged import errors
from hinged.nn import PiecewiseLinear
from hinged.optim import METHODS, MLP, fit, net_control
from hinged.optim.batches import mean_over_rows
from tests.optim.peak_memory import PeakMemory


class Stream:
    """Batches of 200 random rows, which are made whenever they are read."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        for seed in range(self.batches):
            generator = torch.Generator().manual_seed(seed)
            x = torch.randn(200, 3, dtype=torch.float64, generator=generator)
            yield x, (x[:, :1] * x[:, 1:2]).sin()


def trained(network, method, *rows):
    network = copy.deepcopy(network)
    result = fit(network, *rows, method=method, epochs=3)
    return result.error, torch.cat(
        [parameter.detach().flatten() for parameter in network.parameters()]
    )


@pytest.mark.parametrize("activation", [None, nn.Tanh()], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_the_result_does_not_depend_on_the_batches(problem, method, activation):
    network, x, y = problem(activation, patterns=20, hidden=3)
    error, weights = trained(network, method, x, y)
    for size in (1, 7, 20):
        stream = list(zip(x.split(size), y.split(size), strict=True))
        found_error, found = trained(network, method, stream)
        assert found_error == pytest.approx(error, rel=1e-9)
        torch.testing.assert_close(found, weights, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", METHODS)
def test_a_shuffled_data_loader_gives_the_result_of_the_tensors(problem, method):
    network, x, y = problem()
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    found, expected = trained(network, method, loader)[1], trained(network, method, x, y)[1]
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def cut_at_100_rows(monkeypatch):
    monkeypatch.setattr("hinged.optim.batches.BATCH_ROWS", 100)
    monkeypatch.setattr("hinged.optim.forward_pass.BATCH_ROWS", 100)


@pytest.mark.parametrize("method", METHODS)
def test_large_tensors_are_cut_without_a_change_of_the_result(problem, method, monkeypatch):
    network, x, y = problem(patterns=250)
    expected = trained(network, method, x, y)[1]
    cut_at_100_rows(monkeypatch)
    torch.testing.assert_close(trained(network, method, x, y)[1], expected, rtol=1e-8, atol=1e-8)


def peak_of_fit(problem, method, *rows):
    """The most bytes of tensors that net_control and fit make."""
    network, *_ = problem(outputs=1)
    with PeakMemory() as peak:
        net_control(network, rows[0])
        fit(network, *rows, method=method, epochs=1)
    return peak.bytes


@pytest.mark.parametrize("method", METHODS)
def test_memory_does_not_grow_with_the_rows_of_a_stream(problem, method):
    small = peak_of_fit(problem, method, Stream(4))
    assert peak_of_fit(problem, method, Stream(7)) <= 1.01 * small
    x, y = (torch.cat(part) for part in zip(*Stream(7), strict=True))
    assert peak_of_fit(problem, method, x, y) > 2 * small  # One batch of all rows needs more.


@pytest.mark.parametrize("method", METHODS)
def test_beside_the_rows_memory_does_not_grow_with_the_rows_of_tensors(
    problem, method, monkeypatch
):
    cut_at_100_rows(monkeypatch)
    x, y = (torch.cat(part) for part in zip(*Stream(5), strict=True))
    small = peak_of_fit(problem, method, x[:400], y[:400])
    assert peak_of_fit(problem, method, x, y) <= 1.01 * small


def test_net_control_of_batches_is_that_of_all_rows():
    x = 7 + 3 * torch.randn(50, 3, dtype=torch.float64)
    network = MLP(3, 4, 1, nn.ReLU())
    net_control(network, [(part, part[:, :1]) for part in x.split(7)], -2.0, 0.1)
    nets = network.hidden(x).detach().numpy()
    np.testing.assert_allclose(nets.mean(axis=0), np.full(4, -2.0), rtol=1e-9)
    np.testing.assert_allclose(nets.std(axis=0), np.full(4, 0.1), rtol=1e-9)


def test_a_constant_net_in_batches_is_only_shifted():
    torch.manual_seed(0)
    network = MLP(20, 20, 1, nn.ReLU())
    weights = network.hidden.weight.detach().clone()
    rows = torch.randn(20, dtype=torch.float64).expand(200, 20)
    net_control(network, [(part, part[:, :1]) for part in rows.split([128, 64, 7, 1])])
    assert torch.equal(network.hidden.weight, weights)
    assert network.hidden(rows).detach().numpy() == pytest.approx(0.5)


def test_means_of_batches_are_weighted_by_their_rows():
    values = torch.randn(20, 3, dtype=torch.float64)
    parts = [
        (len(part), [part.mean(dim=0), part.sum().item() / len(part)]) for part in values.split(7)
    ]
    mean, total = mean_over_rows(parts)
    torch.testing.assert_close(mean, values.mean(dim=0))
    assert total == pytest.approx(values.sum().item() / 20)


class ReadOnce(IterableDataset):
    """Batches that are an iterable with a stored iterator."""

    def __init__(self, batches):
        self.batches = iter(batches)

    def __iter__(self):
        return self.batches


def test_an_iterable_that_is_empty_in_the_second_pass_can_be_iterated_only_once(problem):
    network, x, y = problem()
    for rows in (ReadOnce([(x, y)]), DataLoader(ReadOnce([(x, y)]), batch_size=None)):
        with pytest.raises(errors.ArgumentError, match="can be iterated only once have none"):
            fit(network, rows)


def ones(*shape):
    return torch.ones(shape, dtype=torch.float64)


@pytest.mark.parametrize(
    "rows, message",
    [
        (
            ((pair for pair in [(ones(4, 2), ones(4, 1))]),),
            "got a generator; it can be iterated only once",
        ),
        ((ones(4, 2),), "got a Tensor as x and None as y"),
        (([(ones(4, 2), ones(4, 1))], ones(4, 1)), "got a list as x and a Tensor as y"),
        ((np.ones((4, 2)), np.ones((4, 1))), "got a ndarray as x and a ndarray as y"),
        ((3,), "got an int as x and None as y"),
        (([ones(4, 2)],), "got a Tensor as a batch; expected a pair of tensors"),
        (([(ones(4, 2), np.ones((4, 1)))],), "got a tuple as a batch"),
        ((ones(4, 2), ones(4)), r"targets of shape \(4,\); expected \(rows, 2\) and \(rows, 1\)"),
        ((ones(4, 2), ones(3, 1)), r"inputs of shape \(4, 2\) and targets of shape \(3, 1\)"),
        ((ones(4, 3), ones(4, 1)), r"inputs of shape \(4, 3\)"),
        (([],), "got no rows"),
        ((ones(0, 2), ones(0, 1)), r"got no rows; expected at least one row\.$"),
        ((ones(4, 2) * np.inf, ones(4, 1)), "got infinite or NaN inputs; expected finite"),
        (([(ones(4, 2), ones(4, 1)), (ones(4, 2), ones(4, 1) * np.nan)],), "NaN targets"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(rows, message):
    network = MLP(2, 3, 1, PiecewiseLinear(3))
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(errors.ArgumentError, match=message):
        fit(network, *rows, epochs=1)
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize(
    "inputs, message",
    [
        (ones(0, 2), "got no rows"),
        (ones(4, 3), r"got inputs of shape \(4, 3\); expected \(rows, 2\)"),
        (ones(2), r"inputs of shape \(2,\)"),
        (ones(4, 2) * np.nan, "NaN inputs"),
        (torch.ones(4, 2), "float32 in x"),
    ],
)
def test_net_control_refuses_inputs_that_cannot_be_used(inputs, message):
    with pytest.raises(errors.HingedError, match=message):
        net_control(MLP(2, 3, 1, nn.ReLU()), inputs)


def test_a_batch_in_single_precision_is_refused():
    with pytest.raises(errors.DtypeError, match=r"float32 in y; expected torch\.float64"):
        fit(MLP(2, 3, 1, nn.ReLU()), [(ones(4, 2), torch.ones(4, 1))])
