"""Replacing a class whose instances cannot follow in place: its layout has changed.

The new class takes the name. Each instance is made again as an instance of the new class with the same attributes, and whoever held it
holds the new one: one scan of the heap finds the holders. Subclasses elsewhere are made again on the new base, and so are their
instances. A survey finds first what stands in the way: an instance held by what cannot be changed, or with contents that have no place
in the new layout.
"""

from __future__ import annotations

import gc
import sys
import types
import weakref
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import chain
from typing import Any

from persistmod import classes, rebuilding
from persistmod.bookkeeping import Account, Notes, is_bookkeeping
from persistmod.classes import is_persistent, set_value, slot_of, values_of
from persistmod.namespace import vars_of
from persistmod.pairing import Pair, can_take
from persistmod.redirecting import can_redirect, is_made_again, made_again, redirect, weak_references
from persistmod.typeflags import static_base
from persistmod.writes import Writes

_CONTAINERS = (dict, list, set)


@dataclass(slots=True)
class Replacement:
    """What is exchanged: `{id: object that stands for it}`, the holders to be changed, what stands in the way, what must stay alive.

    `moves` are pairs of an old instance and the new one; `immutable` holders are made again, and held in turn by others.
    """

    exchanged: Account = field(default_factory=Account)
    owners: list[Any] = field(default_factory=Notes)
    obstacles: list[str] = field(default_factory=list)
    keep: list[Any] = field(default_factory=Notes)
    moves: list[tuple[Any, Any]] = field(default_factory=Notes)
    immutable: list[Any] = field(default_factory=Notes)


def survey(pairs: list[Pair], known: set[int]) -> Replacement:
    """Find the instances and subclasses of the old class of each pair, and who holds them; what is `known`, by id, gets its bases else."""
    found = Replacement()
    gc.collect()  # what is garbage need not be moved
    for pair in pairs:
        _exchange_class(pair.old, pair.new, found, known)
    instances = [instance for instance, again in found.moves]
    _find_owners(found, instances)
    held = found.exchanged.keys() | set(map(id, found.immutable))
    for instance in instances:
        base: Any = static_base(type(instance))
        if base in (tuple, frozenset) and not held.isdisjoint(map(id, base.__iter__(instance))):
            found.obstacles.append(f"an instance of {type(instance).__qualname__} has another instance among its contents")
    return found


def remake(cls: type, made: Account, stands_for: Account) -> Iterator[tuple[type, type]]:
    """Yield a new class and its new bases that have to be made again to stand on live ones, each with that which is, bases first.

    CPython assigns `__bases__` only if the layout of all bases of both is alike. `made` and `stands_for` are what the new bodies made, and
    what stands for it, which is told of each class that is made again.
    """
    if id(cls) in stands_for or id(cls) not in made:
        return
    for base in cls.__bases__:
        yield from remake(base, made, stands_for)
    bases = tuple(stands_for.get(id(base), base) for base in cls.__bases__)
    if not can_take(cls, "__bases__", bases):
        stands_for[id(cls)] = again = _made_on(bases, cls)
        yield cls, again


def _exchange_class(old: type, new: type, found: Replacement, known: set[int]) -> None:
    found.exchanged[id(old)] = new
    found.keep.append(old)
    for instance in [value for value in gc.get_referrers(old) if type(value) is old]:
        _exchange_instance(instance, new, found)
    subclasses: list[type] = type.__subclasses__(old)
    for subclass in subclasses:
        if id(subclass) not in known and subclass.__module__ != new.__module__:
            bases = tuple(found.exchanged.get(id(base), base) for base in subclass.__bases__)
            try:
                again = _made_on(bases, subclass)
            except TypeError as error:
                found.obstacles.append(f"its subclass {subclass.__module__}.{subclass.__qualname__} cannot follow: {error}")
                continue
            _exchange_class(subclass, again, found, known)


def _made_on(bases: tuple[type, ...], cls: type) -> type:
    """Make a class again on other bases."""
    shape = classes.shape(cls)
    again = rebuilding.new_class(type(cls), cls.__name__, bases, shape.namespace)
    rebuilding.fill_class(again, shape.late)
    if shape.registry is not None:
        rebuilding.init_abc(again, shape.registry)
    return again


def _exchange_instance(instance: Any, new: type, found: Replacement) -> None:
    cls = type(instance)
    if issubclass(cls, Enum):
        _exchange_member(instance, new, found)
        return
    if is_persistent(cls):
        found.obstacles.append(f"an instance of {cls.__qualname__} belongs to a database connection, which finds it by its identity")
        return
    base: Any = static_base(cls)
    if static_base(new) is not base or base not in (object, *_CONTAINERS, *classes.BY_VALUE):
        found.obstacles.append(f"an instance of {cls.__qualname__} has the contents of a {base.__name__}")
        return
    try:
        again: Any = base.__new__(new, *(classes.value_of(instance, base) if base in classes.BY_VALUE else ()))
    except TypeError as error:
        found.obstacles.append(f"an instance of {cls.__qualname__} cannot be made again: {error}")
        return
    homeless = [name for name in values_of(instance) if not _has_place(new, name)]
    if homeless:
        found.obstacles.append(f"an instance of {cls.__qualname__} has {homeless[0]!r}, which has no place in the new class")
    if weakref.getweakrefcount(instance) and not new.__weakrefoffset__:
        found.obstacles.append(f"an instance of {cls.__qualname__} is referred to weakly, which the new class does not allow")
        return
    found.exchanged[id(instance)] = again
    found.keep.append(instance)
    found.moves.append((instance, again))
    for reference, other in weak_references(instance, again):
        found.exchanged[id(reference)] = other
        found.keep.append(reference)


def _exchange_member(member: Any, new: type, found: Replacement) -> None:
    """Exchange a member of an enumeration for the new one of its name; if there is none it stays what it was."""
    again = vars(new)["_member_map_"].get(member._name_) if issubclass(new, Enum) else None
    if again is not None:
        found.exchanged[id(member)] = again
        found.keep.append(member)


def _has_place(cls: type, name: str) -> bool:
    return cls.__dictoffset__ != 0 or slot_of(cls, name) is not None


def _find_owners(found: Replacement, instances: list[Any]) -> None:
    """Find who holds what is exchanged. A tuple or a bound method will be made again, and its holders are looked for in turn."""
    pending = tuple(found.keep)
    seen: set[int] = set()
    counted: Counter[int] = Counter()
    moved = set(map(id, instances))
    while pending:
        ours = {id(pending), id(instances), id(sys._getframe()), *map(id, found.moves)}
        owners = [owner for owner in gc.get_referrers(*pending) if id(owner) not in ours and id(owner) not in seen]
        seen.update(map(id, owners))
        counted.update(map(id, chain.from_iterable(map(gc.get_referents, owners))))
        pending = tuple(owner for owner in owners if is_made_again(owner, found.exchanged))
        found.immutable += pending
        found.owners += [owner for owner in owners if _is_to_be_redirected(owner) and id(owner) not in moved]
        again = set(map(id, pending))
        for owner in [owner for owner in owners if id(owner) not in again and not can_redirect(owner)]:
            held = [value for value in gc.get_referents(owner) if id(value) in moved and type(owner) is not types.FrameType]
            problem = f"is held by a {type(owner).__qualname__}, which cannot take another"
            found.obstacles += [f"an instance of {type(value).__qualname__} {problem}" for value in held]
            del held
        del owners
    for instance in instances:
        if sys.getrefcount(instance) - counted[id(instance)] > _OWN_REFERENCES:
            found.obstacles.append(f"an instance of {type(instance).__qualname__} is held by a running function, or by an object in C")


def _is_to_be_redirected(owner: Any) -> bool:
    return can_redirect(owner) and type(owner) is not tuple and not is_bookkeeping(owner)


# The list of instances, the pair in `moves`, the loop's variable, the argument of getrefcount.
_OWN_REFERENCES = 4


def exchange(old: Any, new: Any) -> None:
    """Have whoever holds an object hold another one, wherever a holder can be changed or made again."""
    found = Replacement(Account({id(old): new}), keep=Notes([old]))
    _find_owners(found, [])
    write(found, Writes())


def write(found: Replacement, writes: Writes) -> None:
    """Fill the new instances and have everybody hold them; the old ones stay as they are, for an undo."""
    for instance, again in found.moves:
        _fill(instance, again, found.exchanged)
    _make_again(found)
    for instance, again in found.moves if found.immutable else ():
        _fill(instance, again, found.exchanged)
    attributes = {id(vars_of(instance)) for instance, again in found.moves}
    for owner in found.owners:
        if id(owner) not in attributes and id(owner) not in found.exchanged:
            redirect(owner, found.exchanged, writes)


def _fill(instance: Any, again: Any, exchanged: dict[int, Any]) -> None:
    """Give a new instance what the old one has."""
    kind: Any = static_base(type(again))
    if kind is list:
        list.__setitem__(again, slice(None), [exchanged.get(id(item), item) for item in list.__iter__(instance)])
    elif kind is dict:
        dict.clear(again)
        dict.update(again, {exchanged.get(id(key), key): exchanged.get(id(item), item) for key, item in dict.items(instance)})
    elif kind is set:
        set.clear(again)
        set.update(again, [exchanged.get(id(item), item) for item in set.__iter__(instance)])
    for name, value in values_of(instance).items():
        set_value(again, name, exchanged.get(id(value), value))


def _make_again(found: Replacement) -> None:
    """Make tuples, frozensets and bound methods again, the inner ones first."""
    stack, open_ids = list(found.immutable), set(map(id, found.immutable))
    while stack:
        value = stack[-1]
        inner = [item for item in gc.get_referents(value) if id(item) in open_ids and id(item) not in found.exchanged]
        if inner and id(value) not in found.exchanged:
            stack += inner
            continue
        stack.pop()
        found.exchanged[id(value)] = made_again(value, found.exchanged)
