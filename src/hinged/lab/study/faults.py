"""The faults in the TOML file of a study, each with the line on which it probably stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import pydantic

from hinged import errors
from hinged.lab.experiment.schema import Experiment
from hinged.lab.experiment.setting_faults import what_is_allowed
from hinged.lab.runs.build_experiment import check_experiment
from hinged.lab.study.scales import SCALES

_MOST_LINES = 3
"""Largest number of lines that a fault names. A key that stands on more lines gets no line."""


def field_faults(invalid: pydantic.ValidationError, model: type[pydantic.BaseModel]) -> list[str]:
    """Return a text for each wrong field: the dotted name of the field, and what is wrong with it.

    Args:
        invalid: the error of the validation.
        model: the class that was validated. Its fields are suggested in place of unknown names.

    >>> class Box(pydantic.BaseModel, extra="forbid"):
    ...     width: int = pydantic.Field(default=1, ge=1)
    >>> try:
    ...     Box(width=0, widht=2)
    ... except pydantic.ValidationError as invalid:
    ...     field_faults(invalid, Box)
    ['width: got 0; expected at least 1', "widht: there is no such key; \
did you mean 'width'?"]
    """
    return [
        f"{'.'.join(str(part) for part in fault['loc'])}: {_what_is_wrong(fault, model)}"
        for fault in invalid.errors()
    ]


def experiment_faults(settings: Mapping[str, object]) -> list[str]:
    """Return a text for each fault in the nested settings of an experiment."""
    try:
        check_experiment(Experiment.model_validate(settings))
    except pydantic.ValidationError as invalid:
        return field_faults(invalid, Experiment)
    except errors.HingedError as error:
        return [as_field(str(error))]
    return []


def with_lines(fault: str, text: str, scales: Iterable[str] = ()) -> str:
    """Return a fault with the lines of the TOML file on which its key stands.

    Args:
        fault: the dotted name of a key, a colon, and what is wrong.
        text: the text of the TOML file.
        scales: the scales at which the fault occurs. If the key stands in the TOML tables of these
            scales, only those lines are named. Lines of other scales are never named.

    >>> with_lines("training.epochs: got 0", "[small]\\ntraining = { epochs = 0 }", ["small"])
    'line 2, training.epochs: got 0'
    """
    key, _, what = fault.partition(": ")
    found = list(_lines_with(key.rpartition(".")[2], what, text, set(scales)))
    if not 0 < len(found) <= _MOST_LINES:
        return fault
    numbers = ", ".join(map(str, found))
    return f"line{'' if len(found) == 1 else 's'} {numbers}, {fault}"


def list_faults(file: str, faults: list[str]) -> str:
    """Return the message of an error that lists the faults of a TOML file.

    >>> print(list_faults("mine.toml", ["line 2, seeds: got 1", "line 4, data: got 3"]))
    `hinged study mine.toml`: got a file with 2 faults; correct them:
      line 2, seeds: got 1
      line 4, data: got 3
    """
    call = f"hinged study {file}"
    if len(faults) == 1:
        end = "" if faults[0].endswith(("?", ".")) else "."
        return f"`{call}`: got a file with a fault: {faults[0]}{end} Correct it."
    listed = "\n  ".join(each.rstrip(".") for each in faults)
    return f"`{call}`: got a file with {len(faults)} faults; correct them:\n  {listed}"


def _what_is_wrong(fault: Any, model: type[pydantic.BaseModel]) -> str:
    place = fault["loc"]
    if fault["type"] == "missing":
        return "this key is missing"
    if fault["type"] == "extra_forbidden":
        known = _fields_at(model, place[:-1])
        similar = difflib.get_close_matches(str(place[-1]), known, n=1, cutoff=0.5)
        hint = f"did you mean {similar[0]!r}?" if similar else f"the keys are {', '.join(known)}"
        return f"there is no such key; {hint}"
    return f"got {fault['input']!r}; {what_is_allowed(fault)}"


def _fields_at(model: type[pydantic.BaseModel], place: tuple[int | str, ...]) -> list[str]:
    """Return the names of the fields of a section, which its place names: a path of keys."""
    for name in place:
        field = model.model_fields.get(str(name))
        kind = None if field is None else field.annotation
        sections = [
            each
            for each in (kind, *get_args(kind))  # `Section | None` has the arguments of a union.
            if isinstance(each, type) and issubclass(each, pydantic.BaseModel)
        ]
        if not sections:
            return []
        model = sections[0]
    return list(model.model_fields)


def as_field(message: str) -> str:
    """Return the message of an error as `setting: what is wrong`.

    >>> as_field("`data`: got 'mnst'; did you mean 'mnist'?")
    "data: got 'mnst'; did you mean 'mnist'?"
    """
    return re.sub(r"^`([\w.]+)`: ", r"\1: ", message)


def _lines_with(key: str, what: str, text: str, scales: set[str]) -> Iterator[int]:
    """Yield the numbers of the lines on which a key stands, as `with_lines` describes them.

    A line that also contains the quoted value that the fault names goes before all others.
    """
    is_key = re.compile(rf"(?:^|[\s{{,.\"'\[]){re.escape(key)}[\"']?\s*[=\]]")
    value = re.match(r"got '([^']*)'", what)
    table, found = "", []
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[\[?\s*([\w.\"-]+)", line)
        table = header[1].partition(".")[0] if header is not None else table
        if not line.lstrip().startswith("#"):
            holds_value = value is not None and re.search(rf"[\"']{re.escape(value[1])}[\"']", line)
            found.append((number, table, bool(is_key.search(line)), bool(holds_value)))
    for wanted in ((True, True), (False, True), (True, False)):
        lines = [(number, name) for number, name, *has in found if tuple(has) == wanted]
        within = [number for number, name in lines if name in scales]
        outside = [number for number, name in lines if name not in SCALES]
        if within or outside:
            yield from within or outside
            return
