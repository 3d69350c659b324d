"""Models that `convert` and `sites` refuse: the message says why, and the model is unchanged."""

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

import hinged
from hinged import errors
from hinged.nn.distributed_tensors import whole
from tests.processes import in_two_processes

ROWS = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))

# These warnings come from torch's exporters and compiler, not from hinged.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Sequential(nn.ReLU()), nn.Linear(8, 2))


def compiled(part):
    model = network()
    model.get_submodule(part).compile()
    return model


def exported(unflatten, part=""):
    model = network()
    program = torch.export.export(model[1] if part else model, (torch.randn(16, 8 if part else 4),))
    made = torch.export.unflatten(program) if unflatten else program.module()
    if not part:
        return made
    model[1] = made
    return model


class Engine(nn.Module):
    """Has the name that the engine of DeepSpeed has."""

    def __init__(self, module):
        super().__init__()
        self.module = module


DeepSpeedEngine = type("DeepSpeedEngine", (Engine,), {})

REFUSED = {
    "compiled": (lambda: compiled(""), "method compile was called"),
    "compiled part": (lambda: compiled("1"), "convert the model first, and then call its method"),
    "part in torch.compile": (lambda: nn.Sequential(torch.compile(network())), "OptimizedModule"),
    "exported": (lambda: exported(False), "convert the model before torch.export"),
    "exported and unflattened": (lambda: exported(True), "an exported model"),
    "exported part": (lambda: exported(False, "1"), "an exported model"),
    "traced part": (
        lambda: nn.Sequential(torch.jit.trace(network(), ROWS), nn.ReLU()),
        "TopLevelTracedModule|ScriptModule",
    ),
    "engine": (lambda: DeepSpeedEngine(network()), "a model in DeepSpeedEngine"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("call", [hinged.convert, hinged.sites])
def test_models_that_cannot_be_converted_are_refused_in_words(kind, call):
    make, expected = REFUSED[kind]
    model = make()
    modules = dict(model.named_modules())
    with pytest.raises(errors.ArgumentError, match=expected):
        call(model, ROWS)
    assert dict(model.named_modules()) == modules


@pytest.mark.filterwarnings("ignore:The .grad attribute:UserWarning")
def test_a_model_is_compiled_after_its_conversion():
    model, expected = hinged.convert(network(), ROWS), network()
    model.compile(backend="eager", fullgraph=True)
    torch.testing.assert_close(model(ROWS), expected(ROWS))


def spread(mesh, kind):
    model = network()
    if kind == "part":
        fully_shard(model[0], mesh=mesh)
    elif kind == "columns":
        parallelize_module(model, mesh, {"0": ColwiseParallel()})
    else:
        fully_shard(model, mesh=mesh)
    return model


def refuse_or_train(rank, _folder):
    mesh = init_device_mesh("cpu", (2,))
    for kind in ("whole", "part", "columns"):
        model = spread(mesh, kind)
        with pytest.raises(errors.ArgumentError, match="convert the model first, and then call"):
            hinged.convert(model, ROWS)
        assert isinstance(model[1][0], nn.ReLU)
    for smoothing in (0.03, None):
        train_converted_shards(mesh, rank, smoothing)


def train_converted_shards(mesh, rank, smoothing):
    """Train a model that is converted and then sharded, and compare it with one process."""
    model, plain = (hinged.convert(network(), ROWS) for _ in range(2))
    fully_shard(model, mesh=mesh)
    for each, rows in ((model, ROWS[rank::2]), (plain, ROWS)):
        groups = hinged.param_groups(each, 0.05, smoothing=smoothing)
        optimizer = torch.optim.SGD(groups)
        for _ in range(4):
            optimizer.zero_grad()
            each(rows).square().mean().backward()
            optimizer.step()
    values = whole(model[1][0].values.detach())
    found = [torch.empty_like(values) for _ in range(2)]
    torch.distributed.all_gather(found, values)
    assert torch.equal(*found)
    torch.testing.assert_close(values, plain[1][0].values.detach(), rtol=1e-3, atol=1e-4)
    assert not torch.equal(values, hinged.convert(network(), ROWS)[1][0].values)


def test_models_in_two_processes_are_converted_before_they_are_spread(tmp_path):
    in_two_processes(refuse_or_train, tmp_path)
