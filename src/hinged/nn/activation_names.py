"""`register_activation`: lets transformers and timm build curve layers by name."""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

from hinged import errors
from hinged.nn.piecewise_linear import PiecewiseLinear

CALL = "hinged.nn.register_activation"


def register_activation(name: str = "hinged", **settings: Any) -> tuple[str, ...]:
    """Let transformers and timm build curve layers where they take the name of an activation.

    The layers are `PiecewiseLinear`. A configuration of transformers then takes
    `hidden_act="hinged"`, and a network of timm `act_layer="hinged"`. The layers take their number
    of channels from their first input, so call the model once before you create an optimizer. The
    channels are on the last axis in transformers, and on axis 1 in timm. For networks of timm with
    the channels on the last axis, register another name with `dim=-1`.

    Args:
        name: the name. An activation with this name is replaced.
        settings: arguments of `PiecewiseLinear` for all layers. By default, `channels` is None and
            `init` is `"gelu"`.

    Returns:
        The packages that know the name now: those of the two that are installed.

    Raises:
        MissingExtraError: if neither package is installed.
        ArgumentError: if `PiecewiseLinear` does not accept the settings.

    >>> register_activation("hinged_silu", init="silu", hinges=17)  # doctest: +SKIP
    ('transformers', 'timm')
    """
    settings = {"channels": None, "init": "gelu", **settings}
    PiecewiseLinear(**settings)  # Wrong settings raise an error here, and not in the other package.
    known = []
    if importlib.util.find_spec("transformers") is not None:
        from transformers.activations import ACT2FN

        ACT2FN[name] = (PiecewiseLinear, {"dim": -1, **settings})
        known.append("transformers")
    if importlib.util.find_spec("timm") is not None:
        from timm.layers import create_act

        classes: dict[str, Any] = create_act._ACT_LAYER_DEFAULT
        classes[name] = functools.partial(PiecewiseLinear, **settings)
        known.append("timm")
    if not known:
        hint = "install one of them, or pass act_layer=functools.partial(PiecewiseLinear, None)"
        got = "neither transformers nor timm installed"
        raise errors.MissingExtraError(errors.message(CALL, got, hint))
    return tuple(known)
