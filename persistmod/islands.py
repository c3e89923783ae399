"""No stale islands: what a new body handed to others while it ran aside ends as the live object that stands for it.

Whoever holds a new object that has a live one is found by its references, with one scan of the heap, and only if the run handed something
out. Lists, dictionaries, sets, cells and classes get the live object; an entry that is there already does not come twice, nor does one that
has no name and is built like one that is there. What no scan finds (`atexit`, objects in C) keeps the new function, which forwards to the
live one.
"""

from __future__ import annotations

import gc
import sys
import types
import weakref
from collections.abc import Container, Mapping
from functools import partial
from typing import Any

from persistmod import classes, containers, forwarding
from persistmod.bookkeeping import Account, Notes, is_bookkeeping
from persistmod.errors import UpdateError
from persistmod.holders import excess_of_made
from persistmod.merging import Comparison, Pool
from persistmod.redirecting import is_made_again, made_again, redirect, weak_references
from persistmod.relinking import Relinker
from persistmod.writes import Writes


def join(registered: list[type], relinker: Relinker, superseded: Mapping[int, Any], writes: Writes) -> None:
    """Exchange new objects for live ones wherever others hold them; `registered` are the ABCs with which the body registered classes.

    `superseded`: `{id of a live instance: the new object that has its name now}`.
    """
    _adopt(relinker)
    held = _held_by_others(relinker)
    stand_in = Account((id(value), relinker.resolve(value)) for value in held)
    relinker.finish()
    relinker.hash_again()
    exchanged = Account((key, live) for key, live in stand_in.items() if live is not relinker.made[key])
    for value in held:
        if id(value) in exchanged:
            exchanged.update({id(reference): again for reference, again in weak_references(value, exchanged[id(value)])})
    held.clear()  # it is no holder
    _exchange(stand_in, exchanged, superseded, relinker, writes)
    for cls in registered:
        _register_again(cls, exchanged, writes)
    for key, live in list(relinker.stands_for.items()):
        new = relinker.made.get(key)
        if type(new) is types.FunctionType and live is not new and callable(live):
            forwarding.set_code(new, forwarding.forwarder(live, new.__code__))
        elif isinstance(new, type) and live is not new:
            _rebase(new, relinker, writes)
    leave(relinker)


def leave(relinker: Relinker) -> None:
    """Take new classes that have a live one out of what their bases know of their subclasses; the rest of them is collected later."""
    for key, live in relinker.stands_for.items():
        new = relinker.made.get(key)
        if isinstance(new, type) and live is not new:
            classes.leave_bases(new)


def _adopt(relinker: Relinker) -> None:
    """Count functions that others made with the globals of a scratch module, a dataclass of a module that is new, say, as its own."""
    namespaces = [scratch for scratch, live in relinker.namespaces.values()]
    for user in gc.get_referrers(*namespaces):
        if type(user) is types.FunctionType and id(user.__globals__) in relinker.namespaces:
            relinker.made.setdefault(id(user), user)


def _held_by_others(relinker: Relinker) -> list[Any]:
    values = list(relinker.made.values())
    more = excess_of_made(values, *(scratch for scratch, live in relinker.namespaces.values()))
    weakly = {id(value) for value in values if id(value) in relinker.stands_for and weakref.getweakrefcount(value)}
    return [value for value in values if id(value) in more or id(value) in weakly]


def _exchange(stand_in: Account, exchanged: Account, superseded: Mapping[int, Any], relinker: Relinker, writes: Writes) -> None:
    new = [relinker.made[key] for key in stand_in]
    weak = [reference for value in new if weakref.getweakrefcount(value) for reference in weakref.getweakrefs(value)]
    targets = (*new, *(reference for reference in weak if id(reference) in exchanged))  # a tuple: the call makes no other
    if not targets:
        return
    frame = sys._getframe()
    ours = {id(new), id(weak), id(targets), id(frame), *relinker.namespaces}
    owners = gc.get_referrers(*targets)
    owners = [owner for owner in owners if not (id(owner) in relinker.made or id(owner) in ours or is_bookkeeping(owner))]
    named = {id(value) for scratch, live in relinker.namespaces.values() for value in scratch.values()}
    nameless = {key for key, live in stand_in.items() if key not in named and id(live) not in relinker.lived}
    for owner in owners:
        kind = containers.kind_of(type(owner))
        if kind is not None and not issubclass(kind, dict):
            _match(containers.contents(owner), stand_in.keys(), nameless, exchanged, superseded)
    for owner in _with_holders_of_made_again(owners, exchanged, {*ours, id(owners)}):
        if _holds(owner, exchanged):
            redirect(owner, exchanged, writes)


def _with_holders_of_made_again(owners: list[Any], exchanged: Account, ours: set[int]) -> list[Any]:
    """Make again what cannot be changed, tuples say, and what holds it in turn; return the holders with those that were found.

    What is made again is in `exchanged` then.
    """
    found, immutable = Notes(owners), Notes()
    pending = tuple(owners)
    while pending := tuple(owner for owner in pending if _holds(owner, exchanged) and is_made_again(owner, exchanged)):
        immutable += pending  # ids must stay taken
        exchanged.update((id(owner), made_again(owner, exchanged)) for owner in pending)
        ours |= {id(pending), id(sys._getframe())}
        pending = tuple(owner for owner in gc.get_referrers(*pending) if id(owner) not in ours and not is_bookkeeping(owner))
        found += pending
    return found


def _holds(owner: Any, exchanged: Account) -> bool:
    return not exchanged.keys().isdisjoint(map(id, gc.get_referents(owner)))


def _match(items: list[Any], entered: Container[int], nameless: set[int], exchanged: Account, superseded: Mapping[int, Any]) -> None:
    """Let entries that were there stand for nameless ones that are built alike, and new ones for those whose names they have."""
    ids = set(map(id, items))
    for item in items:
        new = superseded.get(id(item))
        if new is not None and id(new) in ids:
            exchanged[id(item)] = exchanged.get(id(new), new)
    if ids.isdisjoint(nameless):
        return
    taken = {id(exchanged[key]) for key in ids & exchanged.keys()}
    pool = Pool([item for item in items if id(item) not in entered and id(item) not in taken], Comparison({}, {}))
    for item in items:
        if id(item) in nameless:
            exchanged.update((id(item), known) for known in pool.taken(exchanged.get(id(item), item)))


def _register_again(abstract: type, exchanged: dict[int, Any], writes: Writes) -> None:
    before = classes.registered(abstract)
    after = {id(cls): cls for cls in (exchanged.get(id(cls), cls) for cls in before)}
    if len(after) < len(before) or any(id(cls) not in after for cls in before):
        writes.do(partial(classes.register_only, abstract, after.values()), partial(classes.register_only, abstract, before))


def _rebase(cls: type, relinker: Relinker, writes: Writes) -> None:
    """Give the subclasses that others made of a new class the live class as a base."""
    subclasses: list[type] = type.__subclasses__(cls)
    others = [subclass for subclass in subclasses if id(subclass) not in relinker.made]
    new = [base for base in reversed(cls.__mro__) if relinker.stands_for.get(id(base), base) is not base] if others else []
    bridge = [(base, _live_bases(base, relinker)) for base in new]
    for subclass in others:
        before, bases = subclass.__bases__, _live_bases(subclass, relinker)
        writes.do(partial(_set_bases, subclass, bases, bridge), partial(_set_bases, subclass, before, bridge))


def _live_bases(cls: type, relinker: Relinker) -> tuple[type, ...]:
    return tuple(relinker.resolve(base) for base in cls.__bases__)


def _set_bases(cls: type, bases: tuple[type, ...], bridge: list[tuple[type, tuple[type, ...]]]) -> None:
    """Give a class other bases, which CPython does only if the layouts of both come from the same bases.

    `bridge`: new classes, bases first, each with the live bases on which it stands meanwhile.
    """
    before = [(new, new.__bases__) for new, live in bridge]
    try:
        for new, live in bridge:
            _BASES.__set__(new, live)
        _BASES.__set__(cls, bases)
    except TypeError as error:
        problem = f"class {cls.__qualname__!r} cannot stand on the live {bases[0].__qualname__!r}: {error}"
        raise UpdateError(f"module {cls.__module__!r}: {problem}", module=cls.__module__) from error
    finally:
        for new, own in reversed(before):
            _BASES.__set__(new, own)


_BASES = type.__dict__["__bases__"]
