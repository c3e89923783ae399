"""The plan of an update: what becomes of every name, decided before anything is written.

A `Planner` compares the live namespace with the one that the new body filled aside. Definitions that pair are updated in place; data are
merged three ways (see `decide`). It writes nothing; what it decides is a `Plan`, a value to be shown or refused, and `Changes`,
what `updating` does to the live objects.
"""

from __future__ import annotations

import sys
import types
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from persistmod import classes, forwarding, places
from persistmod.datastate import IMPORT_SYSTEM
from persistmod.functions import built_in_attributes, contents
from persistmod.merging import MISSING
from persistmod.namespace import vars_of
from persistmod.pairing import Pair, core_of
from persistmod.typeflags import has_attributes
from persistmod.values import Values

WEAK = (weakref.WeakKeyDictionary, weakref.WeakValueDictionary, weakref.WeakSet)
_IMPLIED = frozenset(("__dict__", "__weakref__", "__module__", "_abc_impl", "__abstractmethods__", "__slotnames__", "__firstlineno__"))
_FROM_IMPORT = frozenset((*IMPORT_SYSTEM, "__name__", "__file__", "__package__"))
_OTHER_KIND = "it is another kind of callable now"


class Planner(Values):
    """Plans one module: `plan()`, then `steps` are for people, `changes` for `applying`, `removed` the names that went."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.removed: list[str] = []
        self.replacement: Any = None

    # The namespace

    def plan(self) -> None:
        """Decide about every name."""
        for found in list(self.pairing.functions):
            self._plan_function(found)
        for found in self.pairing.classes:
            self._plan_class(found)
        for found in self.pairing.caches:
            self._plan_cache(found)
        for name, value in sorted(self.scratch.items(), key=lambda item: self.edit.affects(item[0])):
            if not self._is_import_systems(name, value):
                self._plan_name(name, value)
        for name in list(self.live):
            if name not in self.scratch and self._was_bound(name):
                self.removed.append(name)
        paired = {id(found.new) for found in self.pairing.functions}
        for new, old in {id(pair[0]): pair for pair in self.with_live.moved}.values():
            if id(new) in self.made and id(new) not in paired and self.pairing.partner.get(id(new), old) is old:
                self.changes.functions.append((Pair(old.__qualname__, old, new), [], []))
        both = "; at run time it had changed, too, and the new value wins"
        self.steps = [replace(step, reason=step.reason + both) if step.name in self._overruled else step for step in self.steps]

    def _plan_cache(self, found: Pair) -> None:
        """Have a cache emptied if its function may give something else, and take what `functools.wraps` gave it."""
        if self.edit.affects(found.path) or self.edit.touches(found.path):
            self.taken.append(found.path)
            self.changes.stale.append(found.old)
            before, after = vars_of(found.old), vars_of(found.new) if found.keeps else {}
            self.changes.attributes += [(found.old, name, value) for name, value in after.items() if before.get(name, MISSING) is not value]

    def _is_import_systems(self, name: str, value: Any) -> bool:
        is_submodule = issubclass(type(value), types.ModuleType) and sys.modules.get(f"{self.module}.{name}") is value
        return name in _FROM_IMPORT or is_submodule

    def _was_bound(self, name: str) -> bool:
        """Return whether the source, not a client, has put a name into the live module."""
        if name in _FROM_IMPORT or self._is_import_systems(name, self.live[name]):
            return False
        if name in self.edit.bound or name in self._old_paths.values() or self.base_value(lambda base: base[name]) is not MISSING:
            return True
        starred = [vars(sys.modules[module]) for module in self.edit.starred if module in sys.modules]
        return any(namespace.get(name, MISSING) is self.live[name] for namespace in starred)

    def _plan_name(self, name: str, new: Any) -> None:
        current = self.live.get(name, MISSING)
        self._refuse_other_kind(name, current, new)
        if current is MISSING:
            self.step(name, "create", "")
            self.taken.append(name)
            self.changes.binds.append((name, new))
            return
        partner = self.pairing.partner.get(id(new), MISSING)
        if partner is current or new is current or (name == "__doc__" and self.with_live.is_same(new, current)):
            if id(current) in self._standing and self.edit.affects(name):
                self.taken.append(name)
            return
        if self._becomes_another_callable(name, current, new):
            self.taken.append(name)
            self._forward(Pair(name, current, new), _OTHER_KIND)
            return
        if name == "__doc__" or partner is not MISSING or self._is_definition(new) or self._is_definition(current):
            if name == "__doc__" or self.edit.affects(name):
                self._rebind(name, new)
            elif partner is MISSING:
                self.with_live.is_same(new, current)  # which notes the functions in it that have moved
            return
        self.plan_value(name, new, current, lambda base: base[name], lambda value: self._rebind(name, value))

    def _becomes_another_callable(self, name: str, current: Any, new: Any) -> bool:
        if type(current) is not types.FunctionType or self._old_paths.get(id(current)) != name or id(current) in self.pairing.taken:
            return False
        is_own = type(new) is types.FunctionType and id(new) in self.made
        return callable(new) and not is_own and self.edit.affects(name)

    def _is_definition(self, value: Any) -> bool:
        return core_of(value) is not None and (id(value) in self._paths or id(value) in self._old_paths or id(value) in self.made)

    def _rebind(self, name: str, new: Any) -> None:
        self.taken.append(name)
        self.changes.binds.append((name, new))
        current = self.live[name]
        if has_attributes(type(current)) and id(new) in self.made and id(new) not in self.changes.stands_for:
            self._superseded[id(current)] = new
        if not any(step.name == name for step in self.steps):
            self.step(name, "rebind", "its statement or what it reads has changed", "what is held stays as it was")

    def _refuse_other_kind(self, name: str, current: Any, new: Any) -> None:
        was = self._old_paths.get(id(current))
        if was != name:
            return
        if issubclass(type(current), type) and not issubclass(type(new), type) and type(new) is not types.FunctionType:
            self.step(name, "refuse", f"it was a class and would become {_kind(new)}")
        elif type(current) is types.FunctionType and not callable(new):
            self.step(name, "refuse", f"it was a function and would become {_kind(new)}")

    # Functions

    def _plan_function(self, found: Pair) -> None:
        if not found.keeps:
            if found.old.__globals__ is self.live or self.edit.affects(found.path):
                self._forward(found, found.reason)
            return
        attributes = self._function_attributes(found)
        cells = list(self._cells(found))
        if any(is_shared for old_cell, new_cell, is_shared in cells):
            for made in (found.new, *(found.new.__closure__ or ())):
                self.pairing.partner.pop(id(made), None)
            self._forward(found, "its cells are shared with other functions")
            return
        written = [(old_cell, new_cell) for old_cell, new_cell, is_shared in cells]
        if not forwarding.is_same_code(found.old.__code__, found.new.__code__) or attributes or written:
            self.changes.functions.append((found, attributes, written))
            if found.old.__code__.co_code != found.new.__code__.co_code or self.edit.affects(found.path):
                self.step(found.path, "update", self.edit.reason(found.path), "the same function, with the new code")

    def _forward(self, found: Pair, reason: str) -> None:
        self.changes.functions.append((Pair(found.path, found.old, found.new, False, reason), [], []))
        if "." not in found.path and self.live.get(found.path) is found.old:
            self.changes.binds.append((found.path, found.new))
        self.step(found.path, "forward", reason, "calls of the old function call the new one")

    def _function_attributes(self, found: Pair) -> list[tuple[str, Any]]:
        before, after = built_in_attributes(found.old), built_in_attributes(found.new)
        taken = [
            (name, after[name])
            for name in after
            if after[name] is not before[name]
            and self.decide(found.path, after[name], before[name], places.attribute(found.path, name)) != "keep"
        ]
        for name, value in found.new.__dict__.items():
            current = found.old.__dict__.get(name, MISSING)
            decision = self.decide(f"{found.path}.{name}", value, current, places.item(found.path, name))
            if decision == "take":
                self.changes.attributes.append((found.old, name, value))
        for name in found.old.__dict__:
            path = f"{found.path}.{name}"
            if name not in found.new.__dict__ and self.edit.affects(path) and self._is_bodys(path, found.path, name):
                self.removed_paths.append(path)
                self.changes.attributes.append((found.old, name, MISSING))
        return taken

    def _is_bodys(self, path: str, function: str, name: str) -> bool:
        return name == "__wrapped__" or path in self.edit.bound or self.base_value(places.item(function, name)) is not MISSING

    def _cells(self, found: Pair) -> Iterator[tuple[types.CellType, types.CellType, bool]]:
        """Yield (old cell, new cell, whether others share the old one) for cells whose contents change."""
        for index, cell in enumerate(found.new.__closure__ or ()):
            old_cell = found.old.__closure__[index]
            if cell is old_cell:
                continue
            self.changes.stands_for[id(cell)] = old_cell
            before, after = contents(old_cell), contents(cell)
            if not (before and after):
                continue
            if self.pairing.partner.get(id(after[0])) is before[0]:
                continue
            name = found.new.__code__.co_freevars[index]
            path = f"{found.path}.<{name}>"
            is_decorators = found.new.__globals__ is not self.scratch
            if is_decorators and isinstance(after[0], WEAK) and (self.edit.affects(path) or self.edit.touches(path)):
                self.changes.stale.append(before[0])  # what it found out about the functions of old, as singledispatch does
            taken: list[Any] = []
            self.plan_value(path, after[0], before[0], places.cell(found.path, name), taken.append)
            if taken:
                yield old_cell, cell, places.is_shared(old_cell, found.old)

    # Classes

    def _plan_class(self, found: Pair) -> None:
        if not found.keeps:
            self.step(found.path, "replace", found.reason, "instances are moved to the new class")
            return
        before = len(self.changes.class_attributes) + len(self.changes.class_bases)
        if self.edit.affects(found.path):
            self.taken.append(found.path)
        if found.new is not found.old:
            self._compare_classes(found)
        if len(self.changes.class_attributes) + len(self.changes.class_bases) > before or self.edit.affects(found.path):
            self.step(found.path, "update", self.edit.reason(found.path), "the same class; its instances have the new members")
        line = found.new.__dict__.get("__firstlineno__")
        if line is not None and line != found.old.__dict__.get("__firstlineno__"):
            self.changes.class_attributes.append((found.old, "__firstlineno__", line))  # where it stands is no part of what it is

    def _compare_classes(self, found: Pair) -> None:
        bases = tuple(self.pairing.partner.get(id(base), base) for base in found.new.__bases__)
        metaclass = self.pairing.partner.get(id(type(found.new)), type(found.new))
        if self.edit.affects(found.path):
            self._pair_composites(found)
            known = _names_of(found.old)
            self.changes.class_names += [(found.old, name, new) for name, new in _names_of(found.new) if (name, new) not in known]
        if (bases != found.old.__bases__ or metaclass is not type(found.old)) and self.edit.affects(found.path):
            self.changes.class_bases.append(found)
        for name, value in found.new.__dict__.items():
            if name not in _IMPLIED and not self._is_slot(found.new, value):
                self._plan_class_attribute(found, name, value)
        for name, value in found.old.__dict__.items():
            if name not in found.new.__dict__ and name not in _IMPLIED and not self._is_slot(found.old, value):
                self._plan_removed_attribute(found, name)
        if "_abc_impl" in found.old.__dict__ and "_abc_impl" in found.new.__dict__:
            self._plan_registry(found)

    def _pair_composites(self, found: Pair) -> None:
        """Let the members of a flag that were made when somebody asked for them be those that the new class makes of their values."""
        for current, new in classes.composites(found.old, found.new):
            if id(new) not in self.made:
                self.made[id(new)] = new
                self._stand_for(new, current)
                self.changes.refills.append((current, new))
        for current, new in classes.inverted(found.old, found.new):
            self.changes.attributes.append((current, "_inverted_", new))

    def _plan_registry(self, found: Pair) -> None:
        """Have an ABC know the classes that the new body registers, and not those that only the old one did."""
        current, new = classes.registered(found.old), classes.registered(found.new)
        base = self.base_value(places.registry(found.path))
        bodys = [] if base is MISSING else [cls for cls in current if any(self.is_base_of(known, cls) for known in base)]
        kept = [cls for cls in current if cls not in bodys or any(self.with_live.is_same(known, cls) for known in new)]
        come = [cls for cls in new if not any(self.with_live.is_same(cls, known) for known in current)]
        if come or len(kept) < len(current):
            self.changes.registries.append((found.old, [*kept, *come]))

    @staticmethod
    def _is_slot(cls: type, value: Any) -> bool:
        return type(value) in (types.MemberDescriptorType, types.GetSetDescriptorType) and value.__objclass__ is cls

    def _plan_class_attribute(self, found: Pair, name: str, new: Any) -> None:
        current = found.old.__dict__.get(name, MISSING)
        path = f"{found.path}.{name}"

        def bind(value: Any) -> None:
            self.changes.class_attributes.append((found.old, name, value))

        if current is MISSING:
            if self.edit.affects(path):
                self.taken.append(path)
                bind(new)
        elif self._is_in_place(new, current):
            self.changes.stands_for.setdefault(id(new), current)
            self._standing.add(id(current))
        elif core_of(new) is not None or core_of(current) is not None:
            if self.edit.affects(path) or (self.edit.affects_members(found.path) and not self._is_clients(path, new, current)):
                self.taken.append(path)
                bind(new)
                if self._is_own_method(current, new) and self._becomes_another_callable(path, current, new):
                    self._forward(Pair(path, current, new), _OTHER_KIND)
        else:
            self.plan_value(path, new, current, places.class_item(path), bind)

    def _is_own_method(self, current: Any, new: Any) -> bool:
        """Return whether a function of the module stays a method of its kind."""
        return type(new) is not staticmethod and type(current) is types.FunctionType and current.__globals__ is self.live

    def _is_clients(self, path: str, new: Any, current: Any) -> bool:
        """Return whether a class has what somebody put there in place of what its unchanged statement makes."""
        return path in self.edit.bound and (self.is_base(new, places.class_item(path)) or not self._is_own_of_old(core_of(current)))

    def _is_in_place(self, new: Any, current: Any) -> bool:
        """Return whether a method, of any kind, is the one that its function's partner is held by already."""
        partner = self.pairing.partner.get(id(new), MISSING)
        if partner is not MISSING:
            return partner is current
        if type(new) is not type(current):
            return False
        if isinstance(new, staticmethod | classmethod):
            return self._is_in_place(new.__func__, current.__func__)
        if type(new) is property:
            parts = [(getattr(new, name), getattr(current, name)) for name in ("fget", "fset", "fdel")]
            same = all(after is before or self._is_in_place(after, before) for after, before in parts)
            return same and self.with_live.is_same(new.__doc__, current.__doc__)
        return False

    def _plan_removed_attribute(self, found: Pair, name: str) -> None:
        path = f"{found.path}.{name}"
        is_generated = name.startswith("__") and self.edit.affects(found.path)
        if path in self.edit.bound or is_generated or self.base_value(places.class_item(path)) is not MISSING:
            self.removed_paths.append(path)
            self.changes.class_attributes.append((found.old, name, MISSING))


def _names_of(cls: type) -> list[tuple[str, str]]:
    return [(name, type.__dict__[name].__get__(cls)) for name in ("__name__", "__qualname__")]


def _kind(value: Any) -> str:
    return "a module" if isinstance(value, types.ModuleType) else f"{type(value).__name__} {value!r:.40}"
