"""Other hinges for the same curve: more of them, or in another range."""

from __future__ import annotations

import torch
from torch import Tensor

from hinged import errors
from hinged.curve.curve import Curve
from hinged.curve.evaluate import is_uniform
from hinged.curve.forms import to_lines
from hinged.curve.grid import uniform_grid
from hinged.curve.refit import Refit, distribution, refit


def add_hinges(curve: Curve, positions: Tensor) -> Curve:
    """Return the same function with more hinges, which bend nothing until they are trained.

    The new values are computed in float64 and rounded once, so the function stays the same to
    rounding, and a ReLU, an identity or |x| stays one to the last bit.

    Args:
        curve: the curve; it is not changed.
        positions: where to put hinges, inside the range or on a tail, shape `(M,)` or `(C, M)`.

    Returns:
        A curve of `K + M` hinges, `(K + M,)` where the hinges and positions were for all channels.

    Raises:
        ArgumentError: a position that is a hinge already, or is not a finite number.

    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> add_hinges(relu, torch.tensor([0.5, 3.0])).values
    tensor([[0.0000, 0.0000, 0.5000, 1.0000, 3.0000]])
    """
    call = "hinged.curve.add_hinges(positions=...)"
    if positions.dim() not in (1, 2) or (
        positions.dim() == 2 and positions.shape[0] not in (1, curve.channels)
    ):
        came, cure = f"shape {tuple(positions.shape)}", f"expected (M,) or ({curve.channels}, M)"
        raise errors.ArgumentError(errors.sentence(call, came, cure))
    with torch.no_grad():
        new = positions.to(curve.hinges)
        per_channel = new.dim() == 2 or curve.hinges.dim() == 2
        lead = (curve.channels,) if per_channel else ()
        old, new = (t.expand(*lead, t.shape[-1]) for t in (curve.hinges, new))
        hinges, order = torch.cat((old, new), dim=-1).sort(dim=-1)
        _check_apart(hinges, call)
        heights = _double(curve)(torch.atleast_2d(new).double().T.expand(-1, curve.channels)).T
        values = torch.cat((curve.values, heights.to(curve.values)), dim=1)
        values = values.gather(1, order.expand_as(values))
        return Curve(hinges, values, curve.tails, _copied(curve.tail_slopes))


def split_pieces(curve: Curve, into: int = 2) -> Curve:
    """Return the same function with every piece split into equal parts: evenly spaced hinges stay
    so where the dtype can hold them.

    Raises:
        ArgumentError: fewer than one part, or parts too narrow for the dtype.

    >>> curve = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> split_pieces(curve).values
    tensor([[0.0000, 0.0000, 0.0000, 0.5000, 1.0000]])
    """
    if into < 1:
        call = "hinged.curve.split_pieces(into=...)"
        raise errors.ArgumentError(errors.sentence(call, repr(into), "expected 1 or more"))
    hinges = curve.hinges.detach().double()
    parts = torch.arange(1, into, dtype=torch.float64, device=hinges.device) / into
    between = hinges[..., :-1, None] + hinges.diff(dim=-1)[..., None] * parts
    return add_hinges(curve, between.flatten(-2))


def move_range(
    curve: Curve, range: tuple[float, float], positions: Tensor, shares: Tensor
) -> Refit:
    """Return the curve on as many evenly spaced hinges in another range, the same for all channels.

    A curve with one or two kinks, as ReLU, |x|, a hard tanh or ReLU6, keeps them on hinges, for
    which the range is widened as needed, and so is moved exactly. Of a curve with more, which no
    even grid in another range can hold, the kink at 0 is kept if that loses less. The values are
    the least-squares fit for the inputs' distribution.

    Args:
        curve: the curve; it is not changed.
        range: what the new hinges are to cover; it is widened as `uniform_grid` says.
        positions: where inputs lie, shape `(P,)` or `(C, P)`.
        shares: how many lie there, in any unit, shape `(P,)` or `(C, P)`.

    Returns:
        The moved curve, computed in float64 on hinges that are exact in the curve's dtype, with
        its expected squared and its largest error.

    Raises:
        ArgumentError: a range without width, or a distribution that does not fit the curve.

    >>> relu = Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    >>> x = torch.linspace(-4, 8, 100)
    >>> moved = move_range(relu, (-4.0, 8.0), x, torch.ones(100))
    >>> moved.curve.hinges, moved.error
    (tensor([-8.,  0.,  8.], dtype=torch.float64), tensor([0.], dtype=torch.float64))
    """
    points, weights = distribution("hinged.curve.move_range", positions, shares, curve.channels)
    fits = [
        refit(curve, grid, points, weights, tails=curve.tails) for grid in _even_grids(curve, range)
    ]
    heights = curve(points.T.to(curve.values)).double()
    rounding = 1e-24 * (weights * heights.T.square()).sum().item()
    return min(fits, key=lambda fit: max(fit.loss.sum().item(), rounding))


def kinks(curve: Curve, tolerance: float = 1e-4) -> Tensor:
    """Return the hinges at which a channel changes its slope by more than `tolerance` of its
    largest slope, ascending, shape `(M,)`.

    >>> kinks(Curve(torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.0, 0.0, 1.0]])))
    tensor([0.])
    """
    slopes = to_lines(curve).slopes.detach().double()
    bends = slopes.diff(dim=1).abs() > tolerance * slopes.abs().amax(dim=1, keepdim=True)
    found: Tensor = curve.hinges.detach().expand_as(bends)[bends].unique()
    return found


def _even_grids(curve: Curve, range: tuple[float, float]) -> list[Tensor]:
    """Return the even grids that `move_range` tries, those first that hold more kinks."""
    count, found = curve.values.shape[1], kinks(curve).tolist()
    few = [found] if 1 <= len(found) <= 2 and len(found) + 2 <= count else []
    zero = [[0.0]] if 0.0 in found and count >= 3 else []
    grids = [
        uniform_grid(count, range, kinks=held, tails=curve.tails, dtype=curve.hinges.dtype)
        for held in (*few, *zero, [])
    ]
    return [grid.to(curve.hinges.device) for grid in grids if is_uniform(grid)]


def _check_apart(hinges: Tensor, call: str) -> None:
    apart = hinges.diff(dim=-1) > 0
    if apart.all():
        return
    place = hinges[..., 1:][~apart][0].item()
    came, cure = f"{place:g}, which is a hinge or comes twice", "leave it out"
    raise errors.ArgumentError(errors.sentence(call, came, cure))


def _double(curve: Curve) -> Curve:
    slopes = None if curve.tail_slopes is None else curve.tail_slopes.double()
    return Curve(curve.hinges.double(), curve.values.double(), curve.tails, slopes)


def _copied(slopes: Tensor | None) -> Tensor | None:
    return None if slopes is None else slopes.clone()
