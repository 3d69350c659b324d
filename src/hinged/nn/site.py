"""`Site`: a description of one place where a model applies an activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hinged import errors
from hinged.nn.piecewise_linear import PiecewiseLinear

SHARING = ("channel", "layer")
"""Names for how the channels of a layer share curves or positions of hinges.

With `"channel"`, each channel has separate ones. With `"layer"`, all channels of a layer have the
same ones.
"""

RECORDED_SITES = "_hinged_sites"
"""Name of the attribute in which `hinged.convert` records the sites of a model.

They are in the order of the forward pass.
"""


@dataclass(frozen=True)
class Site:
    """A description of one place in a model's forward pass where an activation is applied.

    Attributes:
        name: name of the module with the curves, for `model.get_submodule(name)`. For a skipped
            site, the name that this module would have.
        activation: the activation as `print` shows it. For a converted site it is the activation
            from before the conversion.
        channels: size of the channel axis of the input; 1 if that axis is not known.
        axis: the channel axis of the input, -1 for the last axis; None if it is not known.
        hinges: number of hinges of each curve; 0 if there are no curves.
        range: positions of the first and the last hinge; None if there are no curves.
        outside: fraction of the observed inputs that lie outside the range; None if not measured.
        error: largest absolute difference, over the observed inputs, between the curves at the
            start and the function that they start as. 0 means that they are equal except for
            rounding.
        calls: number of times that one forward pass applies the activation here.
        source: method, file and line of the call, as text.
        skipped: the reason why `hinged.convert` left the activation unchanged; empty if it was
            replaced by curves.
        note: other remarks; empty if there are none.
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


def check_where(where: Callable[[Site], bool] | None, call: str) -> None:
    """Raise `ArgumentError` unless the argument `where` of a function is a function or None.

    Args:
        where: what the user passed to select sites.
        call: the name of the public function for error messages.
    """
    if where is not None and not callable(where):
        name = repr(where) if isinstance(where, str) else "'layer1.relu'"
        hint = f"expected a function of a site, for example lambda site: site.name == {name}"
        raise errors.ArgumentError(errors.message(f"{call}(where=...)", errors.shown(where), hint))


def layer_site(name: str, layer: PiecewiseLinear) -> Site:
    """Return a `Site` that describes a `PiecewiseLinear` layer of a model.

    Args:
        name: the layer's name in the model.
        layer: the layer. If it is on the meta device, the range in the `Site` is None.

    >>> site = layer_site("act", PiecewiseLinear(3, range=(-2.0, 2.0)))
    >>> site.name, site.channels, site.axis, site.hinges, site.range
    ('act', 3, 1, 9, (-2.0, 2.0))
    """
    hinges = layer.hinges
    ends = None if hinges.is_meta else (hinges.min().item(), hinges.max().item())
    return Site(name, str(layer), layer.channels, layer.dim, hinges.shape[-1], ends)
