"""`Site`: one place where a model applies an activation."""

from __future__ import annotations

from dataclasses import dataclass

from hinged.nn.piecewise_linear import PiecewiseLinear

SHARING = ("channel", "layer")
"""Whether each channel has its own curve (or row of hinges), or all channels of a layer one."""


@dataclass(frozen=True)
class Site:
    """One place in a model's forward pass where an activation is applied.

    Attributes:
        name: where the curves are, or would be, in the model: `model.get_submodule(name)`.
        activation: the activation, as `print` shows it; for converted sites the original one.
        channels: size of the channel axis of its input; 1 if that axis is not known.
        axis: the channel axis, -1 for the last one; None if it is not known.
        hinges: number of hinges `K` of the curves; 0 if there are none.
        range: first and last hinge; None if there are none.
        outside: share of the observed inputs that lay outside the range; None if not measured.
        error: largest difference between the curves and the activation within the range.
        calls: how often one forward pass applies it.
        source: method, file and line of the call.
        skipped: why `hinged.convert` left it unchanged; empty if it has curves.
        note: further remarks.
    """

    name: str
    activation: str
    channels: int
    axis: int | None
    hinges: int = 0
    range: tuple[float, float] | None = None
    outside: float | None = None
    error: float = 0.0
    calls: int = 1
    source: str = ""
    skipped: str = ""
    note: str = ""


def layer_site(name: str, layer: PiecewiseLinear) -> Site:
    """Describe a layer of curves in a model as a `Site`.

    Args:
        name: the layer's name in the model.
        layer: the layer; the range is None if it is on the meta device.

    >>> site = layer_site("act", PiecewiseLinear(3, range=(-2.0, 2.0)))
    >>> site.name, site.channels, site.axis, site.hinges, site.range
    ('act', 3, 1, 9, (-2.0, 2.0))
    """
    hinges = layer.hinges
    ends = None if hinges.is_meta else (hinges.min().item(), hinges.max().item())
    return Site(name, str(layer), layer.channels, layer.dim, hinges.shape[-1], ends)
