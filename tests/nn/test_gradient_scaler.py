"""Steps in the metric with `torch.amp.GradScaler`."""

import copy

import pytest
import torch
from torch import nn

from tests.nn.metric_training import adamw, assert_equal_training, batch, loss_of, network


def train_scaled(fused, overflow_at=None, scale=2.0**10, clip=False):
    model = network()
    optimizer = adamw(model, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=10_000)
    for step in range(6):
        optimizer.zero_grad()
        scaler.scale(loss_of(model, batch(step))).backward()
        if step == overflow_at:
            model[0].weight.grad[0, 0] = float("inf")
            before = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
        if clip:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
        scaler.step(optimizer)
        scaler.update()
        if step == overflow_at:
            assert_equal_training(model, restored(before[0]))
            for key, state in before[1]["state"].items():
                for name, old in state.items():
                    new = optimizer.state_dict()["state"][key][name]
                    assert torch.equal(torch.as_tensor(old), torch.as_tensor(new)), name
            assert model[1].values.grad is not None
    return model


def restored(state):
    model = network()
    model.load_state_dict(state)
    return model


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("fused", [False, True])
def test_a_gradient_scaler_changes_nothing(fused, clip):
    scaled, plain = (train_scaled(fused, scale=scale, clip=clip) for scale in (2.0**10, 1.0))
    for one, other in zip(scaled.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("step", [0, 3])
def test_a_step_with_an_overflow_is_skipped(fused, step):
    train_scaled(fused, overflow_at=step)
