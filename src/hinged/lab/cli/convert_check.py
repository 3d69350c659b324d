"""What `hinged.convert` would do to a network of the user's: the work of `convert-check`."""

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
class Conversion:
    """What converting a network would do.

    Attributes:
        network: the name of its class.
        parameters: how many it has now.
        sites: where it applies activations, and what would become of each.
    """

    network: str
    parameters: int
    sites: Sites

    @property
    def curves(self) -> int:
        """How many curves it would have."""
        return sum(site.channels for site in self.sites.converted)

    @property
    def values(self) -> int:
        """How many parameters its curves would have."""
        return sum(site.channels * site.hinges for site in self.sites.converted)

    def as_json(self) -> dict[str, Any]:
        """Return all figures, for `--json`."""
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
        done, left = len(self.sites.converted), len(self.sites.skipped)
        verdict = (
            f"{self.network}: {done} of {done + left} sites would be converted, to {self.curves:,} "
            f"curves with {self.values:,} values, beside {self.parameters:,} parameters now."
        )
        return f"{self.sites}\n{verdict}"


def check_conversion(text: str, shape: str | None = None) -> Conversion:
    """Return what converting the network of a function would do; nothing is kept of it.

    Args:
        text: `file.py:function`. The function takes no arguments and returns the network, or a pair
            of it and of data as `hinged.convert` takes them.
        shape: of one sample, as in `"3,32,32"`, where the function returns no data: the network is
            then run on 8 random samples.

    Raises:
        ArgumentError: there is no such function, it returns something else, data or shape are
            missing, or the network cannot take them.
    """
    if not user_code.names_function(text):
        hint = "name a file and its function, as in my.py:make_net"
        raise errors.ArgumentError(errors.message(CALL, text, hint))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, data = _made(text, shape)
        try:
            found = sites(model, data)
        except errors.HingedError:
            raise
        except Exception as error:  # The user's network may raise anything.
            said = (str(error).strip() or "no message").splitlines()[0].rstrip(".")
            got = f"a {type(model).__name__} that does not run: {type(error).__name__}: {said}"
            hint = "give data or a shape that it takes" if shape is None else "check the shape"
            call = text if shape is None else f"{text} {SHAPE} {shape}"
            raise errors.ArgumentError(errors.message(f"{CALL} {call}", got, hint)) from error
    count = sum(parameter.numel() for parameter in model.parameters())
    return Conversion(type(model).__name__, count, found)


def _made(text: str, shape: str | None) -> tuple[nn.Module, Any]:
    """Return the network and the data that it is run on."""
    call = f"{CALL} {text}"
    size = None if shape is None else _size(shape)
    make = user_code.load_function(CALL, text)
    try:
        inspect.signature(make).bind()
    except TypeError:
        got, hint = "a function that needs arguments", "it is called without any: give defaults"
        raise errors.ArgumentError(errors.message(call, got, hint)) from None
    made = make()
    pair = isinstance(made, tuple) and len(made) == 2
    model = made[0] if pair else made
    if not isinstance(model, nn.Module):
        hint = "the function must return an nn.Module, or (an nn.Module, a batch)"
        got = f"an object of class {type(made).__name__}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    if pair == (size is not None):
        got = "data from the function and a shape" if pair else "neither data nor a shape"
        hint = f"give one of them: return (model, batch), or {SHAPE} 3,32,32 for one sample"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return model, made[1] if size is None else torch.randn(_SAMPLES, *size)


def _size(shape: str) -> tuple[int, ...]:
    parts = shape.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        hint = "expected the sizes of one sample, without the batch, as in 3,32,32"
        raise errors.ArgumentError(errors.message(SHAPE, repr(shape), hint))
    return tuple(int(part) for part in parts)
