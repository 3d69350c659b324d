import pytest
import torch
from torch import nn

import hinged
from hinged import PiecewiseLinear, errors, train_only


def network():
    return nn.Sequential(
        nn.Linear(4, 8),
        nn.BatchNorm1d(8),
        PiecewiseLinear(8, tails="free"),
        nn.Linear(8, 8),
        nn.LayerNorm(8),
        PiecewiseLinear(1),
        nn.Linear(8, 3),
    )


def trained(model):
    return {name for name, p in model.named_parameters() if p.requires_grad}


CURVES = {"2.values", "2.tail_slopes", "5.values"}
NORM = {"1.weight", "1.bias", "4.weight", "4.bias"}
HEAD = {"6.weight", "6.bias"}
CHOICES = {
    "all": ({}, CURVES | NORM | HEAD),
    "curves": ({"head": False, "norm": False}, CURVES),
    "head": ({"curves": False, "norm": False}, HEAD),
    "norm": ({"curves": False, "head": False}, NORM),
    "a named head": ({"curves": False, "norm": False, "head": "3"}, {"3.weight", "3.bias"}),
    "several": (
        {"curves": False, "norm": False, "head": ["0", "6"]},
        {"0.weight", "0.bias"} | HEAD,
    ),
}


@pytest.mark.parametrize("choice", CHOICES)
def test_what_was_asked_is_trained_and_nothing_else(choice):
    given, wanted = CHOICES[choice]
    model = network()
    model[0].requires_grad_(False)
    record = train_only(model, **given)
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    assert trained(model) == wanted
    assert record.trained == sum(sizes[name] for name in wanted)
    assert record.total == sum(sizes.values())


def test_a_step_moves_what_is_trained_and_nothing_else():
    model = network()
    train_only(model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0)
    model(torch.randn(64, 4)).square().sum().backward()
    optimiser.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == CURVES | NORM | HEAD


def test_the_record_counts_by_kind_and_says_so():
    record = train_only(network())
    assert record.by_kind == {"curves": 8 * 9 + 8 * 2 + 9, "norm": 32, "head": 27}
    assert str(record) == (
        "156 of 268 parameters trained (58.21%): curves 97, normalisation 32, head (6) 27"
    )
    assert str(train_only(network(), head=False)).endswith("curves 97, normalisation 32")


def test_a_parameter_of_two_modules_counts_once():
    model = network()
    model[6].bias = model[1].bias = nn.Parameter(torch.zeros(8))
    assert train_only(model).by_kind == {"curves": 97, "norm": 32, "head": 24}


@pytest.mark.parametrize(
    "model, given, message",
    [
        (nn.Linear(2, 2), {}, "a Linear without curves"),
        (PiecewiseLinear(2), {}, "without nn.Linear; pass the name of its head"),
        (nn.ReLU(), {"curves": False, "head": False}, "select parameters to train"),
        (network(), {"head": "fc"}, "got 'fc'"),
        (network(), {"head": ["6", "7"]}, "got '7'"),
    ],
)
def test_refusals_change_nothing(model, given, message):
    before = trained(model)
    with pytest.raises(errors.ArgumentError, match=message):
        train_only(model, **given)
    assert trained(model) == before


@pytest.mark.parametrize("head", [None, 4, nn.Linear(2, 2)], ids=str)
def test_a_head_that_is_no_name_is_refused(head):
    model = nn.Sequential(nn.Linear(2, 3), hinged.PiecewiseLinear(3), nn.Linear(3, 2))
    with pytest.raises(errors.ArgumentError, match="expected the name of a module or a list of na"):
        hinged.train_only(model, head=head)
    with pytest.raises(errors.UnknownNameError, match="got 'fc'; expected one of: 0, 1, 2\\."):
        hinged.train_only(model, head="fc")
