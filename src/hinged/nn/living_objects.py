"""`LivingObjects`: objects of the whole process that one wants to find, but not to keep alive."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class LivingObjects(Generic[T]):
    """Objects by number, in the order in which they were added, until they are deleted.

    Threads may add objects while others go through them, as they may not with a `WeakSet`.

    >>> objects, kept = LivingObjects(), {1, 2}
    >>> objects.add(0, kept)
    >>> objects.add(1, {3, 4})  # It is deleted at once.
    >>> list(objects), objects.get(1)
    ([{1, 2}], None)
    """

    def __init__(self) -> None:
        self._objects: weakref.WeakValueDictionary[int, T] = weakref.WeakValueDictionary()

    def add(self, number: int, each: T) -> None:
        """Add an object by a number that no other living object has."""
        self._objects[number] = each

    def get(self, number: int) -> T | None:
        """Return the object with this number, or None if it was deleted."""
        return self._objects.get(number)

    def discard(self, number: int) -> None:
        """Remove the object with this number, if there is one."""
        self._objects.pop(number, None)

    def __iter__(self) -> Iterator[T]:
        # `valuerefs` copies the references in one step, which no other thread can interrupt.
        for reference in self._objects.valuerefs():
            each = reference()
            if each is not None:
                yield each
