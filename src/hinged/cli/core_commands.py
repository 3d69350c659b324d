"""The commands that need only torch and safetensors."""

from __future__ import annotations

import json

from hinged.installation import describe_installation
from hinged.model.conversion.conversion_check import check_conversion


def info(as_json: bool) -> None:
    """Print the description of the installation, as lines or as JSON."""
    facts = describe_installation()
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    for name, value in facts.items():
        print(f"{name:<14}{value}")


def convert_check(network: str, input_shape: str | None, as_json: bool) -> None:
    """Print what `hinged.convert` would change in the network that a user's function returns.

    Args:
        network: a file and a function, `file.py:function`.
        input_shape: the shape of one sample, for example `"3,32,32"`, or None.
        as_json: whether to print JSON instead of a table.
    """
    found = check_conversion(network, input_shape)
    print(json.dumps(found.as_json(), indent=2) if as_json else found)
