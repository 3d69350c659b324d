"""Reports which activations of a user's network `hinged.convert` would replace."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from hinged import errors, user_code
from hinged.model.conversion.sites import Sites, sites

CALL, SHAPE = "hinged convert-check", "--input-shape"
_SAMPLES = 8


@dataclass(frozen=True)
class ConversionCheck:
    """A report on what `hinged.convert` would change in a network.

    Attributes:
        network: the name of the network's class.
        parameters: the number of parameters of the network before conversion.
        sites: the places where the network applies activations. Each site says whether
            `hinged.convert` would replace the activation, or why not.
    """

    network: str
    parameters: int
    sites: Sites

    @property
    def curves(self) -> int:
        """The number of curves in the converted network."""
        return sum(site.channels for site in self.sites.converted)

    @property
    def values(self) -> int:
        """The number of trained values of all curves in the converted network."""
        return sum(site.channels * site.hinges for site in self.sites.converted)

    def as_json(self) -> dict[str, Any]:
        """Return the report as a dictionary that can be written as JSON, for `--json`."""
        return {
            "network": self.network,
            "parameters": self.parameters,
            "converted": len(self.sites.converted),
            "skipped": len(self.sites.skipped),
            "curves": self.curves,
            "values": self.values,
            "sites": [asdict(site) for site in self.sites],
            "unreached": [asdict(site) for site in self.sites.unreached],
            "notes": list(self.sites.notes),
        }

    def __str__(self) -> str:
        if not len(self.sites):
            table = [str(self.sites)] if self.sites.unreached else list(self.sites.notes)
            return "\n".join([f"{self.network} applies no activation.", *table])
        converted, skipped = len(self.sites.converted), len(self.sites.skipped)
        verdict = (
            f"{self.network}: {converted} of {converted + skipped} sites would be converted, to "
            f"{self.curves:,} curves with {self.values:,} values. The network has "
            f"{self.parameters:,} parameters now."
        )
        return f"{self.sites}\n{verdict}{self._describe_starts()}"

    def _describe_starts(self) -> str:
        """Return how many sites would start exactly as their activations."""
        if not self.sites.converted:
            return ""
        fitted = [site.error for site in self.sites.converted if site.error > 0]
        exact = len(self.sites.converted) - len(fitted)
        errors_of_fits = f", with errors of up to {max(fitted):.1e}" if fitted else ""
        return f"\nExact starts: {exact}. Closest fits: {len(fitted)}{errors_of_fits}."


def check_conversion(function: str, input_shape: str | None = None) -> ConversionCheck:
    """Report what `hinged.convert` would change in the network that a user's function returns.

    Args:
        function: a file and a function, `file.py:function`. The function takes no arguments. It
            returns the network, or a tuple `(network, data)`. `data` is a batch or a loader for
            `hinged.convert`.
        input_shape: the shape of one sample as a text, for example `"3,32,32"`. The network then
            runs on 8 random samples. None if the function returns data.

    Returns:
        A `ConversionCheck`, which prints as a table of all activations.

    Raises:
        ArgumentError: if the function does not exist, needs arguments or returns no network. Also
            if data and shape are both given or both missing, or if the network fails on the data.
    """
    if not user_code.names_function(function):
        hint = "give a file and a function in it, for example my.py:make_net"
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
            failure = f"raises {type(error).__name__}: {reason}"
            got = f"a network of class {type(model).__name__} that {failure}"
            hint = "check the data that the function returns"
            call = function
            if input_shape is not None:
                hint = f"check the shape {input_shape}: each sample of the batch has this shape"
                call = f"{function} {SHAPE} {input_shape}"
            raise errors.ArgumentError(errors.message(f"{CALL} {call}", got, hint)) from error
    count = sum(parameter.numel() for parameter in model.parameters())
    return ConversionCheck(type(model).__name__, count, found)


def _make_network_and_data(function: str, input_shape: str | None) -> tuple[nn.Module, Any]:
    """Call the user's function and return the network and its input data.

    The arguments and errors are described in `check_conversion`.
    """
    call = f"{CALL} {function}"
    shape = None if input_shape is None else _parse_shape(input_shape)
    make = user_code.load_function(CALL, function)
    hint = "the command calls it without arguments, so give each argument a default"
    user_code.check_call(call, make, hint)
    made = make()
    pair = isinstance(made, tuple) and len(made) == 2
    model = made[0] if pair else made
    if not isinstance(model, nn.Module):
        hint = "return an nn.Module, or a tuple (nn.Module, batch)"
        got = f"a function that returns an object of class {type(made).__name__}"
        raise errors.ArgumentError(errors.message(call, got, hint))
    if pair == (shape is not None):
        got, hint = f"a function that returns a batch, and also {SHAPE}", f"leave out {SHAPE}"
        if not pair:
            got = f"a function that returns no batch, and no {SHAPE}"
            hint = f"return (model, batch), or give the shape of one sample: {SHAPE} 3,32,32"
        raise errors.ArgumentError(errors.message(call, got, hint))
    return model, made[1] if shape is None else torch.randn(_SAMPLES, *shape)


def _parse_shape(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        hint = "expected the shape of one sample without the batch axis, for example 3,32,32"
        raise errors.ArgumentError(errors.message(SHAPE, repr(text), hint))
    return tuple(int(part) for part in parts)
