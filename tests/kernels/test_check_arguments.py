"""No call makes a kernel read past the end of a tensor, or memory that a tensor does not have."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrize

import hinged
from hinged import errors
from hinged.curve import metric
from hinged.kernels import metric_kernel
from hinged.kernels.select_kernel import use_kernel

X = torch.randn(8, 64, generator=torch.Generator().manual_seed(0))
HINGES = torch.linspace(-3, 3, 9)


def layer(**kwargs):
    return hinged.PiecewiseLinear(64, **kwargs)


class Narrow(nn.Module):
    def forward(self, values):
        return values[:, :3]


def with_other_values():
    return functional_call(layer(), {"values": torch.zeros(64, 3)}, (X,))


def with_values_of_another_layer():
    found = layer()
    found.values = nn.Parameter(torch.zeros(3, 9))
    return found(X)


def with_values_in_one_row():
    found = layer()
    found.values = nn.Parameter(torch.zeros(576))
    return found(X)


def with_parametrization():
    found = layer()
    parametrize.register_parametrization(found, "values", Narrow(), unsafe=True)
    return found(X)


def with_free_tails_without_slopes():
    found = layer()
    found.tails = "free"
    return found(X)


def with_slopes_of_one_channel():
    found = layer(tails="free")
    found.tail_slopes = nn.Parameter(torch.zeros(1, 2))
    return found(X)


def with_unknown_tails():
    found = layer()
    found.tails = "steep"
    return found(X)


def with_values_changed_before_backward():
    found = layer()
    y = found(X).sum()
    found.values.data = torch.zeros(64, 3)
    y.backward()


def with_fewer_curves_before_backward():
    found = layer()
    y = found(X).sum()
    found.values.data = torch.zeros(5, 9)
    y.backward()


def with_inputs_changed_before_backward():
    x = X.clone().requires_grad_()
    y = layer()(x)
    x.data = torch.zeros(1000, 64)
    y.backward(torch.ones(X.shape))


def with_inputs_of_another_dtype_before_backward():
    x = X.clone().requires_grad_()
    y = layer()(x)
    x.data = X.double()
    y.backward(torch.ones(X.shape))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (with_other_values, r"values of shape \(64, 3\) with hinges of shape \(9,\)"),
        (with_values_of_another_layer, "expected 3 channels on axis dim"),
        (with_values_in_one_row, r"values of shape \(576,\)"),
        (with_parametrization, r"values of shape \(64, 3\)"),
        (with_free_tails_without_slopes, "tails='free' without tail_slopes"),
        (with_slopes_of_one_channel, r"got shape \(1, 2\); expected \(64, 2\)"),
        (with_unknown_tails, "steep"),
        (with_values_changed_before_backward, r"values of shape \(64, 3\)"),
        (with_fewer_curves_before_backward, "expected 5 channels on axis dim"),
        (
            with_inputs_changed_before_backward,
            r"of the inputs: \(1000, 64\) .* `x\.data = \.\.\.` before",
        ),
        (with_inputs_of_another_dtype_before_backward, r"in torch.float32 .* in torch.float64"),
    ],
)
def test_curves_that_do_not_fit_are_refused(call, said):
    with pytest.raises(errors.ArgumentError, match=said):
        call()


@pytest.mark.parametrize(
    "hinges",
    [HINGES[:5], HINGES.expand(3, 9), HINGES[None, None], torch.tensor(1.0), HINGES[:1]],
    ids=lambda hinges: str(tuple(hinges.shape)),
)
def test_hinges_that_do_not_fit_are_refused(hinges):
    found = layer()
    found.hinges = hinges
    with pytest.raises(errors.ArgumentError, match="hinges"):
        found(X)


def test_one_row_of_hinges_serves_all_channels():
    found = layer()
    expected = found(X)
    found.hinges = found.hinges[None]
    assert torch.equal(found(X), expected)


@pytest.mark.parametrize("name", ["values", "hinges", "tail_slopes"])
def test_tensors_on_another_device_are_refused(name):
    found = layer(tails="free")
    moved = getattr(found, name).detach().to("meta")
    setattr(found, name, moved if name == "hinges" else nn.Parameter(moved))
    with pytest.raises(errors.ArgumentError, match=f"x on cpu, .*{name} on meta.*one device"):
        found(X)


def test_inputs_on_another_device_are_refused():
    with pytest.raises(errors.ArgumentError, match="x on cpu, values on meta, hinges on meta"):
        layer(device="meta")(X)
    with pytest.raises(errors.ArgumentError, match="x on meta, values on cpu"):
        layer()(X.to("meta"))
    assert layer(device="meta")(X.to("meta")).shape == X.shape


def test_zeros_that_torch_does_not_store_are_computed():
    zeros = torch._efficientzerotensor((8, 64))
    found, x = layer(), X.clone().requires_grad_()
    assert torch.equal(found(zeros), torch.zeros(8, 64))
    found(x).backward(zeros)
    assert not x.grad.any() and not found.values.grad.any()
    stored = functional_call(found, {"values": torch._efficientzerotensor((64, 9))}, (X,))
    assert not stored.any()


@pytest.fixture
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("float64_by_default")
def test_the_default_dtype_does_not_change_what_a_kernel_reads():
    found, x = layer(dtype=torch.bfloat16), X.bfloat16()
    with use_kernel("reference"):
        expected = found(x)
    assert torch.equal(found(x), expected)
    hinges = HINGES.float()
    moments = metric_kernel.input_moments(X, hinges, channels=64, dim=1)
    assert moments.dtype is torch.float32
    torch.testing.assert_close(moments, metric.input_moments(X.T, hinges), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"values": torch.zeros(64, 3)}, r"values of shape \(64, 3\)"),
        ({"hinges": HINGES.expand(3, 9)}, r"hinges of shape \(3, 9\)"),
        ({"tails": "free"}, "without tail_slopes"),
        ({"dim": 0}, "expected 64 channels on axis dim"),
    ],
    ids=str,
)
def test_the_operators_of_compiled_code_check_their_arguments(changed, said):
    arguments = {
        "x": X,
        "values": torch.zeros(64, 9),
        "hinges": HINGES,
        "tail_slopes": None,
        "dim": 1,
        "tails": "linear",
        **changed,
    }
    with pytest.raises(errors.ArgumentError, match=said):
        torch.ops.hinged.piecewise_linear(**arguments)
    with pytest.raises(errors.ArgumentError, match=said):
        torch.ops.hinged.piecewise_linear_backward(torch.zeros_like(X), **arguments)


@pytest.mark.parametrize("grad_y", [X[:3], X.double()], ids=["shape", "dtype"])
def test_the_operator_for_gradients_checks_them(grad_y):
    with pytest.raises(errors.ArgumentError, match="grad_y"):
        torch.ops.hinged.piecewise_linear_backward(
            grad_y, X, torch.zeros(64, 9), HINGES, None, 1, "linear"
        )


def train_one_step(change_before_forward=None, change_before_step=None):
    """Train in the metric, and replace the hinges of the layer on the way."""
    model = nn.Sequential(nn.Linear(4, 64), layer())
    optimizer = torch.optim.SGD(hinged.param_groups(model, lr=0.1))
    if change_before_forward is not None:
        model[1].hinges = change_before_forward
    model(X[:, :4]).sum().backward()
    if change_before_step is not None:
        model[1].hinges = change_before_step
    optimizer.step()


@pytest.mark.parametrize("hinges", [torch.linspace(-1, 1, 90), HINGES.expand(3, 9).contiguous()])
def test_a_step_in_the_metric_refuses_hinges_that_do_not_fit(hinges):
    for changes in ({"change_before_forward": hinges}, {"change_before_step": hinges}):
        with pytest.raises(errors.ArgumentError, match="hinges"):
            train_one_step(**changes)


def test_a_step_in_the_metric_takes_one_row_of_hinges_for_all_channels():
    train_one_step(HINGES[None])
    train_one_step(change_before_step=HINGES[None].clone())


SPARSE = {
    "coo": torch.Tensor.to_sparse,
    "csr": torch.Tensor.to_sparse_csr,
    "blocks": lambda x: x.to_sparse_bsr((2, 2)),
}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("kind", SPARSE)
@pytest.mark.parametrize("channels", [1, 64])
def test_sparse_inputs_are_refused(kind, channels):
    with pytest.raises(errors.ArgumentError, match=r"expected a dense tensor: .* x.to_dense\(\)"):
        hinged.PiecewiseLinear(channels)(SPARSE[kind](X))
