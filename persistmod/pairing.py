"""Which new object takes the place of which old one: definitions by canonical name, and what hangs on them.

A definition is known by its path in the outermost namespace that contains it: module level before class level, outer class before inner.
If a namespace binds it twice, the binding that is its `__name__` wins, else the first. Any other binding is an alias, which pairs nothing.
The functions inside a definition (what it wraps, what its closure holds, the functions of a property) pair with those in the same place.
"""

from __future__ import annotations

import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from persistmod import forwarding
from persistmod.bookkeeping import Account
from persistmod.functions import contents
from persistmod.namespace import definitions, vars_of
from persistmod.typeflags import own_slots

_LRU_CACHE = type(__import__("functools").lru_cache(abs))


@dataclass(frozen=True, slots=True)
class Pair:
    """An old and a new object of one path; `keeps` says whether the old one can take the new one's state in place."""

    path: str
    old: Any
    new: Any
    keeps: bool = True
    reason: str = ""


@dataclass(slots=True)
class Side:
    """One version of a module: its namespace, and which objects are its own.

    `stands_for`: `{id of the namespace of a module that was run aside: that of the live one}`.
    """

    module: str
    namespace: dict[str, Any]
    is_own: Callable[[Any], bool]
    retired: dict[str, Any] = field(default_factory=dict)
    stands_for: Mapping[int, dict[str, Any]] = field(default_factory=dict)

    def definitions(self) -> dict[str, Any]:
        """Return `{canonical name: definition}`, with those that the namespace has no more but somebody holds."""
        found = definitions(self.namespace, self.module)
        return {**self.retired, **{name: value for name, value in found.items() if self.is_own(value)}}


@dataclass(slots=True)
class Pairing:
    """What corresponds: functions and classes in pairs, in order; `partner` gives the old object for the id of a new one.

    `outer` are the names of definitions at module level, of both sides, by id: in a class they are aliases.
    """

    functions: list[Pair] = field(default_factory=list)
    classes: list[Pair] = field(default_factory=list)
    caches: list[Pair] = field(default_factory=list)
    partner: Account = field(default_factory=Account)
    taken: set[int] = field(default_factory=set)
    outer: dict[int, str] = field(default_factory=dict)

    def pairs(self) -> Iterator[Pair]:
        yield from self.functions
        yield from self.classes

    def add(self, pairs: Iterable[Pair]) -> None:
        """Take in more pairs of functions or classes, which keep the old ones."""
        for each in pairs:
            if type(each.old) is types.FunctionType:
                self.functions.append(each)
                self.note(each.old, each.new)
            else:
                self.classes.append(each)

    def knows(self, old: Any, new: Any) -> bool:
        return id(new) in self.partner or id(old) in self.taken

    def note(self, old: Any, new: Any) -> None:
        self.partner[id(new)] = old
        self.taken.add(id(old))


def classes_of(namespace: dict[str, Any], module: str) -> Iterator[tuple[str, type]]:
    """Yield (path, class) of the classes of a module, those in its classes with them."""
    pending, seen = list(definitions(namespace, module).items()), set()
    for path, value in pending:
        if issubclass(type(value), type) and id(value) not in seen:
            seen.add(id(value))
            pending += ((f"{path}.{name}", member) for name, member in members(value).items())
            yield path, value


def members(cls: type) -> dict[str, Any]:
    """Return `{canonical name: value}` of what a class namespace binds that may be or hold definitions; aliases are left out."""
    found: dict[int, tuple[str, Any]] = {}
    for name, value in cls.__dict__.items():
        core = core_of(value)
        if core is None:
            continue
        known = found.get(id(core))
        if known is None or (getattr(core, "__name__", None) == name and core.__name__ != known[0]):
            found[id(core)] = (name, value)
    return dict(found.values())


def core_of(value: Any) -> Any:
    """Return the function or class that a class attribute is or holds, None if there is none."""
    if type(value) is types.FunctionType or issubclass(type(value), type):
        return value
    if isinstance(value, staticmethod | classmethod):
        return core_of(value.__func__)
    if isinstance(value, property):
        return core_of(value.fget) or core_of(value.fset) or core_of(value.fdel)
    wrapped = vars_of(value).get("__wrapped__") or vars_of(value).get("func")
    return wrapped if type(wrapped) is types.FunctionType else None


def pair(old: Side, new: Side, is_apart: Callable[[str], bool]) -> Pairing:
    """Pair two versions of a module; definitions at module level that are to be left apart aside."""
    found = Pairing()
    pending: deque[tuple[str, Any, Any]] = deque()
    old_definitions, new_definitions = old.definitions(), new.definitions()
    found.outer = {id(core_of(value)): name for side in (old_definitions, new_definitions) for name, value in side.items()}
    for name, value in new_definitions.items():
        if name in old_definitions and not is_apart(name):
            pending.append((name, old_definitions[name], value))
    _pair_all(pending, old, new, found)
    known = {id(each.old) for each in found.classes}
    classes = (each for each in _classes_of_values(old, new) if id(each[1]) not in known and not is_apart(each[0].partition(".")[0]))
    _pair_all(deque(classes), old, new, found)
    return found


def _pair_all(pending: deque[tuple[str, Any, Any]], old: Side, new: Side, found: Pairing) -> None:
    while pending:
        path, was, now = pending.popleft()
        if was is not now and not found.knows(was, now):
            pending.extend(_pair(path, was, now, old, new, found))


def _classes_of_values(old: Side, new: Side) -> Iterator[tuple[str, type, type]]:
    """Yield the classes of what stands under one name in both versions, if they go by one name: it may be nowhere any more."""
    for name, value in new.namespace.items():
        now, was = type(value), type(old.namespace.get(name))
        if was is not now and now.__module__ == was.__module__ == new.module and now.__qualname__ == was.__qualname__:
            yield f"{name}.__class__", was, now


def _pair(path: str, was: Any, now: Any, old: Side, new: Side, found: Pairing) -> Iterator[tuple[str, Any, Any]]:
    """Note a pair, and yield what may correspond inside it."""
    if type(was) is _LRU_CACHE:
        found.caches.append(Pair(path, was, now, type(now) is _LRU_CACHE and was.cache_parameters() == now.cache_parameters()))
        if found.caches[-1].keeps:
            found.note(was, now)
    if type(was) is types.FunctionType and type(now) is types.FunctionType:
        if old.is_own(was) and new.is_own(now):
            found.functions.append(_function_pair(path, was, now, old, new))
            if found.functions[-1].keeps:
                found.note(was, now)
            yield from _inside_functions(path, was, now, found)
    elif issubclass(type(was), type) and issubclass(type(now), type):
        if old.is_own(was) and new.is_own(now):
            found.classes.append(_class_pair(path, was, now, found))
            if found.classes[-1].keeps:
                found.note(was, now)
            yield from _inside_classes(path, was, now, found)
    elif _go_by_one_name(type(was), type(now)):
        yield from _inside_holders(path, was, now, found)
    elif type(now) is types.FunctionType:  # what was around it is not there any more, and calls it still where it is held
        inner = vars_of(was).get("__wrapped__")
        if type(inner) is types.FunctionType and inner.__qualname__ == now.__qualname__:
            yield path, inner, now


def _go_by_one_name(was: type, now: type) -> bool:
    """Return whether two classes are one, or two versions of one: that of another module may be updated together with this one."""
    return was is now or (was.__module__, was.__qualname__) == (now.__module__, now.__qualname__)


def _inside_holders(path: str, was: Any, now: Any, found: Pairing) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(was, staticmethod | classmethod):
        yield path, was.__func__, now.__func__
    elif isinstance(was, property):
        yield from ((path, getattr(was, part), getattr(now, part)) for part in ("fget", "fset", "fdel"))
    elif type(was) is _LRU_CACHE:
        yield path, was.__wrapped__, now.__wrapped__
    else:
        before, after = vars_of(was), vars_of(now)
        yield from ((path, before[name], after[name]) for name in ("__wrapped__", "func", "fget") if name in before and name in after)


def _function_pair(path: str, was: types.FunctionType, now: types.FunctionType, old: Side, new: Side) -> Pair:
    same_globals = was.__globals__ is new.stands_for.get(id(now.__globals__), now.__globals__) or (
        was.__globals__ is old.namespace and now.__globals__ is new.namespace
    )
    if not same_globals:
        return Pair(path, was, now, False, "its globals are another module's")
    if not forwarding.fits(now.__code__, was):
        return Pair(path, was, now, False, "its free variables are others")
    return Pair(path, was, now)


def _inside_functions(
    path: str, was: types.FunctionType, now: types.FunctionType, found: Pairing
) -> Iterator[tuple[str, Any, Any]]:
    """Yield what two functions hold in cells or as attributes of one name, if it is a definition of the same name."""
    held = dict(zip(was.__code__.co_freevars, was.__closure__ or (), strict=True))
    for name, cell in zip(now.__code__.co_freevars, now.__closure__ or (), strict=True):
        before, after = contents(held[name]) if name in held else (), contents(cell)
        if before and after and _is_alike(before[0], after[0]):
            yield f"{path}.<{name}>", before[0], after[0]
    for name, value in vars_of(now).items():
        known = vars_of(was).get(name)
        if _is_alike(known, value) and not {id(known), id(value)} & found.outer.keys():
            yield f"{path}.{name}", known, value


def _is_alike(before: Any, after: Any) -> bool:
    return type(before) is type(after) is types.FunctionType and before.__qualname__ == after.__qualname__


def _inside_classes(path: str, was: type, now: type, found: Pairing) -> Iterator[tuple[str, Any, Any]]:
    before = members(was)
    for name, value in members(now).items():
        if name in before and not {id(core_of(before[name])), id(core_of(value))} & found.outer.keys():
            yield f"{path}.{name}", before[name], value


def _class_pair(path: str, was: type, now: type, found: Pairing) -> Pair:
    bases = tuple(found.partner.get(id(base), base) for base in now.__bases__)
    problem = layout_difference(was, now, bases == was.__bases__)
    return Pair(path, was, now, problem is None, problem or "")


def layout_difference(was: type, now: type, has_same_bases: bool) -> str | None:
    """Return why instances of one class cannot be instances of the other, None if they can; bases that pair are the same."""
    before, after = tuple(own_slots(was)), tuple(own_slots(now))
    if before != after:
        return f"its slots change from {before} to {after}"
    for name in ("__basicsize__", "__itemsize__", "__dictoffset__", "__weakrefoffset__"):
        if getattr(was, name) != getattr(now, name):
            return "the layout of its instances changes"
    if not has_same_bases and not can_take(now, "__bases__", was.__bases__):
        return f"its bases change from {_names(was.__bases__)} to {_names(now.__bases__)}, which have another layout"
    if type(was) is not type(now) and type(was).__qualname__ != type(now).__qualname__ and not can_take(now, "__class__", type(was)):
        return f"its metaclass changes from {type(was).__qualname__} to {type(now).__qualname__}"
    return None


def _names(bases: tuple[type, ...]) -> str:
    return ", ".join(base.__qualname__ for base in bases)


def can_take(cls: type, name: str, value: Any) -> bool:
    """Return whether CPython lets a class have these bases, or this metaclass; tried on the new class, which nobody uses yet."""
    descriptor = type.__dict__[name] if name == "__bases__" else object.__dict__[name]
    before = descriptor.__get__(cls)
    if before == value:
        return True
    try:
        descriptor.__set__(cls, value)
    except TypeError:
        return False
    descriptor.__set__(cls, before)
    return True
