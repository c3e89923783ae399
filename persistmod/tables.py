"""Big tables of plain data: dictionaries, lists and tuples of atoms, which C can write, read and compare whole.

The walk over a table of 100,000 entries takes seconds, marshal milliseconds. Nothing in a table but tuples may occur twice, since marshal
does not always tell what is the same object from what is equal.
"""

from __future__ import annotations

import marshal
import types
from collections.abc import Iterable
from itertools import chain
from typing import Any

_LEAST = 256  # entries; the walk does what is smaller as fast
_DEEPEST = 200
_CONTAINERS = (dict, list, tuple)
# By id: a metaclass may compare and hash as it likes.
_PLAIN = frozenset(map(id, (types.NoneType, bool, int, float, complex, str, bytes, *_CONTAINERS)))


def containers(value: Any) -> list[Any] | None:
    """Return the dictionaries and lists that a table consists of, itself first, and its tuples; None if it is no table, or a small one."""
    if not (type(value) is dict or type(value) is list) or len(value) < _LEAST:
        return None
    found: list[Any] = [value]
    level: list[Any] = [value]
    ids = {id(value)}
    for _ in range(_DEEPEST):
        inner = _contents(level)
        if not _PLAIN.issuperset(map(id, map(type, inner))):
            return None
        tuples = {id(part): part for part in inner if type(part) is tuple and id(part) not in ids}
        others = [part for part in inner if type(part) is dict or type(part) is list]
        level = [*others, *tuples.values()]
        if not level:
            return found
        before = len(ids)
        ids.update(map(id, others))
        if len(ids) != before + len(others):
            return None
        ids.update(tuples)
        found += level
    return None


def _contents(level: Iterable[Any]) -> list[Any]:
    """Return what containers hold; a dictionary need not tell the collector of atoms."""
    return list(chain.from_iterable(chain(part, part.values()) if type(part) is dict else part for part in level))


def is_same(one: Any, other: Any) -> bool | None:
    """Return whether two big tables hold the same in the same order, None if one of them is no table."""
    if type(one) is not type(other) or containers(one) is None or containers(other) is None:
        return None
    return len(one) == len(other) and text(one) == text(other)


def text(table: Any) -> bytes:
    """Return what is in a table as bytes, the same for what is equal in the same order."""
    return marshal.dumps(table, _WITHOUT_REFERENCES)


_WITHOUT_REFERENCES = 2  # a version of marshal in which nothing depends on which objects are the same
