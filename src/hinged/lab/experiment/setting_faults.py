"""Says what is wrong with the value of a setting, in the words of this library."""

from __future__ import annotations

from typing import Any

import pydantic

from hinged import errors

_ALLOWED = {
    "bool_parsing": "expected true or false",
    "bool_type": "expected true or false",
    "extra_forbidden": "there is no such setting: `hinged settings` lists all settings",
    "finite_number": "expected a finite number",
    "float_parsing": "expected a number",
    "float_type": "expected a number",
    "greater_than": "expected more than {gt:g}",
    "greater_than_equal": "expected at least {ge:g}",
    "int_from_float": "expected a whole number",
    "int_parsing": "expected a whole number",
    "int_type": "expected a whole number",
    "less_than": "expected less than {lt:g}",
    "literal_error": "expected {expected}",
    "string_type": "expected a text",
}
"""What a setting allows, by the kind of the fault that pydantic finds in its value."""


def what_is_allowed(fault: Any) -> str:
    """Return what a setting allows, for one entry of `pydantic.ValidationError.errors()`.

    >>> what_is_allowed({"type": "greater_than_equal", "ctx": {"ge": 1}, "msg": ""})
    'expected at least 1'
    """
    said = fault["msg"]
    allowed = _ALLOWED.get(fault["type"], f"{said[0].lower()}{said[1:]}" if said else "")
    return allowed.format(**fault.get("ctx", {}))


def setting_faults(invalid: pydantic.ValidationError) -> str:
    """Return one sentence for each wrong setting: its name, its value, and what it allows."""
    return " ".join(
        errors.message(
            ".".join(str(part) for part in fault["loc"]),
            errors.shown(fault["input"]),
            what_is_allowed(fault),
        )
        for fault in invalid.errors()
    )
