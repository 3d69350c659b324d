"""Finds the `PiecewiseLinear` layers of a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import nn

from hinged import errors
from hinged.curve import Curve
from hinged.nn.model_argument import check_model
from hinged.nn.piecewise_linear import PiecewiseLinear
from hinged.nn.site import RECORDED_SITES, Site


def curve_layers(model: nn.Module, call: str) -> dict[str, PiecewiseLinear]:
    """Return the `PiecewiseLinear` layers of a model by name, each layer once.

    Layers that `hinged.convert` has put into the model come first, in the order of the forward
    pass. Other layers follow in the order of the model.

    Args:
        model: any module.
        call: the name of the public function, for the error message.

    Raises:
        ArgumentError: if `model` is not a module, or has no `PiecewiseLinear` layer.

    >>> list(curve_layers(nn.Sequential(nn.Linear(2, 3), PiecewiseLinear(3)), "a call"))
    ['1']
    """
    check_model(model, call)
    layers = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, PiecewiseLinear)
    }
    if not layers:
        got = f"{errors.class_of(model)} without curves"
        hint = "convert the model first: model = hinged.convert(model, batch)"
        raise errors.ArgumentError(errors.message(f"{call}(model)", got, hint))
    converted = (name for name, _ in _recorded_sites(model) if name in layers)
    return {name: layers[name] for name in dict.fromkeys([*converted, *layers])}


def channel_axes(model: nn.Module) -> dict[str, int | None]:
    """Return the channel axis that `hinged.convert` has found for each of its layers, by name.

    >>> channel_axes(nn.Sequential(nn.Linear(2, 3), PiecewiseLinear(3)))
    {}
    """
    return {name: site.axis for name, site in _recorded_sites(model)}


def _recorded_sites(model: nn.Module) -> Iterator[tuple[str, Site]]:
    """Yield the sites that `hinged.convert` has stored in a model, with their names in it."""
    for part, module in model.named_modules():
        for site in vars(module).get(RECORDED_SITES, ()):
            yield f"{part}.{site.name}".strip("."), site


def check_start_curves(
    call: str, start: Mapping[str, Curve], layers: Mapping[str, PiecewiseLinear]
) -> None:
    """Raise `ArgumentError` unless `start` has an entry for each layer and no other entries.

    Args:
        call: the call that the user made, for the error message.
        start: the curves of each layer before training, by layer name.
        layers: the layers of the model, by name.

    Raises:
        ArgumentError: if the names of `start` and `layers` differ.
    """
    if not isinstance(start, Mapping) or start.keys() != layers.keys():
        got = errors.class_of(start)
        if isinstance(start, Mapping):
            only = sorted(start.keys() ^ layers.keys())
            got = f"curves of other layers than the model's (layers in only one of the two: {only})"
        hint = "take start from hinged.copy_curves(model), called with this model before training"
        raise errors.ArgumentError(errors.message(f"{call}(start=...)", got, hint))
