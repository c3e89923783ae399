"""Data in the plan of an update: what is bound anew, refilled in place, merged item by item, or stays.

A live container or instance that is to be what a new one is takes its contents, so that whoever holds it follows; so do the instances
inside it, which stand in the same places. What stands at a place of its own, too, is decided about there.

An instance that statements work on (`app.title = "x"`, `@app.route("/")`) is merged attribute by attribute: so a registry gets what a new
body enters in it, and keeps what clients did.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any

from persistmod import classes, containers
from persistmod.bookkeeping import Account
from persistmod.changes import Changes
from persistmod.deciding import Decider, FindBase, Neighbours
from persistmod.dependence import Edit
from persistmod.merging import MISSING, is_at_work
from persistmod.namespace import is_around, is_declared, vars_of
from persistmod.pairing import Pairing, layout_difference, pair
from persistmod.plans import Step
from persistmod.typeflags import has_attributes

Find = Callable[[dict[str, Any]], Any]


class Values(Decider):
    """Plans the data of one module: `steps` are for people, `changes` for `applying`."""

    def __init__(
        self, module: str, live: dict[str, Any], scratch: dict[str, Any], made: dict[int, Any], edit: Edit, base: FindBase,
        retired: dict[str, Any], neighbours: Neighbours, is_apart: Callable[[str], bool] = lambda name: False,
    ) -> None:
        super().__init__(module, live, scratch, made, edit, base, retired, neighbours)
        self._is_apart = is_apart
        apart = {key: path for key, path in self._paths.items() if is_apart(path.partition(".")[0])}
        neighbours.new.update({key: f"{module}:{path}, new" for key, path in apart.items()})
        self.pairing: Pairing = pair(self.old, self.new, is_apart)
        self.pairing.partner.update(neighbours.modules)
        self.changes = Changes(stands_for=self.pairing.partner)
        self.steps: list[Step] = []
        self.removed_paths: list[str] = []
        self._standing: set[int] = set()
        self._places: set[int] | None = None
        self._overruled: set[str] = set()
        self._merged_into: set[int] = set()
        self._superseded = Account()  # {id of a live instance: the new one that has its name}

    def step(self, name: str, action: str, reason: str, seen: str = "") -> None:
        step = Step(name.partition(".<")[0], action, reason, seen)
        is_made_for_a_class = "." in step.name and step.name not in self.edit.bound and action != "refuse"
        if not is_made_for_a_class and step not in self.steps:
            self.steps.append(step)

    def plan_value(
        self, path: str, new: Any, current: Any, base: Find, bind: Callable[[Any], None]
    ) -> None:
        """Decide about data at one place, and have them bound, refilled or merged."""
        decision = self.decide(path, new, current, base)
        if decision == "take" and self.is_changed_since(current, base):
            self._overruled.add(path)
        if decision == "take" and not self._refill(path, new, current, base):
            bind(new)
        elif decision == "merge":
            self._merge(new, current, self.base_value(base))
            self.step(path, "update", "statements that work on it have changed", "the same object, with the new entries")
            if self._is_merged(new, current):
                self._merge_attributes(path, new, current, base)
        elif decision == "keep" and self._is_shared_no_more(new, current) and self.edit.affects(path):
            self.taken.append(path)
            bind(new)
        elif decision == "keep":
            self._stand_for(new, current)
            self._pair_instances(new, current)
            if self.edit.touches(path) and self._is_merged(new, current):
                self._merge_attributes(path, new, current, base)

    def _merge(self, new: Any, current: Any, base: Any) -> None:
        """Have a live container merged with the new one, and so what both, and the base if it is known, have in it under one key."""
        self._stand_for(new, current)
        self.changes.merges.append((current, new, base))
        if not isinstance(new, dict):
            return
        after, before, made = (MISSING if held is MISSING else containers.contents(held) for held in (new, current, base))
        for key in after:
            inner = after[key], before.get(key, MISSING), made if made is MISSING else made.get(key, MISSING)
            if self._is_merged_inside(*inner, made is not MISSING):
                self._merge(*inner)

    def _is_merged_inside(self, new: Any, current: Any, base: Any, is_known: bool) -> bool:
        is_open = new is not current and id(new) not in self.changes.stands_for and id(current) not in self._standing
        kinds = {containers.kind_of(type(value)) for value in (new, current, *([base] if is_known else ()))}
        is_one = len(kinds) == 1 and self._are_containers(new, current)
        return is_open and is_one and id(new) in self.made and not self.with_live.is_same(new, current)

    def _is_shared_no_more(self, new: Any, current: Any) -> bool:
        """Return whether a live object stands for another new one already."""
        return id(new) in self.made and id(current) in self._standing and id(new) not in self.changes.stands_for

    def _stand_for(self, new: Any, current: Any) -> None:
        """Let the live object stand for the new one, if the body made that and it is of the same kind; definitions have been paired."""
        if id(new) in self._paths:
            return
        if (id(new) in self.made or type(new) is object) and self._is_alike(new, current) and id(new) not in self.changes.stands_for:
            self.changes.stands_for[id(new)] = current
            self._standing.add(id(current))

    def _is_alike(self, new: Any, current: Any) -> bool:
        """Return whether a new and a live object are of one class, of this module, of one that is updated with it, or of another."""
        kind = type(new)
        if self.pairing.partner.get(id(kind), kind) is type(current):
            return True
        name = self._neighbours.new.get(id(kind))
        is_paired = name is not None and id(kind) not in self._paths and name == self._neighbours.live.get(id(type(current)))
        return is_paired and layout_difference(type(current), kind, True) is None

    def _refill(self, path: str, new: Any, current: Any, base: Find) -> bool:
        """Have a live container or instance take the contents of the new one, so that its holders follow."""
        if not self._is_alike(new, current) or id(new) not in self.made or id(new) in self.changes.stands_for:
            return False
        if self._is_apart(path):
            return False
        if not self._is_refillable(new, current):
            return False
        for after, before in self._instances_in(new, current, {*self._standing, *self._placed()}):
            is_open = id(after) not in self._placed() and id(after) not in self.changes.stands_for
            if is_open and self._is_refillable(after, before):
                self._stand_for(after, before)
                self.changes.refills.append((before, after))
        self._stand_for(new, current)
        self.changes.refills.append((current, new))
        self.step(path, "update", "its statement or what it reads has changed", "the same object, with the new contents")
        return True

    def _placed(self) -> set[int]:
        """Return the ids of what stands at places of its own, in the namespaces and classes of both versions: that is decided there."""
        if self._places is None:
            classes = [cls for found in self.pairing.classes for cls in (found.old, found.new)]
            namespaces = (self.live, self.scratch, *(cls.__dict__ for cls in classes))
            self._places = set(map(id, chain.from_iterable(namespace.values() for namespace in namespaces)))
        return self._places

    def _is_refillable(self, new: Any, current: Any) -> bool:
        """Return whether all that two instances differ in are attributes, slots and the contents of a container.

        What has a finalizer is left to it: it would finalize what the live instance has then. So is an instance of another module's class
        that hashes by value, since it may be a key somewhere, or has what cannot be pickled, a lock or a file, since it may be at work.
        """
        kind = type(current)
        if issubclass(kind, type) or any("__del__" in cls.__dict__ for cls in kind.__mro__):
            return False
        is_around_own = callable(current) and classes.is_made_in_python(kind) and is_around(current, self.live)
        is_own = is_declared(kind, self.module, self.live) or is_around_own
        base: Any = classes.built_in_base(kind)
        if base in classes.BY_VALUE:
            return is_own and bool(base.__eq__(new, current))
        if not classes.shows_all(base) or (issubclass(base, deque) and new.maxlen != current.maxlen):
            return False
        if is_own:
            return True
        by_identity: tuple[Any, ...] = (object.__hash__, None)
        return kind.__hash__ in by_identity and not is_at_work(new, self.made)

    def _pair_instances(self, new: Any, current: Any) -> None:
        """Let what is inside a live value stand for what is in the same places of the new one: all of it if the two are built alike."""
        for after, before in self.with_live.alike:
            if id(before) not in self._standing and not issubclass(type(after), type):
                self._stand_for(after, before)
        for after, before in self._instances_in(new, current, set()):
            self._stand_for(after, before)

    def _instances_in(self, new: Any, current: Any, taken: set[int]) -> Iterator[tuple[Any, Any]]:
        """Yield the instances inside a new value with those in the same places of a live one; none of `taken`, and none twice."""
        pending, seen = [(new, current)], set()
        while pending:
            after, before = pending.pop()
            if id(after) in seen or id(after) not in self.made or not has_attributes(type(after)):
                continue
            seen.add(id(after))
            if self._is_alike(after, before):
                if after is not new and id(before) not in taken:
                    taken.add(id(before))
                    yield after, before
                held, inner = vars_of(before), vars_of(after)
                pending += [(inner[name], held[name]) for name in inner if name in held]

    def is_gone(self, value: Any) -> bool:
        """Return whether a value is a definition of the live module that the new one has no more, or was bound to what has another now."""
        return super().is_gone(value) or (id(value) in self._superseded and id(value) not in self._standing)

    def superseded(self) -> dict[int, Any]:
        """Return `{id of a live instance: the new one}` where a name is bound to another instance, and nothing else keeps the old one."""
        return {key: new for key, new in self._superseded.items() if key not in self._standing}

    # Instances that statements work on

    def _is_merged(self, new: Any, current: Any) -> bool:
        kind = type(current)
        is_data = id(new) in self.made and has_attributes(type(new)) and id(new) not in self._paths
        return is_data and self._is_alike(new, current) and not classes.is_persistent(kind) and id(current) not in self._merged_into

    def _merge_attributes(self, path: str, new: Any, current: Any, base: Find) -> None:
        """Have a live instance take what statements that have changed made of the new one."""
        self._merged_into.add(id(current))
        decided = len(self.taken) + len(self.merged) + len(self.removed_paths)
        before, after = classes.values_of(current), classes.values_of(new)
        for name, value in after.items():
            self._merge_attribute(f"{path}.{name}", value, before.get(name, MISSING), partial(_attribute, base, name), current)
        for name in before.keys() - after.keys():
            inner = f"{path}.{name}"
            if inner in self.edit.bound and self.edit.affects(inner):
                self.removed_paths.append(inner)
                self.changes.attributes.append((current, name, MISSING))
        if len(self.taken) + len(self.merged) + len(self.removed_paths) > decided:
            self.merged.append(path)
            self.step(path, "update", "statements that work on it have changed", "the same object, with what they make of it")

    def _merge_attribute(self, path: str, new: Any, held: Any, base: Find, owner: Any) -> None:
        def bind(value: Any) -> None:
            self.changes.attributes.append((owner, path.rpartition(".")[2], value))

        is_unknown = self.base_value(base) is MISSING
        if held is MISSING:
            is_wanted = self.edit.affects(path) or (self.edit.touches(path) and is_unknown and self.with_base() is not None)
        else:  # what no statement binds, and nobody has changed since the last run, is what the new run makes
            is_open = self.edit.touches(path) and path not in self.edit.bound and not is_unknown
            is_open_inside = has_attributes(type(new)) or containers.kind_of(type(new)) is not None
            is_plain = not is_open_inside or not self._is_alike(new, held)
            is_wanted = is_open and is_plain and self._is_new(new, held, base)
        if is_wanted:
            self.taken.append(path)
            bind(new)
        elif held is not MISSING:
            self.plan_value(path, new, held, base, bind)

    def _is_new(self, new: Any, held: Any, base: Find) -> bool:
        return not (self.with_live.is_same(new, held) or self.is_base(new, base) or self.is_changed_since(held, base))


def _attribute(find: Find, name: str, base: dict[str, Any]) -> Any:
    return classes.values_of(find(base))[name]
