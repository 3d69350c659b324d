"""Activations of other packages for `hinged bench kernels --peers`, all started as the same curve.

`benchmarks/peers.txt` lists the packages to install. A package that is not installed becomes a row
that says so.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hinged.curve import Curve
from hinged.lab.bench.timed_activations import CURVE, OTHER, SHARED, TimedActivation


class Adapter(nn.Module):
    """Wraps a module of another package that needs its inputs in another shape."""

    def __init__(self, inner: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = inner
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of `x`, same shape `(N, C, ...)`."""
        return self.call(self.inner, x)


def call_with_channels_last(inner: nn.Module, x: Tensor) -> Tensor:
    """Call a module that takes `(M, C)` and returns `(M, C)` or `(M, C, 1)`."""
    channels_last = x.movedim(1, -1)
    outputs = inner(channels_last.reshape(-1, x.shape[1]))
    return outputs.reshape(channels_last.shape).movedim(-1, 1)


def call_with_one_column(inner: nn.Module, x: Tensor) -> Tensor:
    """Call a module that takes `(M, 1)` and has one function for all channels."""
    return inner(x.reshape(-1, 1)).reshape(x.shape)


def call_with_images(inner: nn.Module, x: Tensor) -> Tensor:
    """Call a module that takes `(N, C, H, W)`."""
    return inner(x) if x.dim() == 4 else inner(x[..., None, None])[..., 0, 0]


def gradient_of(name: str) -> Callable[[nn.Module], Tensor]:
    """Return a function that reads the gradient of the parameter that holds the curve's values."""

    def gradient(module: nn.Module) -> Tensor:
        return module.get_parameter(name).grad.detach()

    return gradient


def last_hinge(curve: Curve) -> float:
    """Return the last hinge `h` of a curve with the range [-h, h]."""
    return curve.hinges[..., -1].item()


def deepsplines(save_memory: bool) -> Callable[[Curve], nn.Module]:
    """Linear B-splines with one coefficient per uniform hinge."""

    def make(curve: Curve) -> nn.Module:
        from deepsplines.ds_modules import DeepBSpline

        channels, hinges = curve.values.shape
        inner = DeepBSpline(
            "conv",
            channels,
            size=hinges,
            range_=last_hinge(curve),
            init="relu",
            save_memory=save_memory,
        )
        inner._coefficients_vect.data.copy_(curve.values.flatten())
        return Adapter(inner, call_with_images)

    return make


def deepsplines_curve(curve: Curve) -> nn.Module:
    """`deepsplines(save_memory=False)` under a name, for `hinged compare --activations`."""
    return deepsplines(save_memory=False)(curve)


def deepsplines_gradient(module: nn.Module) -> Tensor:
    """Return the gradient of the coefficients as `(C, K)`."""
    inner = module.inner
    return inner._coefficients_vect.grad.view(inner.num_activations, inner.size)


def torchpwl(curve: Curve) -> nn.Module:
    """Finds the piece by sorting. Its positions are frozen."""
    import torchpwl as package

    channels, hinges = curve.values.shape
    inner = package.PointPWL(num_channels=channels, num_breakpoints=hinges - 1)
    inner.x_positions.data.copy_(curve.hinges.expand(channels, hinges))
    inner.y_positions.data.copy_(curve.values)
    inner.x_positions.requires_grad_(False)
    return Adapter(inner, lambda inner, x: inner(x))


def learnable_activation(curve: Curve) -> nn.Module:
    """Two indexed reads and a linear interpolation; only 6 d + 1 hinges on [-3, 3]."""
    from learnable_activation import LearnableActivation

    channels, hinges = curve.values.shape
    density, rest = divmod(hinges - 1, 6)
    if rest:
        raise ValueError(f"it has 6 d + 1 hinges on [-3, 3], not {hinges}")
    inner = LearnableActivation(channels, width=6, density=density)
    inner.interp_tensor.data.copy_(curve.values)
    return Adapter(inner, call_with_channels_last)


def rtdl(curve: Curve) -> nn.Module:
    """Encodes every input by its position in each piece, then multiplies by a matrix."""
    from rtdl_num_embeddings import PiecewiseLinearEmbeddings

    channels = curve.channels
    bins = [curve.hinges.clone() for _ in range(channels)]
    inner = PiecewiseLinearEmbeddings(bins, 1, activation=False, version="B")
    with torch.no_grad():
        inner.linear0.weight.zero_()
        inner.linear0.bias.copy_(curve.values[:, :1])
        inner.linear.weight[:, :, 0].copy_(curve.values.diff(dim=1))
    # Frozen, because no other package has this extra slope.
    inner.linear0.weight.requires_grad_(False)
    return Adapter(inner, call_with_channels_last)


def rtdl_gradient(module: nn.Module) -> Tensor:
    """Return the gradient to the curve's values.

    The parameters are the first value and the steps between values, so
    `dL/dv[k] = dL/dstep[k-1] - dL/dstep[k]`.
    """
    steps = module.inner.linear.weight.grad[:, :, 0]
    first = module.inner.linear0.bias.grad
    padded = torch.nn.functional.pad(steps, (0, 1))
    return torch.cat((first, steps), dim=1) - padded


def kanditioned(curve: Curve) -> nn.Module:
    """An embedding bag with two weighted entries per input; one curve for all channels."""
    from KANditioned import KANLayer

    hinges = curve.values.shape[1]
    inner = KANLayer(
        1,
        1,
        init="zero",
        num_control_points=hinges,
        spline_width=2 * last_hinge(curve),
        impl="embedding_bag",
    )
    inner.kan_weight.data.copy_(curve.values.view(1, hinges, 1))
    return Adapter(inner, call_with_one_column)


def rational(curve: Curve) -> nn.Module:  # noqa: ARG001 (every constructor takes a curve)
    """A quotient of polynomials of degrees 5 and 4; one function for all channels."""
    from rational.torch import Rational

    return Rational(approx_func="relu", degrees=(5, 4), cuda=False, version="A")


def mtlu(curve: Curve) -> nn.Module:
    """A sum of K ReLUs with trained hinges and slopes; one function for all channels."""
    from torch_activation.classical.learnable import MTLU

    inner = MTLU(n_bins=curve.values.shape[1] + 1)
    positions = curve.hinges.reshape(-1, curve.hinges.shape[-1])[0]
    inner.breakpoints.data = positions.clone()
    inner.slopes.data = torch.cat((torch.zeros(1), (positions >= 0).float()))
    return inner


PEERS = [
    TimedActivation(
        "deepsplines",
        deepsplines(save_memory=False),
        CURVE,
        deepsplines_gradient,
        package="deepsplines",
    ),
    TimedActivation(
        "deepsplines, saving memory",
        deepsplines(save_memory=True),
        CURVE,
        deepsplines_gradient,
        package="deepsplines",
    ),
    TimedActivation(
        "torchpwl", torchpwl, CURVE, gradient_of("inner.y_positions"), package="torchpwl"
    ),
    TimedActivation(
        "learnable-activation",
        learnable_activation,
        CURVE,
        gradient_of("inner.interp_tensor"),
        package="learnable-activation",
    ),
    TimedActivation(
        "rtdl-num-embeddings", rtdl, CURVE, rtdl_gradient, package="rtdl-num-embeddings"
    ),
    TimedActivation(
        "kanditioned embedding_bag",
        kanditioned,
        SHARED,
        lambda module: module.inner.kan_weight.grad.view(1, -1),
        package="kanditioned",
    ),
    TimedActivation("rational (5, 4)", rational, OTHER, package="rational-activations"),
    TimedActivation("MTLU", mtlu, OTHER, package="torch-activation"),
]
