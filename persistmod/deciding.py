"""The three-way merge: *base* is what the body made when it last ran, *current* what lives, *new* what the new body made.

The new value counts only if the statement that binds it, or something that this reads, has changed, and the value differs from the base.
Otherwise the current one stays: a counter, a cache, what a client put there.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from persistmod import classes, containers, holders
from persistmod.dependence import Edit
from persistmod.merging import MISSING, Comparison, paths_of
from persistmod.namespace import has_own_globals, is_declared, vars_of
from persistmod.pairing import Side, classes_of

FindBase = Callable[[], dict[str, Any] | None]
ATOMS = frozenset((types.NoneType, bool, int, float, complex, str, bytes, types.EllipsisType))


@dataclass(slots=True)
class Neighbours:
    """The modules that are updated together: `{id of a scratch module: live module}`, and the names of their definitions by id.

    `namespaces`: `{id of the namespace of a scratch module: that of the live one}`. `added`: ids of what modules have that were imported
    first meanwhile.
    """

    modules: dict[int, Any] = field(default_factory=dict)
    namespaces: dict[int, dict[str, Any]] = field(default_factory=dict)
    added: frozenset[int] = frozenset()
    new: dict[int, str] = field(default_factory=dict)
    live: dict[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, modules: Iterable[tuple[types.ModuleType, types.ModuleType]], added: Iterable[str]) -> Neighbours:
        """Return those of (scratch module, live module), and of the names of modules that were imported first."""
        pairs = list(modules)
        namespaces = {id(vars(scratch)): vars(live) for scratch, live in pairs}
        return cls({id(scratch): live for scratch, live in pairs}, namespaces, _ids_in(added))

    @staticmethod
    def name(names: dict[int, str], module: str, paths: Mapping[int, str], guests: Mapping[int, str]) -> None:
        """Add the names of the definitions of a module; what a class of it has of another module is named by that one."""
        names |= {key: f"{module}:{path}" for key, path in paths.items() if key not in guests}
        names |= {key: f"{guests[key]}:{module}:{path}" for key, path in paths.items() if key in guests and key not in names}


def _ids_in(names: Iterable[str]) -> frozenset[int]:
    """Return the ids of imported modules, and of what stands in them and has an identity."""
    modules = [sys.modules[name] for name in names if name in sys.modules]
    values = [value for module in modules for value in (module, *vars_of(module).values())]
    return frozenset(id(value) for value in values if type(value) not in ATOMS)


class Decider:
    """Decides about values by path. `base`: the namespace of the last run, asked for only if it is needed; None if unknown.

    `taken` and `merged` are the paths whose new values count, wholly or item by item: what another process needs to follow.
    """

    def __init__(
        self, module: str, live: dict[str, Any], scratch: dict[str, Any], made: dict[int, Any], edit: Edit, base: FindBase,
        retired: dict[str, Any], neighbours: Neighbours,
    ) -> None:
        made = holders.with_dictionaries(made, scratch)
        self.module, self.live, self.scratch, self.made, self.edit = module, live, scratch, made, edit
        self.old = Side(module, live, self._is_own_of_old, retired)
        self.new = Side(module, scratch, lambda value: id(value) in made, stands_for=neighbours.namespaces)
        self._load_base = cache(base)
        self._base: dict[str, Any] | None = None
        self._with_base: Comparison | None = None
        self._base_paths: dict[int, str] = {}
        guests: dict[int, str] = {}
        self._paths = paths_of(self.new, guests)
        self._new_names = set(self._paths.values())
        self._old_paths = paths_of(self.old, guests)
        self._neighbours = neighbours
        neighbours.name(neighbours.new, module, self._paths, guests)
        neighbours.name(neighbours.live, module, self._old_paths, guests)
        neighbours.live.update({id(live): f"{id(live)}" for live in neighbours.modules.values()})
        neighbours.new.update({key: f"{id(live)}" for key, live in neighbours.modules.items()})
        self.with_live = Comparison(neighbours.new, neighbours.live)
        self.live_with_base = self.with_live  # until there is a base
        self.taken: list[str] = []
        self.merged: list[str] = []

    def _is_own_of_old(self, value: Any) -> bool:
        """Return whether an object of the live module was made by its body: what can be imported from elsewhere was not."""
        if type(value) is types.FunctionType:
            is_own = value.__globals__ is self.live or "<locals>" in value.__code__.co_qualname
            return is_own or (has_own_globals(value) and is_declared(value, self.module, self.live))
        return not issubclass(type(value), type) or is_declared(value, self.module, self.live)

    def decide(self, path: str, new: Any, current: Any, base: Callable[[dict[str, Any]], Any]) -> str:
        """Return what becomes of a value: "keep" the current one, "take" the new one, or "merge" the new into the current one.

        `base` finds the value in the namespace of the last run. It is no help for what a module has that was imported first in this run:
        where the base refers to a name, that is found as it is now.
        """
        if self.with_live.is_same(new, current):
            return "keep"
        is_touched = self.edit.touches(path)
        is_affected = self.edit.affects(path) or self._may_be_generated(path, new, base)
        if not (is_touched or is_affected):
            return "keep"
        is_affected = is_affected and (id(new) in self._neighbours.added or not self.is_base(new, base))
        if is_affected and path.endswith(">") and self._adds_to(new, current, base):
            self.merged.append(path)
            return "merge"
        if is_affected:
            self.taken.append(path)
            return "take"
        if is_touched and self._are_containers(new, current) and not self.is_base(new, base):
            self.merged.append(path)
            return "merge"
        return "keep"

    def _adds_to(self, new: Any, current: Any, base: Callable[[dict[str, Any]], Any]) -> bool:
        """Return whether the body adds to a container that a function holds, and others may have, too, as to that of singledispatch.

        Where nothing tells what it made before, only what has keys can be added to.
        """
        if not self._are_containers(new, current):
            return False
        return isinstance(new, dict) if self.base_value(base) is MISSING else self.is_changed_since(current, base)

    def _are_containers(self, new: Any, current: Any) -> bool:
        """Return whether two values are containers of one class."""
        return containers.kind_of(type(new)) is not None and self.with_live.are_of_one_class(new, current)

    def _may_be_generated(self, path: str, new: Any, base: Callable[[dict[str, Any]], Any]) -> bool:
        """Return whether a metaclass or a decorator that may be another now could have put a value where the class body had one.

        Where nothing tells what the body made, only an instance of a class of the module is taken for that, no counter or registry.
        """
        owner = path.rpartition(".")[0]
        if not owner or not self.edit.affects(owner):
            return False
        return self.base_value(base) is not MISSING or is_declared(type(new), self.module, self.scratch)

    def with_base(self) -> Comparison | None:
        """Return the comparison of new values with those of the base, None if there is none."""
        return self._with_base

    def is_base(self, new: Any, find: Callable[[dict[str, Any]], Any]) -> bool:
        base = self.base_value(find)
        return self._with_base is not None and self._with_base.is_same(new, base)

    def is_base_of(self, base: Any, current: Any) -> bool:
        """Return whether a definition of the base is that of the live module, or one object of another module."""
        path = self._old_paths.get(id(current))
        return base is current if path is None else self._base_paths.get(id(base)) == path

    def is_changed_since(self, current: Any, base: Callable[[dict[str, Any]], Any]) -> bool:
        """Return whether a live value is known to be another than the one that the last run made."""
        made = self.base_value(base)
        return made is not MISSING and not self.live_with_base.is_same(current, made)

    def is_gone(self, value: Any) -> bool:
        """Return whether a value is a definition of the live module that the new one has no more."""
        path = self._old_paths.get(id(value))
        return path is not None and path not in self._new_names

    def base_value(self, find: Callable[[dict[str, Any]], Any]) -> Any:
        """Return a value of the base, MISSING if it has none there or there is no base."""
        if self._with_base is None:
            self._base = self._load_base()
            if self._base is None:
                return MISSING
            for _, cls in classes_of(self._base, self.module):
                classes.leave_bases(cls)
            side = Side(self.module, self._base, lambda value: True)
            guests: dict[int, str] = {}
            self._base_paths = paths_of(side, guests)
            names = dict(self._neighbours.live)
            self._neighbours.name(names, self.module, self._base_paths, guests)
            self._with_base = Comparison(self._neighbours.new, names)
            self.live_with_base = Comparison(self._neighbours.live, names)
        try:
            return find(self._base or {})
        except (KeyError, AttributeError, IndexError, TypeError, ValueError):
            return MISSING
