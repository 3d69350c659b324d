"""The constraints of an estimator on the columns of a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from hinged import errors

_SIGNS = {
    "monotone": "1 (predictions never fall), -1 (predictions never rise) or 0 (no constraint)",
    "convex": "1 (convex), -1 (concave) or 0 (no constraint)",
}
_EXAMPLES = {"monotone": "{'age': 1, 'price': -1}", "convex": "{'speed': 1}"}


class FeatureShape(NamedTuple):
    """How predictions must depend on one column of a table.

    Attributes:
        monotone: 1 if predictions never fall, -1 if they never rise, 0 for no constraint.
        convex: 1 for convex, -1 for concave, 0 for no constraint.
        bounded: 1 if predictions stay the same outside the range of the column in the table of
            `fit`, else 0.
    """

    monotone: int = 0
    convex: int = 0
    bounded: int = 0


def has_limits(shapes: Iterable[FeatureShape]) -> bool:
    """Return whether some predictions must be monotone, convex or concave.

    >>> has_limits([FeatureShape(), FeatureShape(bounded=1)]), has_limits([FeatureShape(1)])
    (False, True)
    """
    return any(shape.monotone or shape.convex for shape in shapes)


def check_signs(call: str, name: str, signs: Any) -> None:
    """Raise `ArgumentError` unless an argument gives signs by column, or is None.

    Args:
        call: the name of the estimator, for error messages.
        name: the name of the argument: `"monotone"` or `"convex"`.
        signs: the argument.
    """
    if signs is None:
        return
    call = f"{call}({name}=...)"
    if not isinstance(signs, dict):
        hint = f"expected a dict with a sign for each column, for example {_EXAMPLES[name]}"
        raise errors.ArgumentError(errors.message(call, errors.shown(signs), hint))
    for column, sign in signs.items():
        if not errors.is_whole_number(sign) or sign not in (-1, 0, 1):
            got = f"{errors.shown(sign)} for column {errors.shown(column)}"
            raise errors.ArgumentError(errors.message(call, got, f"expected {_SIGNS[name]}"))


def check_columns(call: str, columns: Any) -> None:
    """Raise `ArgumentError` unless the argument `bounded` is a list of columns, or None."""
    if columns is not None and not isinstance(columns, list | tuple):
        hint = "expected a list of columns, for example ['age']"
        call = f"{call}(bounded=...)"
        raise errors.ArgumentError(errors.message(call, errors.shown(columns), hint))


def feature_shapes(
    call: str, arguments: Mapping[str, Any], names: Sequence[str] | None, count: int
) -> tuple[FeatureShape, ...]:
    """Return the constraints on each column.

    Args:
        call: the name of the estimator, for error messages.
        arguments: the arguments of the estimator, which are valid apart from names of columns.
        names: the names of the columns, or None.
        count: the number of columns.

    Raises:
        ArgumentError: if there is no such column, or if constraints on it contradict each other.

    >>> feature_shapes("MLPRegressor", {"monotone": {"age": 1}}, ["name", "age"], 2)[1]
    FeatureShape(monotone=1, convex=0, bounded=0)
    """
    known = list(names) if names is not None else None
    shapes = [FeatureShape() for _ in range(count)]
    for name in FeatureShape._fields:
        given = arguments.get(name) or {}
        signs = given.items() if isinstance(given, dict) else [(column, 1) for column in given]
        seen: dict[int, int] = {}
        for column, sign in signs:
            number = _column_number(f"{call}({name}=...)", column, known, count)
            if seen.setdefault(number, sign) != sign:
                got = f"two different signs for column {errors.shown(column)}"
                hint = "name each column once, by its name or by its number"
                raise errors.ArgumentError(errors.message(f"{call}({name}=...)", got, hint))
            shapes[number] = shapes[number]._replace(**{name: int(sign)})
    for number, shape in enumerate(shapes):
        if shape.convex and shape.bounded:
            column = number if known is None else known[number]
            got = f"column {errors.shown(column)} in bounded and in convex"
            hint = "only a constant function is both: name the column in one of them"
            raise errors.ArgumentError(errors.message(f"{call}(bounded=...)", got, hint))
    return tuple(shapes)


def _column_number(call: str, column: Any, names: list[str] | None, count: int) -> int:
    """Return the number of a column that the user gave by its name or its number, from 0."""
    if errors.is_whole_number(column) and 0 <= column < count:
        return int(column)
    if isinstance(column, str) and names is not None:
        if column in names:
            return names.index(column)
        raise errors.unknown_name(call, column, names)
    got = f"column {errors.shown(column)}"
    hint = f"expected a number from 0 to {count - 1}"
    hint += " or a name of a column" if names is not None else ": the table has no names of columns"
    raise errors.ArgumentError(errors.message(call, got, hint))
