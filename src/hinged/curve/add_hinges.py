"""Adds hinges to a curve without changing the function, and finds the hinges where it bends."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.equivalent_forms import to_lines


def add_hinges(curve: Curve, positions: Tensor) -> Curve:
    """Return the same function with additional hinges, which have no bend until they are trained.

    The new values are computed in float64 and rounded once. The function therefore changes by
    rounding only, and ReLU, identity and |x| do not change at all.

    Args:
        curve: the curve; it is not changed.
        positions: where to add hinges, inside the range or on a tail, shape `(M,)` or `(C, M)`.

    Returns:
        A curve of `K + M` hinges. They have shape `(K + M,)` if neither the hinges nor the
        positions differ between channels.

    Raises:
        ArgumentError: a position that is already a hinge, or is not a finite number.

    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> add_hinges(relu, torch.tensor([0.5, 3.0])).values
    tensor([[0.0000, 0.0000, 0.5000, 1.0000, 3.0000]])
    """
    call = "hinged.curve.add_hinges(positions=...)"
    if positions.dim() not in (1, 2) or (
        positions.dim() == 2 and positions.shape[0] not in (1, curve.channels)
    ):
        got, hint = f"shape {tuple(positions.shape)}", f"expected (M,) or ({curve.channels}, M)"
        raise errors.ArgumentError(errors.message(call, got, hint))
    with torch.no_grad():
        new = positions.to(curve.hinges)
        per_channel = new.dim() == 2 or curve.hinges.dim() == 2
        lead = (curve.channels,) if per_channel else ()
        old, new = (t.expand(*lead, t.shape[-1]) for t in (curve.hinges, new))
        hinges, order = torch.cat((old, new), dim=-1).sort(dim=-1)
        _check_distinct(hinges, call)
        slopes = curve.tail_slopes
        wide_slopes = None if slopes is None else slopes.double()
        wide = Curve(curve.hinges.double(), curve.values.double(), curve.tails, wide_slopes)
        heights = wide(torch.atleast_2d(new).double().T.expand(-1, curve.channels)).T
        values = torch.cat((curve.values, heights.to(curve.values)), dim=1)
        values = values.gather(1, order.expand_as(values))
        return Curve(hinges, values, curve.tails, None if slopes is None else slopes.clone())


def split_pieces(curve: Curve, into: int = 2) -> Curve:
    """Return the same function with every piece split into equal parts.

    Evenly spaced hinges stay evenly spaced if the dtype can represent the new positions.

    Args:
        curve: the curve; it is not changed.
        into: number of parts of each piece, at least 1.

    Raises:
        ArgumentError: fewer than one part, or parts too narrow for the dtype.

    >>> curve = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> split_pieces(curve).values
    tensor([[0.0000, 0.0000, 0.0000, 0.5000, 1.0000]])
    """
    if into < 1:
        call = "hinged.curve.split_pieces(into=...)"
        raise errors.ArgumentError(errors.message(call, repr(into), "expected 1 or more"))
    hinges = curve.hinges.detach().double()
    parts = torch.arange(1, into, dtype=torch.float64, device=hinges.device) / into
    between = hinges[..., :-1, None] + hinges.diff(dim=-1)[..., None] * parts
    return add_hinges(curve, between.flatten(-2))


def kinks(curve: Curve, tolerance: float = 1e-4) -> Tensor:
    """Return the hinges where some channel bends, ascending, shape `(M,)`.

    A channel bends where its slope changes by more than `tolerance` times its largest slope.

    >>> kinks(Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]])))
    tensor([0.])
    """
    slopes = to_lines(curve).slopes.detach().double()
    bends = slopes.diff(dim=1).abs() > tolerance * slopes.abs().amax(dim=1, keepdim=True)
    found: Tensor = curve.hinges.detach().expand_as(bends)[bends].unique()
    return found


def _check_distinct(hinges: Tensor, call: str) -> None:
    distinct = hinges.diff(dim=-1) > 0
    if distinct.all():
        return
    position = hinges[..., 1:][~distinct][0].item()
    got, hint = f"{position:g}, which is already a hinge or is given twice", "leave it out"
    raise errors.ArgumentError(errors.message(call, got, hint))
