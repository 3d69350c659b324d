"""`piecewise_linear`: the function of tensors that the layer `PiecewiseLinear` computes."""

from __future__ import annotations

from torch import Tensor

from hinged.kernels import evaluate_curves
from hinged.nn.layer_arguments import check_dim


def piecewise_linear(
    x: Tensor,
    values: Tensor,
    hinges: Tensor,
    dim: int = 1,
    tails: str = "linear",
    tail_slopes: Tensor | None = None,
) -> Tensor:
    """Apply one piecewise-linear curve per channel to `x`, as the layer `PiecewiseLinear` does.

    The curve of a channel has `K` hinges `h[k]` and the value `v[k]` at each hinge. Between two
    neighbouring hinges it is a straight line, called a piece. With
    `t = (x - h[k]) / (h[k+1] - h[k])`, its output is `(1 - t) v[k] + t v[k+1]`. Left of the first
    hinge and right of the last hinge the curve is a straight line called a tail.

    Args:
        x: inputs. Axis `dim` has size `C`, the number of channels. If `C` is 1, `x` may have any
            shape.
        values: outputs at the hinges, shape `(C, K)`.
        hinges: ascending positions on the input axis, shape `(K,)` for all channels together or
            `(C, K)`. The order is not checked, because the check would have to wait for a GPU.
        dim: the channel axis of `x`.
        tails: `"linear"` (the first and the last piece continue), `"constant"` (the first and the
            last value continue) or `"free"` (the slopes in `tail_slopes`).
        tail_slopes: slopes of the left and the right tail for free tails, shape `(C, 2)`. None for
            other tails.

    Returns:
        A new tensor with the shape, dtype and memory format of `x`.

    Raises:
        ArgumentError: if `dim` is not a whole number, if the shapes of the tensors do not match, if
            `tails` is `"free"` and `tail_slopes` is None, or if `tails` is not `"free"` and
            `tail_slopes` is given.
        DtypeError: if a tensor is not floating point.

    >>> import hinged, torch
    >>> h = torch.tensor([-1.0, 0.0, 1.0])
    >>> hinged.piecewise_linear(torch.tensor([[-2.0, 0.25, 3.0]]), h.abs()[None], h)
    tensor([[2.0000, 0.2500, 3.0000]])
    """
    call = "hinged.piecewise_linear"
    if type(dim) is not int:  # Nearly always it is, so other kinds of numbers are checked here.
        check_dim(dim, call)
    return evaluate_curves(
        x, values, hinges, dim=dim, tails=tails, tail_slopes=tail_slopes, call=call
    )
