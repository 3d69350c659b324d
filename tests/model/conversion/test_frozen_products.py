import pytest
import torch
from torch import nn
from torch.nn import functional as F

import hinged
from hinged.model.conversion.frozen_products import call_quickly


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("with_bias", [True, False])
def test_a_frozen_layer_computes_bit_for_bit_what_a_trained_one_computes(with_bias, dtype):
    torch.manual_seed(0)
    layer = nn.Linear(64, 96, bias=with_bias, dtype=dtype)
    x = torch.randn(8, 50, 64, dtype=dtype).transpose(0, 1)
    with torch.no_grad():
        expected = layer(x)
    layer.requires_grad_(False)
    found = call_quickly(F.linear, (x, layer.weight, layer.bias), {})
    assert torch.equal(found, expected)
    assert not found.requires_grad and not layer.weight.requires_grad


def test_gradients_are_kept_where_a_tensor_needs_them():
    weight, x = nn.Parameter(torch.randn(5, 4), False), torch.randn(2, 3, 4, requires_grad=True)
    call_quickly(F.linear, (x.transpose(0, 1), weight), {}).sum().backward()
    assert x.grad is not None and weight.grad is None
    with pytest.raises(RuntimeError, match="shapes"):
        call_quickly(F.linear, (torch.ones(2, 3), weight), {})
    assert not weight.requires_grad


@pytest.mark.parametrize("act", ["relu", "gelu"])
def test_the_survey_multiplies_no_copies_of_weights(act):
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(64, 4, 96, activation=act, batch_first=True)
    model = nn.TransformerEncoder(block, 2, enable_nested_tensor=False).eval()
    with torch.profiler.profile(record_shapes=True) as profile:
        hinged.convert(model, torch.randn(8, 50, 64))
    shapes = [event.input_shapes for event in profile.events() if event.name == "aten::bmm"]
    assert not [shape for shape in shapes if [50, 64, 192] in shape]
    if act == "relu":
        assert hinged.sites(model).notes[-1].endswith("unchanged, bit for bit.")
