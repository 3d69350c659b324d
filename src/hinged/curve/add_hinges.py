"""Functions that add hinges to a curve without changing its outputs, and that find its bends."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.equivalent_forms import to_lines


def add_hinges(curve: Curve, positions: Tensor) -> Curve:
    """Return a curve with additional hinges that computes the same function.

    The slope does not change at an additional hinge until its value is trained. The values at the
    additional hinges are computed in float64 and rounded once to the dtype of the curve. The
    outputs therefore change only by rounding. The outputs of ReLU, identity and |x| do not change
    at all.

    Args:
        curve: the curve of `C` channels with `K` hinges; `add_hinges` does not change it.
        positions: input positions of the `M` additional hinges, shape `(M,)` for all channels or
            `(C, M)` for one row per channel. A position may lie between two hinges or on a tail.

    Returns:
        A new `Curve` with `K + M` hinges. Its hinges have shape `(K + M,)` if neither the hinges of
        `curve` nor `positions` differ between channels, and shape `(C, K + M)` otherwise.

    Raises:
        ArgumentError: if a position is already a hinge, occurs twice, or is not a finite number, or
            if the shape of `positions` is neither `(M,)` nor `(C, M)`.

    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> add_hinges(relu, torch.tensor([0.5, 3.0])).values
    tensor([[0.0000, 0.0000, 0.5000, 1.0000, 3.0000]])
    """
    call = "hinged.curve.add_hinges(positions=...)"
    if positions.dim() not in (1, 2) or (
        positions.dim() == 2 and positions.shape[0] not in (1, curve.channels)
    ):
        got = f"shape {tuple(positions.shape)}"
        hint = f"expected (M,) or ({curve.channels}, M), for M additional hinges"
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
    """Return a curve that computes the same function, with each piece split into shorter pieces.

    A piece is the straight line between two neighbouring hinges. The new pieces of one old piece
    have equal widths. Evenly spaced hinges stay evenly spaced if the dtype of the curve can
    represent the new positions exactly.

    Args:
        curve: the curve with `K` hinges; `split_pieces` does not change it.
        into: number of new pieces for each old piece, at least 1. The new curve has
            `into * (K - 1) + 1` hinges.

    Returns:
        A new `Curve` with the same tails.

    Raises:
        ArgumentError: if `into` is less than 1, or if two new hinges are the same number in the
            dtype of the curve.

    >>> curve = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> split_pieces(curve).values
    tensor([[0.0000, 0.0000, 0.0000, 0.5000, 1.0000]])
    """
    if into < 1:
        call = "hinged.curve.split_pieces(into=...)"
        hint = "expected 1 or more new pieces for each old piece"
        raise errors.ArgumentError(errors.message(call, repr(into), hint))
    hinges = curve.hinges.detach().double()
    parts = torch.arange(1, into, dtype=torch.float64, device=hinges.device) / into
    between = hinges[..., :-1, None] + hinges.diff(dim=-1)[..., None] * parts
    return add_hinges(curve, between.flatten(-2))


def kinks(curve: Curve, tolerance: float = 1e-4) -> Tensor:
    """Return the positions of all hinges at which at least one channel changes its slope.

    A channel changes its slope at a hinge if the slopes left and right of the hinge differ by more
    than `tolerance` times the largest absolute slope of the channel.

    Args:
        curve: the curve of one or more channels.
        tolerance: smallest change of slope that counts, as a fraction of the largest absolute
            slope.

    Returns:
        A tensor of `M` ascending positions, shape `(M,)`. A position that several channels have in
        common occurs once.

    >>> kinks(Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]])))
    tensor([0.])
    """
    slopes = to_lines(curve).slopes.detach().double()
    bends = slopes.diff(dim=1).abs() > tolerance * slopes.abs().amax(dim=1, keepdim=True)
    found: Tensor = curve.hinges.detach().expand_as(bends)[bends].unique()
    return found


def _check_distinct(hinges: Tensor, call: str) -> None:
    """Raise `ArgumentError` if two neighbouring entries of the sorted `hinges` are equal."""
    distinct = hinges.diff(dim=-1) > 0
    if distinct.all():
        return
    position = hinges[..., 1:][~distinct][0].item()
    got = f"{position:g}, which is already a hinge or is given twice"
    hint = "give only new positions, each of them once"
    raise errors.ArgumentError(errors.message(call, got, hint))
