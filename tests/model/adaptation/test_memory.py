"""Curves are saved beside weights that are quantised, sparse or composed of other tensors."""

import pytest
import torch
from torch import nn
from torch.testing._internal.two_tensor import TwoTensor

import hinged
from hinged import errors
from hinged.model.adaptation.memory import parts_in_memory

ROWS = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


class Opaque(torch.Tensor):
    """A tensor without memory that is reached from Python."""

    @staticmethod
    def __new__(cls, tensor):
        made = torch.Tensor._make_wrapper_subclass(cls, tensor.shape, dtype=tensor.dtype)
        made.inner = tensor
        return made

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        args, kwargs = torch.utils._pytree.tree_map_only(
            cls, lambda each: each.inner, (args, kwargs or {})
        )
        result = func(*args, **kwargs)
        return cls(result) if func is torch.ops.aten.detach.default else result


WEIGHTS = {
    "composed": lambda weight: TwoTensor(weight, 2 * weight),
    "composed of composed": lambda w: TwoTensor(TwoTensor(w, w + 1), TwoTensor(w, w)),
    "sparse": lambda weight: weight.to_sparse(),
    "compressed rows": lambda weight: weight.to_sparse_csr(),
    "plain": lambda weight: weight,
}


def network(make, shift=0.0):
    torch.manual_seed(0)
    model = hinged.convert(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)), ROWS)
    weight = torch.randn(8, 8) + shift
    model.register_parameter("extra", nn.Parameter(make(weight), requires_grad=False))
    return model


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
@pytest.mark.parametrize("kind", WEIGHTS)
def test_curves_are_saved_and_loaded_beside_weights_of_every_kind(kind, tmp_path):
    model, fresh = network(WEIGHTS[kind]), network(WEIGHTS[kind])
    nn.init.normal_(model[1].values)
    hinged.save_curves(model, tmp_path / "curves.safetensors")
    hinged.load_curves(fresh, tmp_path / "curves.safetensors")
    assert torch.equal(fresh[1].values, model[1].values)
    with pytest.warns(errors.OtherWeightsWarning):
        hinged.load_curves(network(WEIGHTS[kind], 1.0), tmp_path / "curves.safetensors")


def test_weights_whose_memory_cannot_be_reached_are_left_out_of_the_hash(tmp_path):
    model = network(Opaque)
    hinged.save_curves(model, tmp_path / "curves.safetensors")
    hinged.load_curves(network(Opaque, 1.0), tmp_path / "curves.safetensors")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_quantised_tensor_is_told_apart_by_its_numbers_and_its_scale():
    x = torch.randn(3, 4)
    made = [torch.quantize_per_tensor(x, scale, 0, torch.qint8) for scale in (0.1, 0.2)]
    parts = [dict(parts_in_memory("x", each)) for each in made]
    assert parts[0].keys() == {"x.int_repr", "x.dequantize"}
    assert not torch.equal(parts[0]["x.dequantize"], parts[1]["x.dequantize"])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_curves_are_saved_beside_weights_that_torchao_has_quantised(tmp_path):
    quantization = pytest.importorskip("torchao.quantization")
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2)).eval()
    quantization.quantize_(model, quantization.Int8WeightOnlyConfig())
    hinged.convert(model, torch.randn(8, 64))
    hinged.save_curves(model, tmp_path / "curves.safetensors")
    hinged.load_curves(model, tmp_path / "curves.safetensors")
