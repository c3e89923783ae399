"""Redirecting references: whoever holds an object gets another in its place, wherever Python lets a holder be changed.

A holder that can be changed is a list, dictionary, set, deque, cell, class or instance. A tuple is made again, and its holders are
redirected in turn. What else holds an object (a running frame, an object in C) cannot be changed.
"""

from __future__ import annotations

import functools
import gc
import types
import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any

from persistmod import containers
from persistmod.classes import slot_value, slots_of
from persistmod.namespace import vars_of
from persistmod.typeflags import HEAP_TYPE
from persistmod.writes import Writes

_LRU_LINK = next(part for part in gc.get_referents(functools.lru_cache(abs)) if getattr(part, "__name__", "") == "_lru_list_elem")


def can_redirect(owner: Any) -> bool:
    """Return whether a holder can be given another object."""
    kind = type(owner)
    if kind in (tuple, types.CellType, types.FunctionType) or issubclass(kind, (dict, list, set, deque)):
        return True
    return bool(kind.__flags__ & HEAP_TYPE)


def is_made_again(owner: Any, exchanged: Mapping[int, Any]) -> bool:
    """Return whether a holder cannot be given another object, but can be made again with it: a tuple, or the method of an instance."""
    if type(owner) is types.MethodType:
        return id(owner.__self__) in exchanged
    return type(owner) in (tuple, frozenset) and not _is_of_a_class(owner)


def _is_of_a_class(value: Any) -> bool:
    """Return whether a tuple is the bases or the order of resolution of a class, which it has for itself."""
    return type(value) is tuple and any(
        isinstance(item, type) and any(value is own for own in (item.__mro__, item.__bases__)) for item in value
    ) or any(isinstance(owner, type) for owner in gc.get_referrers(value))


def made_again(owner: Any, exchanged: Mapping[int, Any]) -> Any:
    """Return a holder like one of which `is_made_again` is true, with what stands for the objects that it holds."""
    if type(owner) is types.MethodType:
        return types.MethodType(owner.__func__, exchanged[id(owner.__self__)])
    return type(owner)(exchanged.get(id(item), item) for item in owner)


def redirect(owner: Any, exchanged: dict[int, Any], writes: Writes) -> None:
    """Give a holder the objects that stand for those it holds: `exchanged` is `{id: object}`."""
    kind = type(owner)  # a proxy says that it is of another
    if issubclass(kind, dict):
        _redirect_dict(owner, exchanged, writes)
    elif issubclass(kind, (list, deque)):
        held = containers.contents(owner)
        if any(id(item) in exchanged for item in held):
            writes.refill(owner, without_duplicates(held, exchanged))
    elif issubclass(kind, set):
        writes.refill(owner, {exchanged.get(id(item), item) for item in set.__iter__(owner)})
    elif kind is types.CellType:
        writes.set(owner, "cell_contents", exchanged.get(id(owner.cell_contents), owner.cell_contents))
    elif kind is types.FunctionType:
        if id(owner.__defaults__) in exchanged:
            writes.set(owner, "__defaults__", exchanged[id(owner.__defaults__)])
    elif kind.__flags__ & HEAP_TYPE:
        _redirect_instance(owner, exchanged, writes)


def _redirect_dict(owner: dict[Any, Any], exchanged: dict[int, Any], writes: Writes) -> None:
    if type(next(iter(dict.values(owner)), None)) is _LRU_LINK:
        return  # an lru_cache has its keys in its links, too; what it knows of a new object is asked for never again
    cls = class_of_namespace(owner)
    if cls is None and any(id(key) in exchanged for key in dict.keys(owner)):
        # Hashed again, all of them: relinking changes what a hash is made of.
        held = {exchanged.get(id(key), key): exchanged.get(id(value), value) for key, value in containers.contents(owner).items()}
        writes.refill(owner, held)
        return
    for key, value in list(dict.items(owner)):
        live = exchanged.get(id(value), value)
        if live is not value and not is_subclass_entry(key, value):
            writes.set_class_attribute(cls, key, live) if cls is not None else writes.bind(owner, key, live)


def is_subclass_entry(key: Any, value: Any) -> bool:
    """Return whether this is how a class knows one of its subclasses, in a dictionary of its own."""
    return type(value) is weakref.ref and type(key) is int and key == id(value())


def _redirect_instance(owner: Any, exchanged: dict[int, Any], writes: Writes) -> None:
    attributes = vars_of(owner)
    if any(id(value) in exchanged for value in attributes.values()):
        _redirect_dict(attributes, exchanged, writes)
    for _, member in slots_of(owner) if not isinstance(owner, type) else ():
        for item in slot_value(member, owner):
            if id(item) in exchanged:
                writes.set_by(member, owner, exchanged[id(item)])


def weak_references(value: Any, live: Any) -> list[tuple[Any, Any]]:
    """Return the weak references to an object, each with one to that which takes its place."""
    found: list[tuple[Any, Any]] = []
    for reference in weakref.getweakrefs(value) if weakref.getweakrefcount(value) else ():
        if type(reference) is weakref.ref:
            found.append((reference, weakref.ref(live, reference.__callback__)))
        elif isinstance(reference, weakref.KeyedRef):
            found.append((reference, weakref.KeyedRef(live, reference.__callback__, reference.key)))
    return found


def without_duplicates(items: list[Any], exchanged: dict[int, Any]) -> list[Any]:
    """Return items with the live ones in place of the new ones; a new one whose live one is in the list already goes."""
    there = [item for item in items if id(item) not in exchanged]
    ids = set(map(id, there))
    found = []
    for item in items:
        live = exchanged.get(id(item), item)
        if live is item or not (id(live) in ids or any(_is_alike(live, known) for known in (there if type(live) in _BY_CONTENT else ()))):
            found.append(live)
    return found


_BY_CONTENT = (tuple, str, int, bytes)


def _is_alike(one: Any, other: Any) -> bool:
    """Return whether two entries are one: the same object, or tuples of the same objects or atoms."""
    if type(one) is tuple and type(other) is tuple:
        return len(one) == len(other) and all(map(_is_alike, one, other))
    return one is other or (type(one) in (str, int, bytes) and type(one) is type(other) and bool(one == other))


def class_of_namespace(namespace: dict[Any, Any]) -> Any:
    """Return the class whose own namespace a dictionary is: writing into it past the class would not be noticed."""
    if "__module__" not in namespace or "__qualname__" in namespace:  # as in what `functools.wraps` fills; a class keeps it elsewhere
        return None
    for owner in gc.get_referrers(namespace):
        if issubclass(type(owner), type) and any(held is namespace for held in gc.get_referents(owner.__dict__)):
            return owner
    return None
