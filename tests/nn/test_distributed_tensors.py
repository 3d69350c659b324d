import copy

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import hinged
from hinged.nn.distributed_tensors import mean_over_processes, whole
from tests.nn.metric_training import adamw, batch, curves, loss_of, network
from tests.processes import in_two_processes


def test_means_of_one_process_are_sums_divided_by_counts():
    total = torch.tensor([[3.0, 6.0]])
    (found, number), none = mean_over_processes([(total, 3, 6.0), (total, 0, 0.0)])
    assert torch.equal(found, torch.tensor([[1.0, 2.0]])) and number == 2 and none is None
    assert mean_over_processes([]) == []


COMPARED = 20
"""The number of steps after which replicas are compared with one process. Later, an input that lies
on a hinge up to rounding may get the slope of the other side."""


def step_of(model, optimizer, step, rank, scale=1.0):
    optimizer.zero_grad()
    loss_of(model, scale * batch(step, rows=40)[rank::2]).backward()
    optimizer.step()


def check_alike(tensor):
    """Check that both processes have the same numbers, bit for bit."""
    gathered = [torch.empty_like(tensor) for _ in range(2)]
    torch.distributed.all_gather(gathered, tensor.detach().contiguous())
    assert torch.equal(*gathered)


def train_replicas(rank, folder):
    model = network()
    wrapped = DistributedDataParallel(model)
    optimizer = adamw(model)
    for step in range(100):
        step_of(wrapped, optimizer, step, rank)
        if step == COMPARED - 1:
            torch.save(model.state_dict(), f"{folder}/{rank}.pt")
    for values in curves(model):
        check_alike(values)
        check_alike(optimizer.state[values]["moments"])

    uneven = [(torch.full((2, 3), float(rank)), rank + 1, 6.0), (torch.ones(2), 0, 0.0)]
    (mean, number), none = mean_over_processes(uneven)
    torch.testing.assert_close(mean, torch.full((2, 3), 1 / 3))
    assert number == 4 and none is None


def train_sequences(rank):
    """Each process has samples of another length, and so other numbers of inputs per sample."""
    model = hinged.PiecewiseLinear(3, dim=-1)
    wrapped = DistributedDataParallel(model)
    optimizer = torch.optim.SGD(hinged.param_groups(model, 0.1, curve_decay=1.0))
    for _ in range(12):
        optimizer.zero_grad()
        wrapped(torch.randn(4, 5 + 20 * rank, 3)).square().mean().backward()
        optimizer.step()
    check_alike(model.values)


def calibrate_replicas(rank, by_view):
    model = network()
    wrapped = DistributedDataParallel(model, gradient_as_bucket_view=by_view)
    optimizer = adamw(model)
    calibration = hinged.calibrate_after(model, 4, observed_steps=2)
    start = [values.clone() for values in curves(model)]
    for step in range(16):
        step_of(wrapped, optimizer, step, rank, scale=5.0)
        if step < 4:
            assert all(map(torch.equal, curves(model), start))
        calibration.step()
    for values in curves(model):
        check_alike(values)
        assert optimizer.state[values]["step"] == 12


def train_and_calibrate_replicas(rank, folder):
    train_replicas(rank, folder)
    train_sequences(rank)
    for by_view in (False, True):
        calibrate_replicas(rank, by_view)


@pytest.mark.slow
def test_replicas_with_different_inputs_have_the_same_curves(tmp_path):
    in_two_processes(train_and_calibrate_replicas, tmp_path)
    whole_batch = network()
    optimizer = adamw(whole_batch)
    for step in range(COMPARED):
        optimizer.zero_grad()
        loss_of(whole_batch, batch(step, rows=40)).backward()
        optimizer.step()
    found = torch.load(tmp_path / "0.pt")
    for name, tensor in whole_batch.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-4, msg=name)


def sharded(model):
    for layer in model:
        if isinstance(layer, nn.Linear):
            fully_shard(layer)
    return fully_shard(model)


def train_shards(rank, folder):
    mesh = torch.distributed.init_device_mesh("cpu", (2,))
    assert mesh.size() == 2
    model, plain = sharded(network()), network()
    optimizer, expected = adamw(model), adamw(plain)
    for step in range(25):
        step_of(model, optimizer, step, rank)
        expected.zero_grad()
        (
            loss_of(plain, batch(step, rows=40)[::2]) + loss_of(plain, batch(step, rows=40)[1::2])
        ).div(2).backward()
        expected.step()
    for one, other in zip(curves(model), curves(plain), strict=True):
        check_alike(whole(one.detach()))
        torch.testing.assert_close(whole(one.detach()), other.detach(), rtol=1e-3, atol=1e-3)

    model_state, optimizer_state = copy.deepcopy(get_state_dict(model, optimizer))
    other = sharded(network())
    resumed = adamw(other)
    set_state_dict(other, resumed, model_state_dict=model_state, optim_state_dict=optimizer_state)
    for step in range(25, 40):
        step_of(model, optimizer, step, rank)
        step_of(other, resumed, step, rank)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(whole(one.detach()), whole(two.detach()))
    torch.save(None, f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_sharded_models_train_as_whole_ones_and_resume(tmp_path):
    in_two_processes(train_shards, tmp_path)
    assert (tmp_path / "1.pt").exists()
