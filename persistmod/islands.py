"""No stale islands: what a new body handed to others while it ran aside ends as the live object that stands for it.

Whoever holds a new object that has a live one is found by its references, with one scan of the heap, and only if the run handed something
out. Lists, dictionaries, sets, cells and classes get the live object; an entry that is there already does not come twice. What no scan
finds (`atexit`, objects in C) keeps the new function, which forwards to the live one.
"""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]
import gc
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from persistmod import forwarding
from persistmod.holders import excess
from persistmod.relinking import Relinker
from persistmod.writes import Writes


def join(registered: list[type], relinker: Relinker, writes: Writes) -> None:
    """Exchange new objects for live ones wherever others hold them; `registered` are the ABCs with which the body registered classes."""
    held = _held_by_others(relinker)
    stand_in = {id(value): relinker.resolve(value) for value in held}
    relinker.finish()
    exchanged = {key: live for key, live in stand_in.items() if live is not relinker.made[key]}
    for value in held:
        if id(value) in exchanged:
            exchanged.update(_weak_references(value, exchanged[id(value)]))
    _exchange(exchanged, relinker, writes)
    for cls in registered:
        _register_again(cls, exchanged, writes)
    for key, live in list(relinker.stands_for.items()):
        new = relinker.made.get(key)
        if type(new) is types.FunctionType and live is not new and callable(live):
            forwarding.set_code(new, forwarding.forwarder(live, new.__code__))
        elif issubclass(type(new), type) and live is not new:
            _leave_bases(new)


def _held_by_others(relinker: Relinker) -> list[Any]:
    values = list(relinker.made.values())
    more = excess(values, relinker.scratch)
    weakly = {id(value) for value in values if id(value) in relinker.stands_for and weakref.getweakrefcount(value)}
    return [value for value in values if id(value) in more or id(value) in weakly]


def _weak_references(value: Any, live: Any) -> dict[int, Any]:
    """Return what stands for the weak references to a new object."""
    found = {}
    for reference in weakref.getweakrefs(value) if weakref.getweakrefcount(value) else ():
        if type(reference) is weakref.ref:
            found[id(reference)] = weakref.ref(live, *((reference.__callback__,) if reference.__callback__ else ()))
        elif isinstance(reference, weakref.KeyedRef):
            found[id(reference)] = weakref.KeyedRef(live, reference.__callback__, reference.key)
    return found


def _exchange(exchanged: dict[int, Any], relinker: Relinker, writes: Writes) -> None:
    made = relinker.made
    new = [made[key] for key in exchanged if key in made]
    weak = [reference for value in new if weakref.getweakrefcount(value) for reference in weakref.getweakrefs(value)]
    targets = [*new, *(reference for reference in weak if id(reference) in exchanged)]
    if not targets:
        return
    frame = sys._getframe()
    ours = {id(new), id(weak), id(targets), id(made), id(exchanged), id(relinker.stands_for), id(relinker.scratch), id(frame)}
    for owner in gc.get_referrers(*targets):
        if id(owner) not in made and id(owner) not in ours and id(owner) not in relinker.kept_ids():
            _write_owner(owner, exchanged, writes)


def _write_owner(owner: Any, exchanged: dict[int, Any], writes: Writes) -> None:
    kind = type(owner)
    if isinstance(owner, dict):
        cls = _class_of_namespace(owner)
        for key, value in list(dict.items(owner)):
            live = exchanged.get(id(value), value)
            if cls is not None and live is not value:
                writes.set_class_attribute(cls, key, live)
            elif live is not value or id(key) in exchanged:
                _write_item(owner, key, live, exchanged, writes)
    elif isinstance(owner, (list, deque)):
        base = list if isinstance(owner, list) else deque
        writes.refill(owner, _without_duplicates(list(base.__iter__(owner)), exchanged), base)
    elif isinstance(owner, set):
        writes.refill(owner, {exchanged.get(id(item), item) for item in set.__iter__(owner)}, set)
    elif kind is types.CellType:
        writes.set(owner, "cell_contents", exchanged.get(id(owner.cell_contents), owner.cell_contents))
    elif kind is types.MethodType or kind is tuple:
        return  # whoever holds this holds what forwards


def _write_item(owner: dict[Any, Any], key: Any, live: Any, exchanged: dict[int, Any], writes: Writes) -> None:
    if id(key) in exchanged:
        writes.unbind(owner, key)
        key = exchanged[id(key)]
    writes.bind(owner, key, live)


def _without_duplicates(items: list[Any], exchanged: dict[int, Any]) -> list[Any]:
    """Return items with the live ones in place of the new ones; a new one whose live one is in the list already goes."""
    there = [item for item in items if id(item) not in exchanged]
    found = []
    for item in items:
        live = exchanged.get(id(item), item)
        if live is item or not any(_is_alike(live, known) for known in there):
            found.append(live)
    return found


def _is_alike(one: Any, other: Any) -> bool:
    """Return whether two entries are one: the same object, or tuples of the same objects or atoms."""
    if type(one) is tuple and type(other) is tuple:
        return len(one) == len(other) and all(map(_is_alike, one, other))
    return one is other or (type(one) in (str, int, bytes) and type(one) is type(other) and bool(one == other))


def _class_of_namespace(namespace: dict[Any, Any]) -> type | None:
    """Return the class whose own namespace a dictionary is: writing into it past the class would not be noticed."""
    if "__module__" not in namespace or "__doc__" not in namespace:
        return None
    for owner in gc.get_referrers(namespace):
        if issubclass(type(owner), type) and any(held is namespace for held in gc.get_referents(owner.__dict__)):
            return owner
    return None


def _register_again(abstract: type, exchanged: dict[int, Any], writes: Writes) -> None:
    registered = [reference() for reference in _abc._get_dump(abstract)[0]]
    for cls in registered:
        live = exchanged.get(id(cls))
        if live is not None and not any(known is live for known in registered):
            writes.do(lambda live=live: _abc._abc_register(abstract, live), _as_it_was(abstract, registered))  # type: ignore[misc]


def _as_it_was(abstract: type, registered: list[Any]) -> Callable[[], None]:
    def undo() -> None:
        _abc._reset_registry(abstract)
        _abc._reset_caches(abstract)
        for cls in registered:
            if cls is not None:
                _abc._abc_register(abstract, cls)

    return undo


class _Nowhere:
    """The base of classes that another has taken the place of."""


def _leave_bases(cls: type) -> None:
    """Take a class out of `__subclasses__()` of its bases at once, where its layout allows that: it is garbage, but not yet collected."""
    try:
        type.__dict__["__bases__"].__set__(cls, (_Nowhere,))
    except TypeError:
        return
