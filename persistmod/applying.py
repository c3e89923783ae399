"""Applying a plan to live objects: what was made aside is relinked, then written into what lives, with every write in a journal.

Nothing is decided here. Relinking touches new objects only; all writes to older ones go through `Writes`, so that each can be taken back.
"""

from __future__ import annotations

import abc
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from persistmod import classes, containers, forwarding, replacing
from persistmod.classes import slot_of, values_of
from persistmod.functions import contents
from persistmod.merging import MISSING, Comparison, Pool
from persistmod.namespace import vars_of
from persistmod.pairing import Pair
from persistmod.planning import Planner
from persistmod.relinking import Relinker
from persistmod.writes import Writes, uninterrupted


def write(changes: list[Ready], writes: Writes) -> None:
    """Write what was decided about some modules."""
    with uninterrupted():
        for ready in changes:
            ready.write(writes)
        for ready in changes:
            ready.fill(writes)
        for ready in changes:
            if ready.planner.replacement is not None:
                replacing.write(ready.planner.replacement, writes)


def bind_added(names: Iterable[str], modules: Mapping[str, tuple[types.ModuleType, types.ModuleType]], writes: Writes) -> None:
    """Bind modules that were imported first in their live packages, if they are bound in the scratch modules that stood there.

    `modules`: `{name: (scratch module, live module)}`.
    """
    for name in names:
        parent, _, child = name.rpartition(".")
        scratch, live = modules.get(parent, (None, None))
        if live is not None and name in sys.modules and vars_of(scratch).get(child) is sys.modules[name]:
            writes.bind(vars(live), child, sys.modules[name])


class Ready:
    """The changes of a plan, relinked: all that is new is in order before the first write. `removed`: names to delete."""

    def __init__(self, planner: Planner, relinker: Relinker, removed: list[str]) -> None:
        self.removed = removed
        changes, resolve = planner.changes, relinker.resolve
        self.planner, self.live, self._relinker = planner, planner.live, relinker
        self.binds = [(name, resolve(value)) for name, value in changes.binds]
        self.attributes = [(target, name, resolve(value)) for target, name, value in changes.attributes]
        self.class_attributes = [(cls, name, resolve(value)) for cls, name, value in changes.class_attributes]
        self.bases = [(pair.old, tuple(map(resolve, pair.new.__bases__)), resolve(type(pair.new))) for pair in changes.class_bases]
        self.registries = [(cls, [resolve(registered) for registered in known]) for cls, known in changes.registries]
        self.functions = [self._function(relinker, *entry) for entry in changes.functions]
        self.refills = [(current, *_contents_of(new, resolve)) for current, new in changes.refills]
        self.merges = [self._merged(resolve, *entry) for entry in changes.merges]
        self.stale = changes.stale
        for cls in changes.remade:
            resolve(cls)
        relinker.finish()

    @staticmethod
    def _function(
        relinker: Relinker, pair: Pair, attributes: list[tuple[str, Any]], cells: list[tuple[types.CellType, types.CellType]]
    ) -> tuple[Pair, Any, list[tuple[str, Any]], list[tuple[Any, Any]]]:
        """Return what a function takes; `stand_in` answers calls meanwhile, or for good."""
        resolved = [(name, _resolved_attribute(name, value, relinker.resolve)) for name, value in attributes]
        new_cells = [(cell, relinker.resolve(value)) for cell, source in cells for value in contents(source)]
        if not pair.keeps:
            return pair, relinker.resolve(pair.new), [], []
        stand_in = relinker.copy_of(pair.new) if attributes or cells else None
        return pair, stand_in, resolved, new_cells

    def _merged(self, resolve: Any, current: Any, new: Any, base: Any) -> tuple[Any, Any]:
        """Return a container and what it holds after the merge: what the new body has and the old had not is added or exchanged."""
        planner, known = self.planner, base is not MISSING
        same = planner.with_base() if known else None
        if known and planner.live_with_base.is_same(current, base):
            return current, _contents_of(new, resolve)[0]
        before, new, base = (MISSING if held is MISSING else containers.contents(held) for held in (current, new, base))
        if type(new) is dict:
            merged = _merged_dict(before, new, base if known else {}, same, resolve, planner.is_gone)
            gone = [key for key, value in merged.items() if key not in new and (planner.is_gone(value) or planner.is_gone(key))]
            held = {key: value for key, value in merged.items() if key not in gone}
            bodys = dict.fromkeys(map(resolve, new))
            return current, {key: held[key] for key in (held if held.keys() - bodys.keys() else bodys) if key in held}
        kept = [item for item in before if not planner.is_gone(item)]
        if same is not None:
            kept, new = _without_common(kept, new, base, same, planner)
        live = Pool(kept, planner.with_live)
        found = [(live.taken(item, resolve(item)), item) for item in new]
        if same is None and not live.rest():  # nothing of clients: the order is the body's
            return current, [taken[0] if taken else resolve(item) for taken, item in found]
        return current, [*kept, *(resolve(item) for taken, item in found if not taken)]

    def write(self, writes: Writes) -> None:
        self._forget_subclasses(writes)
        for cls, bases, metaclass in self.bases:
            if bases != cls.__bases__:
                writes.set_by(type.__dict__["__bases__"], cls, bases)
            if metaclass is not type(cls):
                writes.set_by(object.__dict__["__class__"], cls, metaclass)
        for cls, name, value in self.planner.changes.class_names:
            writes.set_by(type.__dict__[name], cls, value)
        for cls, name, value in self.class_attributes:
            writes.delete_class_attribute(cls, name) if value is MISSING else writes.set_class_attribute(cls, name, value)
        for current, _, attributes in self.refills:
            _refill_attributes(writes, current, attributes)
        for target, name, value in self.attributes:
            _write_attribute(writes, target, name, value)
        for entry in self.functions:
            _write_function(writes, *entry)
        self._write_abstract(writes)
        for cls, known in self.registries:
            before = classes.registered(cls)
            writes.do(partial(classes.register_only, cls, known), partial(classes.register_only, cls, before))
        self._forget_subclasses(writes)
        for name, value in self.binds:
            writes.bind(self.live, name, value)
        for name in self.removed:
            writes.unbind(self.live, name)
        for cache in self.stale:
            _clear(writes, cache)

    def fill(self, writes: Writes) -> None:
        """Fill containers, when the attributes and methods that tell the hash of an item are written."""
        self._relinker.hash_again()
        for current, held in (*(refill[:2] for refill in self.refills), *self.merges):
            if held is not None:
                writes.refill(current, held)

    def _write_abstract(self, writes: Writes) -> None:
        """Have abstract classes, and their subclasses everywhere, know what is abstract now."""
        for pair in self.planner.pairing.classes:
            if pair.keeps and isinstance(pair.old, abc.ABCMeta):
                for cls in _with_subclasses(pair.old):
                    abstract = _abstract_of(cls)
                    if cls.__dict__.get("__abstractmethods__", abstract) != abstract:
                        writes.set_by(type.__dict__["__abstractmethods__"], cls, abstract)

    def _forget_subclasses(self, writes: Writes) -> None:
        """Have abstract classes find out anew what is a subclass of them: after the other writes, and before them for an undo."""
        for pair in self.planner.pairing.classes:
            if pair.keeps and "_abc_impl" in pair.old.__dict__:
                forget = partial(classes.forget_subclasses, pair.old)
                writes.do(forget, forget)


def _write_attribute(writes: Writes, target: Any, name: str, value: Any) -> None:
    slot = slot_of(type(target), name)
    if slot is None:
        writes.unbind(vars_of(target), name) if value is MISSING else writes.bind(vars_of(target), name, value)
    else:
        writes.empty(slot, target) if value is MISSING else writes.set_by(slot, target, value)


def _resolved_attribute(name: str, value: Any, resolve: Any) -> Any:
    return {key: resolve(item) for key, item in value.items()} if name == "__annotations__" else resolve(value)


def _write_function(writes: Writes, pair: Pair, stand_in: Any, attributes: list[tuple[str, Any]], cells: list[tuple[Any, Any]]) -> None:
    """Give a function its new state. Code that needs neither defaults nor cells answers calls until all of it is there."""
    if stand_in is not None:
        writes.set_code(pair.old, forwarding.forwarder(stand_in, pair.old.__code__))
    if not pair.keeps:
        writes.bind(vars_of(pair.old), "__wrapped__", stand_in)  # what `inspect.signature` looks through
        return
    for name, value in attributes:
        writes.set(pair.old, name, value)
    for cell, value in cells:
        writes.set(cell, "cell_contents", value)
    writes.set_code(pair.old, forwarding.fitted(pair.new.__code__, pair.old.__code__.co_freevars))


def _contents_of(new: Any, resolve: Any) -> tuple[Any, dict[str, Any]]:
    """Return (what a container holds or None, attributes) of what a live container or instance is refilled with."""
    held: Any = None if containers.kind_of(type(new)) is None else containers.contents(new)
    if type(held) is dict:
        held = [(resolve(key), resolve(value)) for key, value in held.items()]
    elif held is not None:
        held = [resolve(item) for item in held]
    return held, {name: resolve(value) for name, value in values_of(new).items()}


def _refill_attributes(writes: Writes, current: Any, attributes: dict[str, Any]) -> None:
    slots = {name: slot for name in {*attributes, *values_of(current)} if (slot := slot_of(type(current), name)) is not None}
    for name, slot in slots.items():
        writes.set_by(slot, current, attributes[name]) if name in attributes else writes.empty(slot, current)
    held = {name: value for name, value in attributes.items() if name not in slots}
    before = vars_of(current)
    if before.keys() != held.keys() or any(before[name] is not value for name, value in held.items()):
        writes.refill(before, held)


def _merged_dict(
    current: Any, new: Any, base: Any, same: Comparison | None, resolve: Any, is_gone: Callable[[Any], bool]
) -> dict[Any, Any]:
    merged = dict(current)
    for key, value in new.items():
        if same is None:
            is_wanted = key not in current or is_gone(current[key])
        else:
            is_wanted = not same.is_same(value, base.get(key, MISSING))
        if is_wanted:
            merged[resolve(key)] = resolve(value)
    for key in base:
        if key not in new:
            merged.pop(key, None)
    return merged


def _without_common(kept: list[Any], new: Any, base: Any, same: Comparison, planner: Planner) -> tuple[list[Any], list[Any]]:
    """Return what is kept without what the new body has no more, and what the new body has and the old had not."""
    known = Pool(base, same)
    added = [item for item in new if not known.take(item)]
    gone = Pool(known.rest(), planner.live_with_base)
    return [item for item in kept if not gone.take(item)], added


def _clear(writes: Writes, cache: Any) -> None:
    """Empty a cache that the body made; it fills again by itself, also after an undo."""
    clear = getattr(cache, "cache_clear", None) or cache.clear
    writes.do(clear, clear)


def _with_subclasses(cls: type) -> list[type]:
    found: dict[type, None] = {}
    pending = deque([cls])
    while pending:
        cls = pending.popleft()
        if cls not in found:
            found[cls] = None
            pending.extend(type.__subclasses__(cls))
    return list(found)


def _abstract_of(cls: type) -> frozenset[str]:
    """Return the abstract methods of a class, as `ABCMeta.__new__` finds them."""
    own = {name for name, value in cls.__dict__.items() if getattr(value, "__isabstractmethod__", False)}
    for base in cls.__bases__:
        for name in getattr(base, "__abstractmethods__", ()):
            if getattr(getattr(cls, name, None), "__isabstractmethod__", False):
                own.add(name)
    return frozenset(own)
