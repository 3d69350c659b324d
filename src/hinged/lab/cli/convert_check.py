"""Checks which activations of a user's network `hinged.convert` would replace."""

from __future__ import annotations

import inspect
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from hinged import errors
from hinged.lab.experiment import user_code
from hinged.model import Sites, sites

CALL, SHAPE = "hinged convert-check", "--input-shape"
_SAMPLES = 8


@dataclass(frozen=True)
class ConversionCheck:
    """The effect that `hinged.convert` would have on a network.

    Attributes:
        network: the name of the network's class.
        parameters: the number of parameters before conversion.
        sites: the places where the network applies activations, and what would happen to each.
    """

    network: str
    parameters: int
    sites: Sites

    @property
    def curves(self) -> int:
        """The number of curves after conversion."""
        return sum(site.channels for site in self.sites.converted)

    @property
    def values(self) -> int:
        """The number of trained values of these curves."""
        return sum(site.channels * site.hinges for site in self.sites.converted)

    def as_json(self) -> dict[str, Any]:
        """Return everything as plain data, for `--json`."""
        return {
            "network": self.network,
            "parameters": self.parameters,
            "converted": len(self.sites.converted),
            "skipped": len(self.sites.skipped),
            "curves": self.curves,
            "values": self.values,
            "sites": [asdict(site) for site in self.sites],
            "notes": list(self.sites.notes),
        }

    def __str__(self) -> str:
        if not len(self.sites):
            return "\n".join([f"{self.network} applies no activation.", *self.sites.notes])
        converted, skipped = len(self.sites.converted), len(self.sites.skipped)
        verdict = (
            f"{self.network}: {converted} of {converted + skipped} sites would be converted, to "
            f"{self.curves:,} curves with {self.values:,} values. The network has "
            f"{self.parameters:,} parameters now."
        )
        return f"{self.sites}\n{verdict}"


def check_conversion(function: str, input_shape: str | None = None) -> ConversionCheck:
    """Return what `hinged.convert` would do to the network that a function returns.

    Args:
        function: `file.py:function`. The function takes no arguments and returns the network, or
            `(network, data)` with data as `hinged.convert` takes them.
        input_shape: the shape of one sample, as in `"3,32,32"`, if the function returns no data.
            The network then runs on 8 random samples.

    Raises:
        ArgumentError: the function does not exist or returns something else, data or shape are
            missing, or the network cannot process them.
    """
    if not user_code.names_function(function):
        hint = "name a file and its function, as in my.py:make_net"
        raise errors.ArgumentError(errors.message(CALL, function, hint))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, data = _make_network_and_data(function, input_shape)
        try:
            found = sites(model, data)
        except errors.HingedError:
            raise
        except Exception as error:  # The user's network may raise anything.
            reason = (str(error).strip() or "no message").splitlines()[0].rstrip(".")
            got = f"a {type(model).__name__} that does not run: {type(error).__name__}: {reason}"
            hint = "check the data"
            call = function
            if input_shape is not None:
                hint, call = "check the shape", f"{function} {SHAPE} {input_shape}"
            raise errors.ArgumentError(errors.message(f"{CALL} {call}", got, hint)) from error
    count = sum(parameter.numel() for parameter in model.parameters())
    return ConversionCheck(type(model).__name__, count, found)


def _make_network_and_data(function: str, input_shape: str | None) -> tuple[nn.Module, Any]:
    """Call the user's function; return the network and the data to run it on."""
    call = f"{CALL} {function}"
    shape = None if input_shape is None else _parse_shape(input_shape)
    make = user_code.load_function(CALL, function)
    try:
        inspect.signature(make).bind()
    except TypeError:
        got = "a function that needs arguments"
        hint = "it is called without any, so give them defaults"
        raise errors.ArgumentError(errors.message(call, got, hint)) from None
    made = make()
    pair = isinstance(made, tuple) and len(made) == 2
    model = made[0] if pair else made
    if not isinstance(model, nn.Module):
        hint = "the function must return an nn.Module, or (an nn.Module, a batch)"
        got = f"an object of class {type(made).__name__}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    if pair == (shape is not None):
        got = "data from the function and a shape" if pair else "neither data nor a shape"
        hint = f"give one of them: return (model, batch), or {SHAPE} 3,32,32 for one sample"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return model, made[1] if shape is None else torch.randn(_SAMPLES, *shape)


def _parse_shape(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        hint = "expected the shape of one sample without the batch axis, as in 3,32,32"
        raise errors.ArgumentError(errors.message(SHAPE, repr(text), hint))
    return tuple(int(part) for part in parts)
