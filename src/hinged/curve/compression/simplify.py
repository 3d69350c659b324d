"""The function `simplify`, which removes hinges from a curve within an error limit."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.add_hinges import add_hinges
from hinged.curve.compression.fewest_pieces import fewest_pieces
from hinged.curve.compression.search import (
    PieceLosses,
    best_subset,
    piece_losses,
    search_subsets,
)
from hinged.curve.curve import Curve
from hinged.curve.measures import distance, with_rounding
from hinged.curve.placement.refit import check_both_or_neither, input_distribution

CALL = "hinged.curve.simplify"


class SimplifiedCurve(NamedTuple):
    """The result of `simplify`: a curve with fewer hinges.

    Attributes:
        curve: a `Curve` of `C` channels with hinges `(C, K')`. `K'` is the largest number of hinges
            that a channel needs. A channel that needs fewer has additional hinges, at which its
            slope does not change. If possible, they are hinges that many other channels keep.
        needed: number of hinges that each channel needs, shape `(C,)`, int64.
        error: largest absolute difference from the original curve, shape `(C,)`, over the range
            (from the first to the last hinge). If the argument `reach` of `simplify` extends the
            compared interval, the error covers the extended interval.
    """

    curve: Curve
    needed: Tensor
    error: Tensor

    def with_common_hinges(self) -> Curve:
        """Return the curve with hinges of shape `(K',)` if all channels have the same hinges.

        Otherwise the result is the curve with hinges `(C, K')`.
        """
        curve = self.curve
        if not (curve.hinges == curve.hinges[:1]).all():
            return curve
        return Curve(curve.hinges[0], curve.values, curve.tails, curve.tail_slopes)


def simplify(
    curve: Curve,
    tolerance: float | Tensor,
    *,
    reach: float = 0.0,
    positions: Tensor | None = None,
    shares: Tensor | None = None,
) -> SimplifiedCurve:
    """Return, for each channel, the curve with the fewest hinges within a tolerance of the
    original.

    If `positions` and `shares` are None, the tolerance limits the *largest absolute* difference
    over the range (from the first to the last hinge). With linear tails, `reach` extends this
    interval. With constant or free tails, the limit holds for all inputs. The hinges are chosen
    from the hinges of the curve and the ends of the compared interval. The values may change. If
    the new first or last hinge lies outside the original range, it is moved to the end of the
    range. The function does not change by this move.

    If `positions` and `shares` give a distribution of inputs, the tolerance limits the *root of the
    expected squared* difference. The hinges are chosen from the hinges of the curve and keep their
    values.

    In both cases, no other choice with fewer hinges is within the tolerance.

    The tolerance of each channel is increased by the rounding error of its values: `8 * eps` times
    the largest absolute value, with `eps` from `torch.finfo(curve.values.dtype)`. With a tolerance
    of 0, `simplify` therefore removes the hinges where the slope changes only by rounding.

    Args:
        curve: the curve of `C` channels; `simplify` does not change it.
        tolerance: largest allowed difference, in units of the values: one number for all channels,
            or a tensor `(C,)`.
        reach: how far outside the range the tolerance holds for linear tails, on each side, as a
            multiple of the width of the range. For the range (-3, 3), `reach=0.5` means from -6 to
            6. With a distribution of inputs, `reach` has no effect.
        positions: input values of the distribution, shape `(P,)` or `(C, P)`; None for no
            distribution.
        shares: weight of each input value, shape `(P,)` or `(C, P)`: a count or a fraction of the
            inputs.

    Returns:
        A `SimplifiedCurve` object with the curve, the number of hinges that each channel needs, and
        the errors.

    Raises:
        ArgumentError: if the tolerance or `reach` is negative, if only one of `positions` and
            `shares` is given, or if their shapes do not match the curve.

    >>> x = torch.tensor([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0])
    >>> simple = simplify(Curve(x, torch.tensor([[0.0, 0.0, 0.0, 0.01, 1.0, 2.0]])), 0.02)
    >>> simple.curve.hinges, simple.needed
    (tensor([[-3.,  0.,  2.]]), tensor([3]))
    """
    allowed = _allowed(curve, tolerance, reach)
    check_both_or_neither(CALL, positions, shares)
    with torch.no_grad():
        if positions is None or shares is None:
            wider = _with_hinges_at_reach(curve, reach)
            kept, values = fewest_pieces(*_double(wider), allowed)
        else:
            wider = curve
            points, weights = input_distribution(CALL, positions, shares, curve.channels)
            kept, values = _fewest_hinges_in_mean(curve, points, weights, allowed)
        simple = _select_hinges(wider, kept, values)
        if wider is not curve:
            simple = _with_ends_moved(simple, curve.range)
        simple = _with_tails_of(
            curve, simple.hinges.to(curve.hinges), simple.values.to(curve.values)
        )
        return SimplifiedCurve(simple, kept.sum(dim=1), distance(wider, simple))


def _allowed(curve: Curve, tolerance: float | Tensor, reach: float) -> Tensor:
    """Return the tolerance of each channel including rounding, shape `(C,)`, or raise an error."""
    given = torch.as_tensor(tolerance, dtype=torch.float64, device=curve.values.device)
    if given.shape not in ((), (curve.channels,)) or not (given >= 0).all():
        hint = f"expected 0 or more, as one number or as {curve.channels} numbers (one per channel)"
        raise errors.ArgumentError(errors.message(f"{CALL}(tolerance=...)", repr(tolerance), hint))
    if not reach >= 0:
        raise errors.ArgumentError(
            errors.message(f"{CALL}(reach=...)", repr(reach), "expected 0 or more")
        )
    return with_rounding(curve, given)


def _double(curve: Curve) -> tuple[Tensor, Tensor]:
    """Return the hinges and the values of a curve as float64, `(C, K)` each."""
    hinges = curve.hinges.detach().double().expand(curve.channels, -1)
    return hinges.contiguous(), curve.values.detach().double()


def _with_hinges_at_reach(curve: Curve, reach: float) -> Curve:
    """Return the same function with one more hinge on each linear tail, at the distance `reach`.

    `reach` is the distance from the range, as a multiple of the width of the range.
    """
    if not reach or curve.tails != "linear":
        return curve
    low, high = (end[..., None] for end in curve.range)
    far = torch.cat((low - reach * (high - low), high + reach * (high - low)), dim=-1)
    return add_hinges(curve, far)


def _fewest_hinges_in_mean(
    curve: Curve, points: Tensor, weights: Tensor, allowed: Tensor
) -> tuple[Tensor, Tensor]:
    """Choose the fewest hinges with at most the allowed root of the expected squared difference.

    Args:
        curve: the curve of `C` channels with `K` hinges.
        points: input values, shape `(C, P)`.
        weights: share of each input value, shape `(C, P)`.
        allowed: largest allowed root of the expected squared difference, shape `(C,)`.

    Returns:
        Two tensors of shape `(C, K)`: whether each hinge is kept (boolean), and the outputs of the
        simplified curve at all hinges.
    """
    points, order = points.sort(dim=1)
    weights = weights.gather(1, order)
    hinges, values = _double(curve)
    targets = _with_tails_of(curve, hinges, values)(points.T).T
    losses = piece_losses(points, weights, targets, hinges, values, curve.tails)
    subsets = search_subsets(_possible_pieces(losses, curve.tails), hinges.shape[1])
    enough = subsets.loss <= allowed.square()[:, None]
    count = torch.where(enough.any(dim=1), enough.long().argmax(dim=1) + 2, hinges.shape[1])
    kept, heights = torch.ones_like(hinges, dtype=torch.bool), values.clone()
    for hinge_count in count.unique().tolist():
        rows = (count == hinge_count).nonzero().squeeze(1)
        indices = best_subset(subsets, hinge_count)[rows]
        kept[rows] = torch.zeros_like(kept[rows]).scatter(1, indices, True)
        simple = _with_tails_of(
            curve, hinges[rows].gather(1, indices), values[rows].gather(1, indices), rows
        )
        heights[rows] = simple(hinges[rows].T).T
    return kept, heights


def _possible_pieces(losses: PieceLosses, tails: str) -> PieceLosses:
    """Return the losses with an infinite loss for pieces that end before they begin.

    Free tails keep their slopes. Therefore a choice without the first or the last hinge has an
    infinite loss too.
    """
    count = losses.piece.shape[-1]
    backwards = torch.ones(count, count, dtype=torch.bool, device=losses.piece.device).tril()
    piece = losses.piece.masked_fill(backwards, torch.inf)
    if tails != "free":
        return PieceLosses(piece, losses.left, losses.right)
    left, right = (torch.full_like(piece, torch.inf) for _ in range(2))
    left[:, 0], right[:, :, -1] = 0.0, 0.0
    return PieceLosses(piece, left, right)


def _with_tails_of(
    curve: Curve, hinges: Tensor, values: Tensor, rows: Tensor | None = None
) -> Curve:
    """Return a curve with the tails of `curve`, in the dtype of `values`.

    Args:
        curve: the curve that provides the tails.
        hinges: positions, shape `(C, K)`.
        values: outputs at the hinges, shape `(C, K)`.
        rows: channels of `curve` that provide the tails; None for all channels.
    """
    slopes = None if curve.tail_slopes is None else curve.tail_slopes.detach().to(values.dtype)
    if slopes is not None and rows is not None:
        slopes = slopes[rows]
    return Curve(hinges, values, curve.tails, slopes)


def _select_hinges(curve: Curve, kept: Tensor, heights: Tensor) -> Curve:
    """Return the curve with only the kept hinges, in float64.

    All channels must have the same number of hinges. A channel that keeps fewer hinges than the
    others therefore gets additional hinges: first the ones that most other channels keep.

    Args:
        curve: the original curve of `C` channels.
        kept: whether each hinge is kept, shape `(C, K)`.
        heights: outputs of the simplified curve at all hinges, shape `(C, K)`.
    """
    count = int(kept.sum(dim=1).max())
    priority = kept * (len(kept) + 1) + kept.sum(dim=0)
    indices = priority.argsort(dim=1, descending=True, stable=True)[:, :count].sort(dim=1).values
    return _with_tails_of(curve, _double(curve)[0].gather(1, indices), heights.gather(1, indices))


def _with_ends_moved(curve: Curve, ends: tuple[Tensor, Tensor]) -> Curve:
    """Return the same function with its first and last hinge moved along their lines to `ends`.

    A hinge is not moved past another hinge.
    """
    hinges, (low, high) = curve.hinges.clone(), (end.double() for end in ends)
    if hinges.shape[1] == 2:
        hinges[:, 0], hinges[:, 1] = low, high
    else:
        hinges[:, 0] = torch.where(hinges[:, 1] > low, low, hinges[:, 0])
        hinges[:, -1] = torch.where(hinges[:, -2] < high, high, hinges[:, -1])
    return Curve(hinges, curve(hinges.T).T, curve.tails)
