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
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from persistmod import classes, rebuilding
from persistmod.classes import is_persistent, slot_value
from persistmod.namespace import vars_of
from persistmod.pairing import Pair
from persistmod.redirecting import can_redirect, redirect
from persistmod.writes import Writes

_HEAP_TYPE = 1 << 9
_CONTAINERS = (dict, list, set)


@dataclass(slots=True)
class Replacement:
    """What is exchanged: `{id: object that stands for it}`, the holders to be changed, what stands in the way, what must stay alive."""

    exchanged: dict[int, Any] = field(default_factory=dict)
    owners: list[Any] = field(default_factory=list)
    obstacles: list[str] = field(default_factory=list)
    moved: int = 0
    keep: list[Any] = field(default_factory=list)
    fills: list[tuple[Any, Any]] = field(default_factory=list)


def survey(pairs: list[Pair]) -> Replacement:
    """Find the instances and subclasses of the old class of each pair, and who holds them."""
    found = Replacement()
    for pair in pairs:
        _exchange_class(pair.old, pair.new, found, {id(other.old) for other in pairs})
    instances = [value for value in found.keep if id(value) in found.exchanged and not isinstance(value, type)]
    _find_owners(found, instances)
    return found


def _exchange_class(old: type, new: type, found: Replacement, known: set[int]) -> None:
    found.exchanged[id(old)] = new
    found.keep.append(old)
    for instance in [value for value in gc.get_referrers(old) if type(value) is old]:
        _exchange_instance(instance, new, found)
    subclasses: list[type] = type.__subclasses__(old)
    for subclass in subclasses:
        if id(subclass) not in known and subclass.__module__ != new.__module__:
            bases = tuple(found.exchanged.get(id(base), base) for base in subclass.__bases__)
            shape = classes.shape(subclass)
            try:
                again = rebuilding.new_class(type(subclass), subclass.__name__, bases, shape.namespace)
            except TypeError as error:
                found.obstacles.append(f"its subclass {subclass.__module__}.{subclass.__qualname__} cannot follow: {error}")
                continue
            rebuilding.fill_class(again, shape.late)
            if shape.registry is not None:
                rebuilding.init_abc(again, shape.registry)
            _exchange_class(subclass, again, found, known)


def _exchange_instance(instance: Any, new: type, found: Replacement) -> None:
    cls = type(instance)
    if is_persistent(cls):
        found.obstacles.append(f"an instance of {cls.__qualname__} belongs to a database connection, which finds it by its identity")
        return
    base, contents = _built_in(cls), None
    if _built_in(new) is not base or base not in (object, *_CONTAINERS):
        found.obstacles.append(f"an instance of {cls.__qualname__} has the contents of a {base.__name__}")
        return
    if base is not object:
        contents = base.copy(instance)
    try:
        again = base.__new__(new)
    except TypeError as error:
        found.obstacles.append(f"an instance of {cls.__qualname__} cannot be made again: {error}")
        return
    values = _values(instance)
    homeless = [name for name in values if not _has_place(new, name)]
    if homeless:
        found.obstacles.append(f"an instance of {cls.__qualname__} has {homeless[0]!r}, which has no place in the new class")
    found.exchanged[id(instance)] = again
    found.keep.append(instance)
    found.fills.append((instance, (again, values, contents)))
    found.moved += 1


def _built_in(cls: type) -> Any:
    return next(base for base in cls.__mro__ if not base.__flags__ & _HEAP_TYPE)


def _values(instance: Any) -> dict[str, Any]:
    values = dict(vars_of(instance))
    for cls in type(instance).__mro__:
        for name, member in cls.__dict__.items() if cls.__flags__ & _HEAP_TYPE else ():
            if type(member) is types.MemberDescriptorType:
                values |= dict(zip((name,), slot_value(member, instance), strict=False))
    return values


def _slot(cls: type, name: str) -> Any:
    """Return the slot of a class that an attribute is kept in, None if it is kept in the `__dict__`."""
    for base in cls.__mro__:
        member = base.__dict__.get(name)
        if type(member) is types.MemberDescriptorType:
            return member
    return None


def _has_place(cls: type, name: str) -> bool:
    return cls.__dictoffset__ != 0 or _slot(cls, name) is not None


def _find_owners(found: Replacement, instances: list[Any]) -> None:
    """Find who holds what is exchanged. A tuple or a bound method is made again, and its holders are looked for in turn."""
    pending = list(found.keep)
    seen: set[int] = set()
    counted: Counter[int] = Counter()
    while pending:
        ours = {id(found.keep), id(pending), id(instances), id(found.exchanged), id(found.owners), id(found.fills), id(sys._getframe())}
        owners = [owner for owner in gc.get_referrers(*pending) if id(owner) not in ours and id(owner) not in seen]
        seen.update(map(id, owners))
        pending = []
        for owner in owners:
            counted.update(map(id, gc.get_referents(owner)))
            again = _made_again(owner, found)
            if again is not None:
                found.exchanged[id(owner)] = again
                found.keep.append(owner)
                pending.append(owner)
            elif can_redirect(owner) and type(owner) is not tuple:
                found.owners.append(owner)
    for instance in instances:
        if sys.getrefcount(instance) - counted[id(instance)] > _OWN_REFERENCES:
            found.obstacles.append(f"an instance of {type(instance).__qualname__} is held by a running function, or by an object in C")


# The list of what is kept, that of instances, the pair in `fills`, the loop's variable, the argument of getrefcount.
_OWN_REFERENCES = 5


def _made_again(owner: Any, found: Replacement) -> Any:
    if type(owner) is types.MethodType and id(owner.__self__) in found.exchanged:
        return types.MethodType(owner.__func__, found.exchanged[id(owner.__self__)])
    if type(owner) in (tuple, frozenset) and not _is_of_a_class(owner):
        return type(owner)(found.exchanged.get(id(item), item) for item in owner)
    return None


def _is_of_a_class(value: Any) -> bool:
    """Return whether a tuple is the bases or the order of resolution of a class, which it has for itself."""
    return type(value) is tuple and any(
        isinstance(item, type) and any(value is own for own in (item.__mro__, item.__bases__)) for item in value
    ) or any(isinstance(owner, type) for owner in gc.get_referrers(value))


def write(found: Replacement, writes: Writes) -> None:
    """Fill the new instances and have everybody hold them; the old ones stay as they are, for an undo."""
    for _, (again, values, contents) in found.fills:
        if contents is not None:
            kind = _built_in(type(again))
            kind.update(again, contents) if kind is not list else list.extend(again, contents)
        for name, value in values.items():
            slot = _slot(type(again), name)
            value = found.exchanged.get(id(value), value)
            slot.__set__(again, value) if slot is not None else vars_of(again).__setitem__(name, value)
    for owner in found.owners:
        if id(owner) not in found.exchanged:
            redirect(owner, found.exchanged, writes)
