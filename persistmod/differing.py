"""What an object that refers to something else now than before was changed in; what changes by itself does not count.

Lazily made dictionaries of instances and functions, submodules that the import system binds in their packages, weak references that have
died, pseudo-members that an enumeration keeps of itself: none of these is a change that anybody could want to happen again.
"""

from __future__ import annotations

import gc
import sys
import types
import weakref
from collections import Counter
from collections.abc import Container, Iterable
from typing import Any

from persistmod import reducers

# Names that the interpreter and the import system keep in a namespace or a class for themselves.
_UNWATCHED = frozenset(
    (
        *("__warningregistry__", "__builtins__", "__spec__", "__cached__", "last_traceback", "last_value", "last_exc"),
        *("__slotnames__", "__annotations_cache__"),
    )
)


def difference(node: Any, before: list[Any], module: str, own: Container[int]) -> str | None:
    """Return in what an object differs, as the end of a sentence; None if in nothing that counts.

    `before`: what it referred to. `module`: the name of the module whose namespace it is, "" if it is none. `own`: ids of what the
    body made.
    """
    now = gc.get_referents(node)
    if type(node) is dict:
        return _difference_of_dict(node, now, before, module, own)
    if type(node) is list:
        return "" if [*map(id, now)] != [*map(id, before)] else None
    now, before = _alive(now), _alive(before)
    added = _without_new_dicts(node, now, before)
    missing = Counter(map(id, before)) - added
    added -= Counter(map(id, before))
    brought = added and _brings_along(node, [value for value in now if id(value) in added], own)
    return "" if (missing or added) and not brought else None


def _alive(values: Iterable[Any]) -> list[Any]:
    """Return the values but for weak references that have died."""
    return [value for value in values if not issubclass(type(value), weakref.ref) or value() is not None]


def _difference_of_dict(
    node: dict[Any, Any], now: list[Any], before: list[Any], module: str, own: Container[int]
) -> str | None:
    items = list(node.items())
    before = _values(before, items, are_keys_seen=len(now) > len(items))
    known, kept = {id(value) for value in before}, {id(value) for key, value in items}
    new = [value for key, value in items if id(value) not in known]
    if _brings_along(node, new, own):
        return None
    rest, excused = [value for value in reversed(before) if id(value) in kept], 0
    for key, value in items:
        if rest and rest[-1] is value:
            rest.pop()
        elif not _changes_by_itself(key, value, module):
            return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r:.40}]"
        else:
            excused += 1
    gone = _alive(value for value in before if id(value) not in kept)
    return "" if rest or len(gone) > excused else None


def _values(before: list[Any], items: list[tuple[Any, Any]], are_keys_seen: bool) -> list[Any]:
    """Return the values among what a dictionary referred to, but for those whose keys were weak references that have died.

    The collector sees keys, too, each after its value, unless all are strings.
    """
    pairs = list(zip(before[::2], before[1::2], strict=False))
    now = {id(key) for key, value in items}
    if are_keys_seen and any(id(key) in now for value, key in pairs):
        return [value for value, key in pairs if _alive((key,))]
    return [] if pairs and not items and not _alive(key for value, key in pairs) else before


def _brings_along(node: Any, new: list[Any], own: Container[int]) -> bool:
    """Return whether an object got something that is found again by its name, a logger say, in the table that finds it.

    Whatever else came into the table then was made with it. What the body made of a class of its own is found by no other module.
    """
    made = [value for value in new if id(value) in own and id(type(value)) not in own]
    asked: set[int] = set()  # each class once: finding who owns a table takes long
    for value in made:
        if id(type(value)) not in asked and reducers.is_recreated(value):
            asked.add(id(type(value)))
            if _is_kin(node, type(value)):
                return True
    return False


def _is_kin(node: Any, kind: type) -> bool:
    """Return whether a table belongs to a class, or to an object from the module of that."""
    owners = [node] if type(node) is not dict else gc.get_referrers(node)
    owners += [further for owner in owners if type(owner) is dict for further in gc.get_referrers(owner)]
    return any(owner is kind or (type(owner).__module__ == kind.__module__ != "builtins") for owner in owners)


def _changes_by_itself(key: Any, value: Any, module: str) -> bool:
    if type(key) is str and (key in _UNWATCHED or (key == "__annotations__" and type(value) is dict and not value)):
        return True
    is_module = module and issubclass(type(value), types.ModuleType)
    return bool(is_module) and sys.modules.get(f"{module}.{key}") is value


def _without_new_dicts(node: Any, now: list[Any], before: list[Any]) -> Counter[int]:
    """Count what an object refers to now, with what is in the place of a dictionary that was made when it was asked for."""
    known = {id(value) for value in before}
    counted = Counter(id(value) for value in now if id(value) in known or type(value) is not dict)
    for made in (value for value in now if type(value) is dict and id(value) not in known):
        if type(node) is types.FunctionType and made is node.__annotations__:
            counted.update(known - {id(value) for value in now})  # the tuple that they were made from
        else:
            counted.update(map(id, made.values()))
    return counted


def label(owner: Any, node: Any) -> str:
    """Return how one gets from an object to what it refers to, "" if there is no short way to say it."""
    if isinstance(owner, dict):
        for key, value in list(dict.items(owner)):
            if value is node:
                return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r:.40}]"
    return ""
