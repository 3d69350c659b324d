"""Activations of other packages for `hinged bench kernels --peers`.

All piecewise-linear activations start as the same curve. `benchmarks/peers.txt` lists the packages
to install. If a package is not installed, the benchmark reports this and does not time the package.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hinged.curve import Curve
from hinged.lab.bench.timed_activations import CURVE, OTHER, SHARED, TimedActivation


class Adapter(nn.Module):
    """Wraps a module of another package, and changes the shape of its inputs and outputs.

    Args:
        inner: the module of the other package.
        call: a function that calls `inner` with an input `(N, C, ...)` and returns an output of the
            same shape.
    """

    def __init__(self, inner: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = inner
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation of `x`. Input and output have the shape `(N, C, ...)`."""
        return self.call(self.inner, x)


def call_with_channels_last(inner: nn.Module, x: Tensor) -> Tensor:
    """Apply a module to `x`, `(N, C, ...)`, with the channels as the last axis.

    The module takes `(M, C)` and returns `(M, C)` or `(M, C, 1)`. `M` is the product of all axes of
    `x` except the channels.
    """
    channels_last = x.movedim(1, -1)
    outputs = inner(channels_last.reshape(-1, x.shape[1]))
    return outputs.reshape(channels_last.shape).movedim(-1, 1)


def call_with_one_column(inner: nn.Module, x: Tensor) -> Tensor:
    """Apply a module to `x`, `(N, C, ...)`. The module takes and returns `(x.numel(), 1)`."""
    return inner(x.reshape(-1, 1)).reshape(x.shape)


def call_with_images(inner: nn.Module, x: Tensor) -> Tensor:
    """Apply a module that takes `(N, C, H, W)` to `x`, which is `(N, C, H, W)` or `(N, C)`."""
    return inner(x) if x.dim() == 4 else inner(x[..., None, None])[..., 0, 0]


def gradient_of(name: str) -> Callable[[nn.Module], Tensor]:
    """Return a function that takes a module and returns the gradient of one of its parameters.

    Args:
        name: the name of the parameter with the curve's values.
    """

    def gradient(module: nn.Module) -> Tensor:
        return module.get_parameter(name).grad.detach()

    return gradient


def last_hinge(curve: Curve) -> float:
    """Return the position of the last hinge of a curve."""
    return curve.hinges[..., -1].item()


def deepsplines(save_memory: bool) -> Callable[[Curve], nn.Module]:
    """Return a function that creates the activation of deepsplines from a curve.

    The activation is a sum of linear B-splines, with one coefficient for each uniform hinge.

    Args:
        save_memory: whether the module saves less memory for the backward pass and computes more.
    """

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
    """Create the activation of deepsplines, for example for `hinged compare --activations`."""
    return deepsplines(save_memory=False)(curve)


def deepsplines_gradient(module: nn.Module) -> Tensor:
    """Return the gradient with respect to the curve's values, `(C, K)`."""
    inner = module.inner
    return inner._coefficients_vect.grad.view(inner.num_activations, inner.size)


def torchpwl(curve: Curve) -> nn.Module:
    """Create the activation of torchpwl. It finds the piece of each input by sorting.

    Its positions of hinges are trainable parameters, and they are frozen here.
    """
    import torchpwl as package

    channels, hinges = curve.values.shape
    inner = package.PointPWL(num_channels=channels, num_breakpoints=hinges - 1)
    inner.x_positions.data.copy_(curve.hinges.expand(channels, hinges))
    inner.y_positions.data.copy_(curve.values)
    inner.x_positions.requires_grad_(False)
    return Adapter(inner, lambda inner, x: inner(x))


def learnable_activation(curve: Curve) -> nn.Module:
    """Create the activation of learnable-activation. It interpolates between two table entries.

    It has `6 d + 1` hinges on [-3, 3], with an integer `d`.

    Raises:
        ValueError: if the curve has another number of hinges.
    """
    from learnable_activation import LearnableActivation

    channels, hinges = curve.values.shape
    density, rest = divmod(hinges - 1, 6)
    if rest:
        raise ValueError(f"it needs 7, 13, 19, ... hinges on [-3, 3], but the case has {hinges}")
    inner = LearnableActivation(channels, width=6, density=density)
    inner.interp_tensor.data.copy_(curve.values)
    return Adapter(inner, call_with_channels_last)


def rtdl(curve: Curve) -> nn.Module:
    """Create the activation of rtdl-num-embeddings.

    It encodes each input by its position in every piece, then multiplies the code by a matrix.
    """
    from rtdl_num_embeddings import PiecewiseLinearEmbeddings

    channels = curve.channels
    bins = [curve.hinges.clone() for _ in range(channels)]
    inner = PiecewiseLinearEmbeddings(bins, 1, activation=False, version="B")
    with torch.no_grad():
        inner.linear0.weight.zero_()
        inner.linear0.bias.copy_(curve.values[:, :1])
        inner.linear.weight[:, :, 0].copy_(curve.values.diff(dim=1))
    # This additional linear function is frozen, because no other package has it.
    inner.linear0.weight.requires_grad_(False)
    return Adapter(inner, call_with_channels_last)


def rtdl_gradient(module: nn.Module) -> Tensor:
    """Return the gradient with respect to the curve's values, `(C, K)`.

    The parameters of the module are the first value and the steps between neighbouring values. For
    value k this means `dL/dvalue[k] = dL/dstep[k-1] - dL/dstep[k]`, with the loss `L`.
    """
    steps = module.inner.linear.weight.grad[:, :, 0]
    first = module.inner.linear0.bias.grad
    padded = torch.nn.functional.pad(steps, (0, 1))
    return torch.cat((first, steps), dim=1) - padded


def kanditioned(curve: Curve) -> nn.Module:
    """Create the activation of KANditioned, which has one curve for all channels.

    It adds two weighted entries of an embedding bag for each input.
    """
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
    """Create the activation of rational-activations, which has one function for all channels.

    The function is a quotient of polynomials of degrees 5 and 4.
    """
    from rational.torch import Rational

    return Rational(approx_func="relu", degrees=(5, 4), cuda=False, version="A")


def mtlu(curve: Curve) -> nn.Module:
    """Create the activation `MTLU` of torch-activation, which has one function for all channels.

    The function is a sum of `K` ReLUs with trained hinges and slopes.
    """
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
