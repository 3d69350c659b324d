"""A small training of curves in their metric, for tests."""

import torch
from torch import nn

from hinged import PiecewiseLinear, param_groups


def network(dtype=torch.float32, **kwargs):
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Linear(3, 6),
        PiecewiseLinear(6, **kwargs),
        nn.Linear(6, 4),
        PiecewiseLinear(hinges=5, tails=kwargs.get("tails", "linear")),
        nn.Linear(4, 1),
    ).to(dtype)


def batch(step, rows=32, dtype=torch.float32):
    return torch.randn(rows, 3, generator=torch.Generator().manual_seed(100 + step)).to(dtype)


def loss_of(model, x):
    return (model(x) - x.prod(dim=1, keepdim=True)).square().mean()


def adamw(model, **kwargs):
    return torch.optim.AdamW(param_groups(model, 0.01), **kwargs)


def train(model, optimizer, steps, first=0, call=None):
    """Take the steps `first`, `first + 1`, ... below `steps`."""
    dtype = next(model.parameters()).dtype
    for step in range(first, steps):
        optimizer.zero_grad()
        loss_of(call or model, batch(step, dtype=dtype)).backward()
        optimizer.step()
    return model


def curves(model):
    return [layer.values for layer in model.modules() if isinstance(layer, PiecewiseLinear)]


def assert_equal_training(first, second, optimizers=()):
    """Check that two models, and the states of two optimizers, are equal bit for bit."""
    for (name, one), other in zip(
        first.state_dict().items(), second.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    if optimizers:
        states = [optimizer.state_dict()["state"] for optimizer in optimizers]
        assert states[0].keys() == states[1].keys()
        for key, state in states[0].items():
            assert state.keys() == states[1][key].keys()
            for name, one in state.items():
                other = states[1][key][name]
                assert torch.equal(torch.as_tensor(one), torch.as_tensor(other)), name
