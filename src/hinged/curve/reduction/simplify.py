"""Fewer hinges for nearly the same curve: as few as an error bound allows."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.add_hinges import add_hinges
from hinged.curve.curve import Curve
from hinged.curve.measures import distance, with_rounding
from hinged.curve.placement.refit import check_both_or_neither, input_distribution
from hinged.curve.reduction.fewest_pieces import fewest_pieces
from hinged.curve.reduction.search import PieceLosses, best_subset, piece_losses, search_subsets

CALL = "hinged.curve.simplify"


class Simplified(NamedTuple):
    """A curve with fewer hinges.

    Attributes:
        curve: `C` channels with as many hinges as the most demanding of them needs, hinges
            `(C, K')`; the others have more, which bend nothing: those that most channels keep.
        needed: how many hinges each channel needs, shape `(C,)`, int64.
        error: the largest absolute difference over the curve's range, and as far beyond as `reach`
            says, shape `(C,)`.
    """

    curve: Curve
    needed: Tensor
    error: Tensor

    def in_a_row(self) -> Curve:
        """Return the curve with hinges `(K',)` where all channels have the same."""
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
) -> Simplified:
    """Return the curve with the fewest hinges within `tolerance` of `curve`, by channel.

    Without a distribution of inputs, the *largest* absolute difference is bounded, over the
    curve's range and `reach` widths of it on either side (everywhere, unless the tails are
    linear). Hinges are chosen from the curve's own and the ends of that range, the values are free,
    and no choice of hinges and values with fewer hinges keeps the bound. A first or last hinge
    beyond the curve's range is moved along its line to the range's end.

    With a distribution the *root of the expected squared* difference is bounded. Hinges are chosen
    from the curve's own and keep their values; no choice with fewer keeps the bound.

    What is compared has been rounded: a few units in the last place of the largest value are
    added to the tolerance, so that with 0 those hinges go that bend nothing.

    Args:
        curve: the curve; it is not changed.
        tolerance: in units of the values, a number or one for each channel `(C,)`.
        reach: how far beyond the range linear tails are held to the bound, in widths of it.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many lie there, in any unit, shape `(P,)` or `(C, P)`.

    Raises:
        ArgumentError: a negative tolerance or reach, or a distribution that is incomplete or does
            not fit the curve.

    >>> x = torch.tensor([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0])
    >>> simple = simplify(Curve(x, torch.tensor([[0.0, 0.0, 0.0, 0.01, 1.0, 2.0]])), 0.02)
    >>> simple.curve.hinges, simple.needed
    (tensor([[-3.,  0.,  2.]]), tensor([3]))
    """
    allowed = _allowed(curve, tolerance, reach)
    check_both_or_neither(CALL, positions, shares)
    with torch.no_grad():
        if positions is None or shares is None:
            wider = _reached(curve, reach)
            kept, values = fewest_pieces(*_double(wider), allowed)
        else:
            wider = curve
            points, weights = input_distribution(CALL, positions, shares, curve.channels)
            kept, values = _fewest_in_mean(curve, points, weights, allowed)
        simple = _with(wider, kept, values)
        if wider is not curve:
            simple = _back_within(simple, curve.range)
        simple = _like(curve, simple.hinges.to(curve.hinges), simple.values.to(curve.values))
        return Simplified(simple, kept.sum(dim=1), distance(wider, simple))


def _allowed(curve: Curve, tolerance: float | Tensor, reach: float) -> Tensor:
    asked = torch.as_tensor(tolerance, dtype=torch.float64, device=curve.values.device)
    if asked.shape not in ((), (curve.channels,)) or not (asked >= 0).all():
        hint = f"expected 0 or more, one number or {curve.channels}"
        raise errors.ArgumentError(errors.message(f"{CALL}(tolerance=...)", repr(tolerance), hint))
    if not reach >= 0:
        raise errors.ArgumentError(
            errors.message(f"{CALL}(reach=...)", repr(reach), "expected 0 or more")
        )
    return with_rounding(curve, asked)


def _double(curve: Curve) -> tuple[Tensor, Tensor]:
    hinges = curve.hinges.detach().double().expand(curve.channels, -1)
    return hinges.contiguous(), curve.values.detach().double()


def _reached(curve: Curve, reach: float) -> Curve:
    """Return the curve with one more hinge on each linear tail, `reach` ranges away."""
    if not reach or curve.tails != "linear":
        return curve
    low, high = (end[..., None] for end in curve.range)
    far = torch.cat((low - reach * (high - low), high + reach * (high - low)), dim=-1)
    return add_hinges(curve, far)


def _fewest_in_mean(
    curve: Curve, points: Tensor, weights: Tensor, allowed: Tensor
) -> tuple[Tensor, Tensor]:
    """Return which hinges to keep and the simpler curve's values at all hinges, each `(C, K)`."""
    points, order = points.sort(dim=1)
    weights = weights.gather(1, order)
    hinges, values = _double(curve)
    targets = _like(curve, hinges, values)(points.T).T
    costs = piece_losses(points, weights, targets, hinges, values, curve.tails)
    choices = search_subsets(_possible(costs, curve.tails), hinges.shape[1])
    enough = choices.loss <= allowed.square()[:, None]
    count = torch.where(enough.any(dim=1), enough.long().argmax(dim=1) + 2, hinges.shape[1])
    kept, heights = torch.ones_like(hinges, dtype=torch.bool), values.clone()
    for hinge_count in count.unique().tolist():
        rows = (count == hinge_count).nonzero().squeeze(1)
        places = best_subset(choices, hinge_count)[rows]
        kept[rows] = torch.zeros_like(kept[rows]).scatter(1, places, True)
        simple = _like(curve, hinges[rows].gather(1, places), values[rows].gather(1, places), rows)
        heights[rows] = simple(hinges[rows].T).T
    return kept, heights


def _possible(costs: PieceLosses, tails: str) -> PieceLosses:
    """Return the costs with infinite ones for pieces that run backwards and, for free tails, which
    stay as they are, for choices without the first or the last hinge."""
    count = costs.piece.shape[-1]
    backwards = torch.ones(count, count, dtype=torch.bool, device=costs.piece.device).tril()
    piece = costs.piece.masked_fill(backwards, torch.inf)
    if tails != "free":
        return PieceLosses(piece, costs.left, costs.right)
    left, right = (torch.full_like(piece, torch.inf) for _ in range(2))
    left[:, 0], right[:, :, -1] = 0.0, 0.0
    return PieceLosses(piece, left, right)


def _like(curve: Curve, hinges: Tensor, values: Tensor, rows: Tensor | None = None) -> Curve:
    """Return a curve with the tails of the `rows` of another, in the dtype of `values`."""
    slopes = None if curve.tail_slopes is None else curve.tail_slopes.detach().to(values.dtype)
    if slopes is not None and rows is not None:
        slopes = slopes[rows]
    return Curve(hinges, values, curve.tails, slopes)


def _with(curve: Curve, kept: Tensor, heights: Tensor) -> Curve:
    """Return the curve through `heights` at the hinges `kept`, all channels with as many, float64.

    What a channel has too few of is made up by the hinges that most others keep, so that as often
    as can be all have the same.
    """
    count = int(kept.sum(dim=1).max())
    wanted = kept * (len(kept) + 1) + kept.sum(dim=0)
    places = wanted.argsort(dim=1, descending=True, stable=True)[:, :count].sort(dim=1).values
    return _like(curve, _double(curve)[0].gather(1, places), heights.gather(1, places))


def _back_within(curve: Curve, ends: tuple[Tensor, Tensor]) -> Curve:
    """Return the same curve with its first and last hinge moved along their lines to `ends`, where
    no other hinge lies on the way."""
    hinges, (low, high) = curve.hinges.clone(), (end.double() for end in ends)
    if hinges.shape[1] == 2:
        hinges[:, 0], hinges[:, 1] = low, high
    else:
        hinges[:, 0] = torch.where(hinges[:, 1] > low, low, hinges[:, 0])
        hinges[:, -1] = torch.where(hinges[:, -2] < high, high, hinges[:, -1])
    return Curve(hinges, curve(hinges.T).T, curve.tails)
