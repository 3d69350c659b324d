import pytest
import torch

import hinged
from hinged import errors
from hinged.kernels import evaluate_curves, use_kernel
from hinged.kernels.cpu_kernel import available_cpu_kernels
from hinged.kernels.select_kernel import select_kernel

needs_kernel = pytest.mark.skipif(
    not available_cpu_kernels(), reason="built without a C++ compiler"
)


def layer(**settings):
    torch.manual_seed(0)
    act = hinged.PiecewiseLinear(4, **settings)
    with torch.no_grad():
        act.values.add_(torch.randn_like(act.values))
    return act


def selected(act, x):
    kernel = select_kernel(x, act.values, act.hinges, act.tail_slopes)
    return None if kernel is None else kernel.name


@needs_kernel
def test_eager_calls_use_the_fastest_kernel_and_others_the_reference():
    act, x = layer(), torch.randn(3, 4)
    assert selected(act, x) == next(iter(available_cpu_kernels()))
    assert selected(act, x.double()) is None and selected(act, x.half()) is None
    assert selected(act, x.to("meta")) is None
    act.hinges.requires_grad_()
    assert selected(act, x) is None


@needs_kernel
def test_use_kernel_works_inside_its_block_only_and_refuses_unknown_names():
    act, x = layer(), torch.randn(3, 4)
    for name in available_cpu_kernels():
        with use_kernel(name), use_kernel("auto"), use_kernel(name):
            assert selected(act, x) == name
    with use_kernel("reference"):
        assert selected(act, x) is None
    assert selected(act, x) is not None
    with pytest.raises(errors.UnknownNameError, match="portable"), use_kernel("portabel"):
        pass


@pytest.mark.parametrize("tails", ["linear", "free"])
def test_second_derivatives_are_right(tails):
    act = layer(tails=tails)
    x = torch.randn(6, 4, requires_grad=True)

    def twice():
        y = act(x)
        (first,) = torch.autograd.grad((y * y).sum(), x, create_graph=True)
        return torch.autograd.grad((first**2).sum(), [x, *act.parameters()])

    fast = twice()
    with use_kernel("reference"):
        slow = twice()
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b)


def test_batched_gradients_are_right():
    act, x = layer(), torch.randn(2, 4, requires_grad=True)
    many = torch.randn(5, 2, 4)
    inputs = [x, act.values]
    together = torch.autograd.grad(act(x), inputs, many, is_grads_batched=True)
    for i, g in enumerate(many):
        for a, b in zip(together, torch.autograd.grad(act(x), inputs, g), strict=True):
            torch.testing.assert_close(a[i], b)


@pytest.mark.parametrize("grad", [True, False])
def test_a_tensor_from_an_ended_transform_works(grad):
    act, x, carried = layer(), torch.randn(2, 4), []
    torch.func.grad(lambda z: (carried.append(z), z.sum())[1])(x)
    with torch.set_grad_enabled(grad):
        assert torch.equal(act(carried[0]), act(x))


def test_parametrized_values_are_used():
    act, x = layer(), torch.randn(2, 4)
    expected = torch.nn.functional.relu(act.values)
    torch.nn.utils.parametrize.register_parametrization(act, "values", torch.nn.ReLU())
    y = act(x)
    (grad,) = torch.autograd.grad(y.sum(), act.parametrizations["values"].original)
    assert torch.equal(y, evaluate_curves(x, expected, act.hinges, uniform=True))
    assert grad.shape == expected.shape


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:DeprecationWarning")
def test_a_trace_computes_and_does_not_store_results():
    act = layer()
    with torch.no_grad():
        traced = torch.jit.trace(act, torch.zeros(2, 4))
        graph = torch.fx.experimental.proxy_tensor.make_fx(act)(torch.zeros(2, 4))
        x = torch.randn(2, 4)
        torch.testing.assert_close(traced(x), act(x))
        torch.testing.assert_close(graph(x), act(x))


def test_forward_mode_and_vmap():
    act, x = layer(), torch.randn(5, 4)
    per_row = torch.func.vmap(lambda row: act(row[None])[0])(x)
    assert torch.equal(per_row, act(x))
    _, slope = torch.func.jvp(act, (x,), (torch.ones_like(x),))
    z = x.clone().requires_grad_()
    assert torch.equal(slope, torch.autograd.grad(act(z).sum(), z)[0])


def test_a_lazily_negated_input_is_negated():
    act = layer()
    x = torch.randn(3, 4, dtype=torch.complex64).conj().imag
    assert x.is_neg()
    assert torch.equal(act(x), act(x.clone()))


def test_half_precision_parameters_get_gradients_of_their_dtype():
    act = layer().bfloat16()
    x = torch.randn(5, 4, dtype=torch.bfloat16, requires_grad=True)
    act(x).sum().backward()
    assert act.values.grad.dtype == x.grad.dtype == torch.bfloat16


@needs_kernel
def test_only_the_inputs_are_saved_for_backward():
    act, x, kept = layer(), torch.randn(50, 4, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        act(x)
    assert {t.data_ptr() for t in kept} == {t.data_ptr() for t in (x, act.values, act.hinges)}


@needs_kernel
@pytest.mark.parametrize("tails", ["linear", "free"])
def test_the_operators_pass_opcheck(tails):
    act = layer(tails=tails)
    x = torch.randn(3, 4, requires_grad=True)
    arguments = (x, act.values, act.hinges, act.tail_slopes, 1, tails)
    torch.library.opcheck(torch.ops.hinged.piecewise_linear.default, arguments)
    torch.library.opcheck(
        torch.ops.hinged.piecewise_linear_backward.default,
        (torch.randn(3, 4), *[a.detach() if torch.is_tensor(a) else a for a in arguments]),
    )


@pytest.mark.slow
def test_compiled_training_gives_the_same_numbers():
    act = layer()
    x = torch.randn(6, 4, requires_grad=True)
    results = []
    for run in (act, torch.compile(act, fullgraph=True)):
        y = run(x)
        results.append((y, *torch.autograd.grad((y * y).sum(), [x, act.values])))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


def trained(run, x, values, hinges, dtype):
    """Return the outputs, and the gradients of inputs, values and hinges."""
    given = [t.to(dtype).requires_grad_() for t in (x, values, hinges)]
    y = run(given[0], given[1], given[2])
    return [y.detach(), *torch.autograd.grad(y.square().sum(), given)]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.float32])
def test_calls_that_no_kernel_supports_are_trained_when_compiled(dtype):
    curve = layer().curve()
    arguments = torch.randn(6, 4), curve.values.detach(), curve.hinges, dtype
    compiled = torch.compile(hinged.piecewise_linear, fullgraph=True, backend="aot_eager")
    found = trained(compiled, *arguments)
    for a, b in zip(found, trained(hinged.piecewise_linear, *arguments), strict=True):
        torch.testing.assert_close(a, b)
    assert found[-1].abs().sum() > 0


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_layers_in_other_dtypes_are_trained_when_compiled(dtype):
    act, x = layer().to(dtype), torch.randn(6, 4, dtype=dtype)
    results = []
    for run in (act, torch.compile(act, fullgraph=True, backend="aot_eager")):
        y = run(x)
        results.append((y, *torch.autograd.grad(y.square().sum(), [act.values])))
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b)


@needs_kernel
def test_a_compiled_layer_trains_if_the_reference_is_selected_later():
    act, x = layer(), torch.randn(6, 4, requires_grad=True)
    compiled = torch.compile(act, fullgraph=True, backend="aot_eager")
    compiled(x).sum().backward()
    expected = act.values.grad.clone()
    act.zero_grad()
    with use_kernel("reference"):
        compiled(x).sum().backward()
    assert torch.equal(act.values.grad, expected)
