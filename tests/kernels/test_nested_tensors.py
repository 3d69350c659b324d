"""Curves on nested tensors, which `nn.TransformerEncoder` makes of inputs with padding."""

import pytest
import torch
from torch import nn

import hinged


def layer(channels, dim):
    torch.manual_seed(0)
    act = hinged.PiecewiseLinear(channels, dim=dim)
    with torch.no_grad():
        act.values.add_(torch.randn_like(act.values))
    return act


def equal(found, parts):
    return all(map(torch.equal, found.unbind(), parts))


PARTS = {
    "the last axis": ([(5, 4), (2, 4), (0, 4)], -1),
    "an axis in the middle": ([(5, 4, 3), (2, 4, 3)], 2),
    "one curve for all, on parts that differ in two axes": ([(5, 4), (2, 3)], 1),
}


@pytest.mark.parametrize("kind", PARTS)
def test_each_part_of_a_nested_tensor_goes_through_the_curves(kind):
    shapes, dim = PARTS[kind]
    act = layer(4 if dim != 1 else 1, dim)
    parts = [torch.randn(shape) for shape in shapes]
    x = torch.nested.as_nested_tensor(parts)
    assert equal(act(x), [act(part[None])[0] for part in parts])


@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_gradients_go_through_nested_tensors(layout):
    act, parts = layer(4, -1), [torch.randn(5, 4), torch.randn(2, 4)]
    x = torch.nested.as_nested_tensor(parts, layout=layout)
    y = act(x) + x
    assert equal(y.detach(), [(act(part) + part).detach() for part in parts])
    sum(part.square().sum() for part in act(x).unbind()).backward()
    found, act.values.grad = act.values.grad, None
    sum(act(part).square().sum() for part in parts).backward()
    torch.testing.assert_close(found, act.values.grad)


def test_a_wrong_number_of_channels_is_refused_in_words():
    x = torch.nested.as_nested_tensor([torch.randn(5, 3), torch.randn(2, 3)])
    with pytest.raises(hinged.errors.ArgumentError, match="channels"):
        layer(4, -1)(x)


def encoder(activation, **settings):
    torch.manual_seed(1)
    block = nn.TransformerEncoderLayer(8, 2, 16, activation=activation, batch_first=True)
    return nn.TransformerEncoder(block, 2, **settings).eval()


def padded(length=5):
    mask = torch.zeros(3, length, dtype=torch.bool)
    mask[1, 3:] = mask[2, 1:] = True
    return torch.randn(3, length, 8), mask


class Tagger(nn.Module):
    """An encoder inside another module, with a head, which averages over all positions."""

    def __init__(self, activation):
        super().__init__()
        self.encoder, self.head = encoder(activation, norm=nn.LayerNorm(8)), nn.Linear(8, 2)

    def forward(self, src, src_key_padding_mask=None):
        return self.head(self.encoder(src, src_key_padding_mask=src_key_padding_mask).mean(1))


ENCODERS = {
    "encoder": encoder,
    "right padding": lambda activation: encoder(activation, mask_check=False),
    "in a model": Tagger,
    "one layer": lambda activation: encoder(activation).layers[0],
}


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("activation", ["relu", nn.ReLU(), "gelu"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_encoders_with_a_padding_mask_compute_the_same_after_a_conversion(
    kind, activation, with_mask
):
    model, (x, mask) = ENCODERS[kind](activation), padded()
    with torch.no_grad():
        before = model(x, src_key_padding_mask=mask)
    batch = {"src": x} | ({"src_key_padding_mask": mask} if with_mask else {})
    hinged.convert(model, batch, hinges=65)
    assert len(hinged.sites(model).converted) == (1 if kind == "one layer" else 2)
    with torch.no_grad():
        after = model(x, src_key_padding_mask=mask)
    # One layer alone has no nested tensors: the outputs at padding depend on its fast path.
    where = ~mask if kind == "one layer" else ...
    tolerance = 1e-2 if activation == "gelu" else 1e-5
    torch.testing.assert_close(after[where], before[where], atol=tolerance, rtol=0)
    hinged.revert(model)
    with torch.no_grad():
        assert torch.equal(model(x, src_key_padding_mask=mask), before)


def test_curves_alone_are_trained_on_nested_tensors():
    model, (x, mask) = encoder("relu"), padded()
    hinged.convert(model, x)
    model.requires_grad_(False)
    layers = [m for m in model.modules() if isinstance(m, hinged.PiecewiseLinear)]
    for each in layers:
        each.requires_grad_(True)
    optimizer = torch.optim.SGD(hinged.param_groups(model, 0.01))
    values = [each.values.detach().clone() for each in layers]
    model(x, src_key_padding_mask=mask)[~mask].square().sum().backward()
    optimizer.step()
    for each, old in zip(layers, values, strict=True):
        assert not torch.equal(each.values, old) and each.values.isfinite().all()
