import copy
import itertools
from functools import partial

import pytest
import torch
import torch._dynamo.testing
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call, grad, hessian, jacrev, jvp, stack_module_state, vmap
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrize
from torch.utils.checkpoint import checkpoint

from hinged import PiecewiseLinear, piecewise_linear
from tests.processes import in_two_processes

# Torch's own, on its first use of forward mode and of the compiler.
pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

FREE = torch.tensor([-2.0, -1.1, -0.4, 0.0, 0.7, 2.1])
LAYERS = {
    "uniform": {},
    "free tails": {"tails": "free", "init": "gelu"},
    "free hinges": {"hinges": FREE, "tails": "constant"},
    "per channel": {"hinges": FREE * torch.tensor([[0.5], [1.0], [2.0]])},
    "bfloat16": {"dtype": torch.bfloat16},
}


def layer(kind="uniform"):
    """A layer that is no longer what it started as."""
    made = PiecewiseLinear(3, **LAYERS[kind])
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def gradients(call, module, x):
    """Output, input gradient and parameter gradients of one weighted sum."""
    x = x.detach().clone().requires_grad_()
    module.zero_grad()
    y = call(x)
    (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)).sum().backward()
    return [y.detach(), x.grad, *(parameter.grad.clone() for parameter in module.parameters())]


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other)


def detached(module):
    return {name: parameter.detach() for name, parameter in module.named_parameters()}


def test_autocast_computes_the_dtype_that_arrives():
    model = nn.Sequential(nn.Linear(4, 3), PiecewiseLinear(3), nn.Linear(3, 1))
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model[0](torch.randn(8, 4))
        y = model[1](hidden)
        model[2](y).sum().backward()
    assert hidden.dtype == y.dtype == torch.bfloat16
    assert torch.equal(y, hidden.relu())
    assert model[1].values.grad.dtype == torch.float32
    assert model[1].values.grad.abs().sum() > 0


@pytest.mark.parametrize("kind", ["uniform", "free tails", "free hinges", "per channel"])
def test_per_sample_gradients_equal_a_loop(kind):
    module, x = layer(kind), 3 * torch.randn(6, 3, 4)

    def loss(parameters, sample):
        return functional_call(module, parameters, (sample[None],)).square().sum()

    found = vmap(grad(loss), in_dims=(None, 0))(detached(module), x)
    loop = [grad(loss)(detached(module), sample) for sample in x]
    for name in found:
        torch.testing.assert_close(found[name], torch.stack([each[name] for each in loop]))
        assert found[name].abs().sum() > 0


def test_vmap_over_inputs_equals_a_batch():
    module, x = layer("per channel"), 3 * torch.randn(5, 7, 3, 2)
    assert torch.equal(vmap(module)(x), module(x.flatten(0, 1)).view_as(x))


def test_an_ensemble_over_values_equals_a_loop():
    module, x = layer(), 3 * torch.randn(8, 3)
    values = torch.randn(5, 3, 9)
    found = vmap(lambda each: functional_call(module, {"values": each}, (x,)))(values)
    loop = [functional_call(module, {"values": each}, (x,)) for each in values]
    assert torch.equal(found, torch.stack(loop))


def test_an_ensemble_of_layers_with_other_ranges_equals_a_loop():
    layers = [PiecewiseLinear(3, range=(-end, end), init="tanh") for end in (0.5, 1.7, 3.0)]
    x = 3 * torch.randn(8, 3)
    parameters, buffers = stack_module_state(layers)

    def call(parameters, buffers):
        return functional_call(layers[0], (parameters, buffers), (x,))

    found = vmap(call)(parameters, buffers)
    torch.testing.assert_close(found, torch.stack([module(x) for module in layers]))


def test_vmap_over_hinges_and_values_and_inputs():
    hinges, values = torch.randn(5, 9).sort(dim=-1).values, torch.randn(5, 3, 9)
    x = 3 * torch.randn(5, 8, 3)
    found = vmap(piecewise_linear)(x, values, hinges)
    loop = [piecewise_linear(*each) for each in zip(x, values, hinges, strict=True)]
    torch.testing.assert_close(found, torch.stack(loop))


def test_forward_mode_gives_the_slopes():
    module, x = layer("free tails"), 5 * torch.randn(8, 3)
    y, slopes = jvp(module, (x,), (torch.ones_like(x),))
    assert torch.equal(y, module(x))
    torch.testing.assert_close(slopes, grad(lambda x: module(x).sum())(x))


def test_the_output_is_linear_in_the_values():
    module, x = layer().double(), torch.randn(4, 3, dtype=torch.float64)

    def total(values):
        return functional_call(module, {"values": values}, (x,)).sum()

    values = module.values.detach()
    torch.testing.assert_close(jacrev(total)(values), jacrev(total)(3 * values))
    assert hessian(total)(values).abs().max() == 0


@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointing_gives_the_same_gradients(reentrant):
    for kind in LAYERS:
        module = layer(kind)
        x = 3 * torch.randn(6, 3, 4, dtype=module.values.dtype)
        call = partial(checkpoint, module, use_reentrant=reentrant)
        found = gradients(call, module, x)
        for one, other in zip(found, gradients(module, module, x), strict=True):
            assert torch.equal(one, other)


class Doubled(nn.Module):
    def forward(self, tensor):
        return 2 * tensor

    def right_inverse(self, tensor):
        return tensor / 2


@pytest.mark.parametrize("name", ["values", "tail_slopes"])
def test_parametrised_tensors_compute_train_copy_and_load(name):
    plain, x = layer("free tails"), 4 * torch.randn(16, 3)
    module = copy.deepcopy(plain)
    parametrize.register_parametrization(module, name, Doubled())
    assert torch.equal(module(x), plain(x))
    module(x).sum().backward()
    plain(x).sum().backward()
    original = module.parametrizations[name].original
    assert torch.equal(original.grad, 2 * getattr(plain, name).grad)

    other = copy.deepcopy(module)
    with torch.no_grad():
        original.add_(1)
    assert not torch.equal(module(x), other(x))
    other.load_state_dict(module.state_dict())
    assert torch.equal(module(x), other(x))

    # Torch's copies share the class that is undone here, so that only one can be used from now on.
    expected = other(x)
    parametrize.remove_parametrizations(module, name)
    assert torch.equal(module(x), expected)
    assert set(module.state_dict()) == set(plain.state_dict())


def test_a_parametrisation_holds_through_a_step():
    class Monotone(nn.Module):
        def forward(self, raw):
            return torch.cat([raw[:, :1], F.softplus(raw[:, 1:])], dim=-1).cumsum(dim=-1)

    module = PiecewiseLinear(3)
    parametrize.register_parametrization(module, "values", Monotone())
    optimiser = torch.optim.SGD(module.parameters(), lr=1.0)
    module(torch.randn(32, 3)).sum().backward()
    before = module.values.detach().clone()
    optimiser.step()
    assert not torch.equal(module.values, before)
    assert (module.values.diff(dim=-1) >= 0).all()


def compiled_equals_eager(module, backend):
    compiled = torch.compile(module, fullgraph=True, backend=backend)
    for batch in (4, 7, 9, 1):
        x = 3 * torch.randn(batch, 3, 5, dtype=next(module.parameters()).dtype)
        assert_same(gradients(compiled, module, x), gradients(module, module, x))


@pytest.mark.slow
@pytest.mark.parametrize("kind", LAYERS)
def test_one_graph_without_a_break_whatever_the_batch(kind):
    compiled_equals_eager(layer(kind), "aot_eager")


def test_other_batch_sizes_do_not_compile_again():
    counter = torch._dynamo.testing.CompileCounter()
    compiled = torch.compile(layer(), fullgraph=True, backend=counter, dynamic=True)
    for batch in (4, 7, 9, 33):
        compiled(torch.randn(batch, 3, 5))
    assert counter.frame_count == 1


@pytest.mark.slow
def test_compiled_code_computes_the_same():
    compiled_equals_eager(nn.Sequential(layer(), layer("per channel")), "inductor")


@pytest.mark.parametrize("kind", LAYERS)
def test_exported_programs_run_with_any_batch(kind):
    module = layer(kind)
    dtype = module.values.dtype
    example = (torch.randn(4, 3, 5, dtype=dtype),)
    program = torch.export.export(module, example, dynamic_shapes=({0: torch.export.Dim("n")},))
    for batch in (2, 9, 64):
        x = 5 * torch.randn(batch, 3, 5, dtype=dtype)
        assert torch.equal(program.module()(x), module(x))


def test_an_exported_program_survives_its_file(tmp_path):
    module, x = layer("free tails"), 5 * torch.randn(4, 3)
    torch.export.save(torch.export.export(module, (x,)), tmp_path / "layer.pt2")
    assert torch.equal(torch.export.load(tmp_path / "layer.pt2").module()(x), module(x))


def network():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Linear(4, 3), PiecewiseLinear(3, tails="free"), nn.Linear(3, 3),
        PiecewiseLinear(3, hinges=FREE.tolist(), dim=-1), nn.Linear(3, 1),
    ).double()  # fmt: skip


def batch():
    return torch.randn(16, 4, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def train_half(rank, folder):
    model = DistributedDataParallel(network())
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    found = []
    for _ in range(2):
        optimiser.zero_grad()
        model(batch().chunk(2)[rank]).square().mean().backward()
        found.append([parameter.grad.clone() for parameter in model.parameters()])
        optimiser.step()
    torch.save(found, f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_the_whole_batch(tmp_path):
    in_two_processes(train_half, tmp_path)
    model = network()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    halves = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    for step, half in itertools.product(range(2), halves):
        if half is halves[0]:
            optimiser.zero_grad()
            model(batch()).square().mean().backward()
        for found, parameter in zip(half[step], model.parameters(), strict=True):
            torch.testing.assert_close(found, parameter.grad, rtol=1e-12, atol=1e-14)
        if half is halves[1]:
            optimiser.step()
