"""What became of a module, as events: pictures of it before and after a change, compared.

A picture is taken of live objects, so that an update, following, an abort and an undo are told alike, in the words of what happened in this
process. It is taken only if somebody listens.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from persistmod import containers, events
from persistmod.classes import values_of
from persistmod.functions import built_in_attributes, contents
from persistmod.merging import what_it_does
from persistmod.namespace import definitions, vars_of
from persistmod.opcodes import ATOMS
from persistmod.pairing import members

# What Python makes of a class, and where it stands.
_IMPLIED = frozenset((
    "__dict__", "__weakref__", "__module__", "_abc_impl", "__abstractmethods__", "__firstlineno__", "__static_attributes__",
    "__slotnames__",
))  # fmt: skip


class Parts(dict[Any, Any]):
    """What something is made of, `{path: part}`: objects of the module, which are held for no use of them; see `bookkeeping`."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A live definition: the parts of each attribute of a class, those of a function under the name ""."""

    live: Any
    attributes: Parts


@dataclass(frozen=True, slots=True)
class Picture:
    """A module at one moment; `revision` differs for any two versions of its code."""

    module: str
    version: int
    revision: object
    definitions: Parts
    leaks: frozenset[str]


def picture(name: str, version: int, revision: object, leaks: Iterable[str], module: types.ModuleType | None) -> Picture:
    """Take a picture of a module; without a live one it has no definitions."""
    found = {} if module is None else definitions(vars(module), name)
    outer = set(map(id, found.values()))
    pictures = Parts()
    for path, value in found.items():
        pictures.update(_definitions(path, value, outer))
    return Picture(name, version, revision, pictures, frozenset(leaks))


def _definitions(path: str, value: Any, outer: set[int]) -> Iterator[tuple[str, Definition]]:
    """Yield a definition, and the classes inside it, by canonical name; `outer` are the ids of definitions that are told by themselves."""
    if not issubclass(type(value), type):
        yield path, Definition(value, Parts({"": _parts(value, outer, is_opened=True)}))
        return
    attributes = {name: _parts(member, outer, id(member) not in outer) for name, member in value.__dict__.items() if name not in _IMPLIED}
    attributes |= {"__bases__": Parts(enumerate(value.__bases__)), "__class__": Parts({"": type(value)})}
    yield path, Definition(value, Parts(attributes))
    for name, member in members(value).items():
        if issubclass(type(member), type) and member.__module__ == value.__module__ and id(member) not in outer:
            if member.__qualname__ == f"{value.__qualname__}.{name}":
                outer.add(id(member))
                yield from _definitions(f"{path}.{name}", member, outer)


def _parts(value: Any, outer: set[int], is_opened: bool) -> Parts:
    """Return what a value is made of, as far as an update can change it in place."""
    if is_opened and type(value) is types.FunctionType and not (value.__closure__ or value.__dict__):
        inside = dict(_inside(value))
        if _WHOLE.issuperset(map(type, inside.values())):
            return Parts({(): value} | {(name,): part for name, part in inside.items()})
    parts, seen = Parts(), set()
    pending: list[tuple[tuple[Any, ...], Any, bool]] = [((), value, is_opened)]
    while pending:
        path, part, is_opened = pending.pop()
        parts[path] = type(part) if _is_told_by_its_contents(part) else part
        if not is_opened or id(part) in seen:
            continue
        seen.add(id(part))
        for name, item in _inside(part):
            if type(item) in _WHOLE:
                parts[(*path, name)] = item
            else:
                pending.append(((*path, name), item, id(item) not in outer and _is_opened(item)))
    return parts


# What is never looked into: most of what definitions are made of.
_WHOLE = frozenset((*ATOMS, types.CodeType, tuple, list, dict, set, frozenset))


def _is_told_by_its_contents(part: Any) -> bool:
    return isinstance(part, staticmethod | classmethod | property | types.MemberDescriptorType | types.GetSetDescriptorType)


def _is_opened(part: Any) -> bool:
    """Return whether something inside an attribute is looked into: the functions in decorators and descriptors."""
    return type(part) is types.FunctionType or _is_told_by_its_contents(part) or "__wrapped__" in vars_of(part)


def _inside(value: Any) -> Iterator[tuple[Any, Any]]:
    if issubclass(type(value), type | types.ModuleType):
        return
    if type(value) is types.FunctionType:
        yield "__code__", value.__code__
        yield from built_in_attributes(value).items()
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            yield from ((("cell", name), item) for item in contents(cell))
    elif isinstance(value, property):
        yield from ((name, getattr(value, name)) for name in ("fget", "fset", "fdel", "__doc__"))
    elif isinstance(value, staticmethod | classmethod):
        yield "__func__", value.__func__
    elif containers.kind_of(type(value)) is not None:
        held = containers.contents(value)
        yield from ((("item", index), item) for index, item in enumerate(held))
        yield from ((("value", index), item) for index, item in enumerate(held.values() if type(held) is dict else ()))
    yield from values_of(value).items()


# Comparing


def told(pairs: Iterable[tuple[Picture | None, Picture | None]]) -> list[events.Event]:
    """Return what became of modules, of each from its first picture to its last; None where it was not there, or is not."""
    changes: dict[str, tuple[Picture | None, Picture | None]] = {}
    for before, after in pairs:
        found = before or after
        if found is not None:
            changes[found.module] = (changes[found.module][0] if found.module in changes else before, after)
    return [event for before, after in changes.values() for event in between(before, after)]


def between(before: Picture | None, after: Picture | None) -> Iterator[events.Event]:
    """Yield what became of a module: of its definitions first, and last of itself."""
    if before is not None and after is not None:
        if before.revision != after.revision:
            yield from _definition_events(before, after)
            yield events.ModuleUpdated(after.module, after.version, before.version)
    elif after is not None:
        yield from _definition_events(_nothing(after.module), after)
        yield events.ModuleAdded(after.module, after.version)
    elif before is not None:
        yield from _definition_events(before, _nothing(before.module))
        yield events.ModuleRemoved(before.module, before.version)


def _nothing(module: str) -> Picture:
    return Picture(module, 0, None, Parts(), frozenset())


def _definition_events(before: Picture, after: Picture) -> Iterator[events.Event]:
    module = after.module
    for name, new in after.definitions.items():
        old = before.definitions.get(name)
        if old is None and "." in name:
            continue  # an attribute of the class around it
        if old is None or (name in before.leaks) != (name in after.leaks):
            kind = events.DefinitionLeaked if name in after.leaks else events.DefinitionCreated
            yield kind(module, name, new.live)
        elif issubclass(type(old.live), type) and issubclass(type(new.live), type):
            yield from _class_events(module, name, old, new)
        elif not _is_same(old.attributes.get(""), new.attributes.get("")):
            yield events.DefinitionUpdated(module, name, new.live)
    for name, old in before.definitions.items():
        if name not in after.definitions and "." not in name:
            yield events.DefinitionReaped(module, name, old.live)


def _class_events(module: str, name: str, old: Definition, new: Definition) -> Iterator[events.Event]:
    before, after = old.attributes, new.attributes
    added = tuple(key for key in after if key not in before)
    removed = tuple(key for key in before if key not in after)
    changed = tuple(key for key in after if key in before and not _is_same(before[key], after[key]))
    if added or removed or changed or old.live is not new.live:
        yield events.ClassUpdated(module, name, new.live, added, changed, removed)


def _is_same(before: Parts | None, after: Parts | None) -> bool:
    if before is None or after is None or before.keys() != after.keys():
        return False
    return all(_is_same_part(part, after[path]) for path, part in before.items())


def _is_same_part(before: Any, after: Any) -> bool:
    if before is after:
        return True
    if type(before) is not type(after):
        return False
    if type(before) is types.CodeType:
        return what_it_does(before) == what_it_does(after)  # wherever it stands
    return type(before) in ATOMS and bool(before == after)
