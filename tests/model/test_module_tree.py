import pytest
import torch
from torch import nn

from hinged import errors
from hinged.model import parents_of, replace_module


class Shared(nn.Module):
    """One activation under two names here, and again in a child."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU()
        self.line = nn.Linear(3, 3)
        self.again = self.act
        self.inner = nn.ModuleDict({"held": self.act, "other": nn.ReLU()})

    def forward(self, x):
        return self.inner["held"](self.again(self.line(self.act(x))))


def test_all_parents_are_found():
    model = Shared()
    found = [(type(parent).__name__, name) for parent, name in parents_of(model, model.act)]
    assert found == [("Shared", "act"), ("Shared", "again"), ("ModuleDict", "held")]
    assert parents_of(model, nn.ReLU()) == []


def test_a_module_is_replaced_in_all_its_parents_and_no_other_module_is():
    model = Shared().eval()
    old, other = model.act, model.inner["other"]
    new = nn.LeakyReLU(-1.0)
    replace_module(model, old, new)
    assert model.act is model.again is model.inner["held"] is new
    assert model.inner["other"] is other
    assert list(dict(model.named_modules())) == ["", "act", "line", "inner", "inner.other"]
    assert not new.training
    assert (model(torch.randn(50, 3)) >= 0).all()


def test_children_of_sequentials_keep_their_order():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    replace_module(model, model[1], nn.Tanh())
    assert [type(child) for child in model] == [nn.Linear, nn.Tanh, nn.Linear]


def test_hooks_are_kept_and_their_handles_still_remove_them():
    model, calls = Shared(), []
    handles = [
        model.act.register_forward_hook(lambda *_: calls.append("after")),
        model.act.register_forward_pre_hook(lambda *_: calls.append("before")),
        model.act.register_forward_hook(lambda *_, **__: calls.append("kwargs"), with_kwargs=True),
        model.act.register_full_backward_hook(lambda *_: calls.append("backward")),
        model.act.register_full_backward_pre_hook(lambda *_: calls.append("backward pre")),
    ]
    replace_module(model, model.act, nn.GELU())
    model.act(torch.randn(2, 3, requires_grad=True)).sum().backward()
    assert calls == ["before", "after", "kwargs", "backward pre", "backward"]
    for handle in handles:
        handle.remove()
    calls.clear()
    model.act(torch.randn(2, 3, requires_grad=True)).sum().backward()
    assert calls == []


def test_modules_without_a_parent_in_the_model_are_rejected():
    model = Shared()
    for old in (nn.ReLU(), model):
        with pytest.raises(errors.ArgumentError, match="that the Shared does not contain"):
            replace_module(model, old, nn.Tanh())
