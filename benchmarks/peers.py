"""The peers of `hinged bench kernels --peers`, each started at the very curve of the others.

Install them by `benchmarks/peers.txt`. What is not installed becomes a row that says so.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hinged.curve import Curve
from hinged.lab.bench.contestants import CURVE, OTHER, SHARED, Contestant


class Adapted(nn.Module):
    """A peer's module with its own way of calling it."""

    def __init__(self, inner: nn.Module, call: Callable[[nn.Module, Tensor], Tensor]) -> None:
        super().__init__()
        self.inner = inner
        self.call = call

    def forward(self, x: Tensor) -> Tensor:
        """Return the peer's activation of `x` `(N, C, ...)`."""
        return self.call(self.inner, x)


def rows(inner: nn.Module, x: Tensor) -> Tensor:
    """Call what takes `(M, C)` alone."""
    behind = x.movedim(1, -1)
    return inner(behind.reshape(-1, x.shape[1])).reshape(behind.shape).movedim(-1, 1)


def column(inner: nn.Module, x: Tensor) -> Tensor:
    """Call what takes `(M, 1)` alone and has one function for all."""
    return inner(x.reshape(-1, 1)).reshape(x.shape)


def embedding_of_one(inner: nn.Module, x: Tensor) -> Tensor:
    """Call what takes `(M, C)` and gives `(M, C, 1)`."""
    behind = x.movedim(1, -1)
    return inner(behind.reshape(-1, x.shape[1])).reshape(behind.shape).movedim(-1, 1)


def maps(inner: nn.Module, x: Tensor) -> Tensor:
    """Call what takes `(N, C, H, W)` alone."""
    return inner(x) if x.dim() == 4 else inner(x[..., None, None])[..., 0, 0]


def gradient_of(name: str) -> Callable[[nn.Module], Tensor]:
    """Return what reads the gradient of one parameter that holds the values in order."""

    def gradient(module: nn.Module) -> Tensor:
        return module.get_parameter(name).grad.detach()

    return gradient


def ends(curve: Curve) -> float:
    """Return the last hinge of hinges that are symmetric about 0."""
    return curve.hinges[..., -1].item()


def deepsplines(save_memory: bool) -> Callable[[Curve], nn.Module]:
    """B-spline coefficients at uniform hinges."""

    def make(curve: Curve) -> nn.Module:
        from deepsplines.ds_modules import DeepBSpline

        channels, hinges = curve.values.shape
        inner = DeepBSpline(
            "conv",
            channels,
            size=hinges,
            range_=ends(curve),
            init="relu",
            save_memory=save_memory,
        )
        inner._coefficients_vect.data.copy_(curve.values.flatten())
        return Adapted(inner, maps)

    return make


def deepsplines_curve(curve: Curve) -> nn.Module:
    """The same by a name, for `hinged compare --activations`."""
    return deepsplines(save_memory=False)(curve)


def deepsplines_gradient(module: nn.Module) -> Tensor:
    """Return the gradient of the coefficients as `(C, K)`."""
    inner = module.inner
    return inner._coefficients_vect.grad.view(inner.num_activations, inner.size)


def torchpwl(curve: Curve) -> nn.Module:
    """Points found by sorting; the positions are held fixed."""
    import torchpwl as package

    channels, hinges = curve.values.shape
    inner = package.PointPWL(num_channels=channels, num_breakpoints=hinges - 1)
    inner.x_positions.data.copy_(curve.hinges.expand(channels, hinges))
    inner.y_positions.data.copy_(curve.values)
    inner.x_positions.requires_grad_(False)
    return Adapted(inner, lambda inner, x: inner(x))


def learnable_activation(curve: Curve) -> nn.Module:
    """Two advanced-index reads and a lerp; 6 d + 1 hinges on [-3, 3]."""
    from learnable_activation import LearnableActivation

    channels, hinges = curve.values.shape
    density, rest = divmod(hinges - 1, 6)
    if rest:
        raise ValueError(f"it has 6 d + 1 hinges on [-3, 3], not {hinges}")
    inner = LearnableActivation(channels, width=6, density=density)
    inner.interp_tensor.data.copy_(curve.values)
    return Adapted(inner, rows)


def rtdl(curve: Curve) -> nn.Module:
    """A matrix product with the encoding of every input."""
    from rtdl_num_embeddings import PiecewiseLinearEmbeddings

    channels = curve.channels
    bins = [curve.hinges.clone() for _ in range(channels)]
    inner = PiecewiseLinearEmbeddings(bins, 1, activation=False, version="B")
    with torch.no_grad():
        inner.linear0.weight.zero_()
        inner.linear0.bias.copy_(curve.values[:, :1])
        inner.linear.weight[:, :, 0].copy_(curve.values.diff(dim=1))
    # Its linear part has a slope of its own, which the other peers have not.
    inner.linear0.weight.requires_grad_(False)
    return Adapted(inner, embedding_of_one)


def rtdl_gradient(module: nn.Module) -> Tensor:
    """Return the gradient to the values: its parameters are the first value and the steps, so
    that `dL/dv[k] = dL/dstep[k-1] - dL/dstep[k]`."""
    steps = module.inner.linear.weight.grad[:, :, 0]
    first = module.inner.linear0.bias.grad
    padded = torch.nn.functional.pad(steps, (0, 1))
    return torch.cat((first, steps), dim=1) - padded


def kanditioned(curve: Curve) -> nn.Module:
    """An embedding bag with two weighted entries; one curve for all channels."""
    from KANditioned import KANLayer

    hinges = curve.values.shape[1]
    inner = KANLayer(
        1,
        1,
        init="zero",
        num_control_points=hinges,
        spline_width=2 * ends(curve),
        impl="embedding_bag",
    )
    inner.kan_weight.data.copy_(curve.values.view(1, hinges, 1))
    return Adapted(inner, column)


def rational(curve: Curve) -> nn.Module:  # noqa: ARG001 (all peers are asked for in one way)
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
    Contestant(
        "deepsplines",
        deepsplines(save_memory=False),
        CURVE,
        deepsplines_gradient,
        package="deepsplines",
    ),
    Contestant(
        "deepsplines, saving memory",
        deepsplines(save_memory=True),
        CURVE,
        deepsplines_gradient,
        package="deepsplines",
    ),
    Contestant("torchpwl", torchpwl, CURVE, gradient_of("inner.y_positions"), package="torchpwl"),
    Contestant(
        "learnable-activation",
        learnable_activation,
        CURVE,
        gradient_of("inner.interp_tensor"),
        package="learnable-activation",
    ),
    Contestant("rtdl-num-embeddings", rtdl, CURVE, rtdl_gradient, package="rtdl-num-embeddings"),
    Contestant(
        "kanditioned embedding_bag",
        kanditioned,
        SHARED,
        lambda module: module.inner.kan_weight.grad.view(1, -1),
        package="kanditioned",
    ),
    Contestant("rational (5, 4)", rational, OTHER, package="rational-activations"),
    Contestant("MTLU", mtlu, OTHER, package="torch-activation"),
]
