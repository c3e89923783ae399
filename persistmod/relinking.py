"""Relinking: inside what a new body made, every reference to a definition that lives already becomes a reference to the live one.

The new objects themselves are used, not copies: lists, dictionaries, instances, cells and classes are changed in place. What cannot be
(tuples, bound methods, objects in C) is made again from its parts, by the reducers of the walk, and stands in from then on. A function
keeps its globals for life, so one that has those of the scratch module is made again with the globals of the live module.

`resolve` gives the object that stands for a new one; what is reachable from it is put right by `finish`. Nothing here touches an object
that the body did not make.
"""

from __future__ import annotations

import gc
import types
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

from persistmod import containers, rebuilding, reducers
from persistmod.bookkeeping import Account, Notes
from persistmod.classes import (
    BY_VALUE,
    DESCRIPTORS,
    built_in_base,
    descriptor_parts,
    is_persistent,
    keeps_nothing,
    set_value,
    slot_value,
    slots_of,
    value_of,
    values_of,
)
from persistmod.functions import contents, copy_attributes
from persistmod.namespace import vars_of
from persistmod.redirecting import is_subclass_entry
from persistmod.writes import set_in_class

ATOMS = (types.NoneType, bool, int, float, complex, str, bytes, types.CodeType, types.EllipsisType)


class Relinker:
    """One relinking: `stands_for` is `{id of a new object: the live one}`, `made` what the bodies made, by id.

    `namespaces` is `{id of a scratch namespace: (that, the live one)}`; `lived` are the ids of the live objects of the beginning.
    """

    def __init__(
        self, stands_for: Account, made: Account, namespaces: dict[int, tuple[dict[str, Any], dict[str, Any]]]
    ) -> None:
        self.stands_for = stands_for
        self.lived = set(map(id, stands_for.values()))
        self.made = made
        self.namespaces = namespaces
        stands_for.update({key: live for key, (scratch, live) in namespaces.items()})
        self._pending: deque[Callable[[], None]] = deque()
        self._unhashed: deque[tuple[Any, list[Any]]] = deque()
        self._seen: set[int] = set()
        # What is written past a class stays unseen by CPython's cache of methods, which owns nothing.
        classes = [value for value in made.values() if issubclass(type(value), type)]
        self._class_of = {id(namespace): cls for cls in classes for namespace in gc.get_referents(cls.__dict__)}
        self._keep = Notes()  # ids must stay taken

    def resolve(self, value: Any) -> Any:
        """Return what stands for a value; what it contains is put right later."""
        kind = type(value)
        if kind in ATOMS:
            return value
        known = self.stands_for.get(id(value), self)
        if known is not self:
            return known
        if id(value) in self._seen or not self._is_new(value):
            return value
        return self._begin(value, kind)

    def finish(self) -> None:
        """Put right everything that is reachable from what was resolved."""
        while self._pending:
            self._pending.popleft()()

    def hash_again(self) -> None:
        """Put right sets, and dictionaries whose keys are others now: when what a hash is made of is there, methods and attributes."""
        while self._unhashed:
            value, changed = self._unhashed.popleft()
            containers.fill(value, changed)

    def _is_new(self, value: Any) -> bool:
        """Return whether the body made a value. An object without references to others is not tracked, and needs nothing."""
        return id(value) in self.made

    def _begin(self, value: Any, kind: type) -> Any:
        self._keep.append(value)
        if kind is types.FunctionType:
            return self._function(value)
        if kind is tuple or kind is frozenset:
            return self._immutable(value, kind)
        self._seen.add(id(value))
        if id(value) in self._class_of:
            self._pending.append(lambda: self._namespace(self._class_of[id(value)]))
        elif kind in _IN_PLACE:
            self._pending.append(lambda: _IN_PLACE[kind](self, value))
        elif issubclass(kind, type):
            self._pending.append(lambda: self._class(value))
        elif is_persistent(kind) or _is_changed_in_place(kind):
            return self._instance(value, kind)
        else:
            return self._made_again(value, kind)
        return value

    # Functions

    def _function(self, value: types.FunctionType) -> Any:
        globals_ = self.stands_for.get(id(value.__globals__), value.__globals__)
        if globals_ is value.__globals__ and not any(id(cell) in self.stands_for for cell in value.__closure__ or ()):
            self._seen.add(id(value))
            self._pending.append(lambda: self._refill_function(value, value))
            return value
        cells = tuple(self.resolve(cell) for cell in value.__closure__ or ()) or None
        function = types.FunctionType(value.__code__, globals_, value.__name__, None, cells)
        self.stands_for[id(value)] = function
        self._pending.append(lambda: self._refill_function(function, value))
        return function

    def copy_of(self, value: types.FunctionType) -> Any:
        """Return a new function like `value` with the live globals; it stands for nothing."""
        cells = tuple(self._cell_like(cell) for cell in value.__closure__ or ()) or None
        globals_ = self.stands_for.get(id(value.__globals__), value.__globals__)
        function = types.FunctionType(value.__code__, globals_, value.__name__, None, cells)
        self._pending.append(lambda: self._refill_function(function, value))
        return function

    def _cell_like(self, cell: types.CellType) -> types.CellType:
        """Return the new cell of a stand-in, with its contents resolved; the live cell may hold something else still."""
        copy = types.CellType(*contents(cell))
        self._pending.append(lambda: self._cell(copy))
        return copy

    def _refill_function(self, function: types.FunctionType, source: types.FunctionType) -> None:
        """Give a function the state of its source, resolved."""
        for cell in source.__closure__ or ():
            self.resolve(cell)
        copy_attributes(function, source, self.resolve)

    def _cell(self, cell: types.CellType) -> None:
        for value in contents(cell):
            resolved = self.resolve(value)
            if resolved is not value:
                cell.cell_contents = resolved

    # Containers

    def _immutable(self, value: Any, kind: type) -> Any:
        """Resolve nested tuples and frozensets from the inside out, without recursion."""
        stack = [value]
        while stack:
            current = stack[-1]
            inner = [item for item in current if type(item) in (tuple, frozenset) and self._is_open(item)]
            if inner and id(current) not in self._seen:
                self._seen.add(id(current))
                stack += inner
                continue
            stack.pop()
            self._seen.add(id(current))
            items = [self.resolve(item) for item in current]
            if any(item is not before for item, before in zip(items, current, strict=True)):
                self._keep.append(current)
                self.stands_for[id(current)] = type(current)(items)
        return self.stands_for.get(id(value), value)

    def _is_open(self, value: Any) -> bool:
        return id(value) not in self._seen and id(value) not in self.stands_for and self._is_new(value)

    def _list(self, value: list[Any]) -> None:
        for index, item in enumerate(list.__iter__(value)):
            resolved = self.resolve(item)
            if resolved is not item:
                list.__setitem__(value, index, resolved)

    def _deque(self, value: deque[Any]) -> None:
        for index, item in enumerate(list(deque.__iter__(value))):
            resolved = self.resolve(item)
            if resolved is not item:
                deque.__setitem__(value, index, resolved)

    def _dict(self, value: dict[Any, Any]) -> None:
        changed: list[tuple[Any, Any]] = []
        moved = False
        for key, item in list(dict.items(value)):
            if is_subclass_entry(key, item):
                return
            new_key, resolved = self.resolve(key), self.resolve(item)
            changed.append((new_key, resolved))
            moved = moved or new_key is not key
            if resolved is not item and not moved:
                dict.__setitem__(value, key, resolved)
        if moved:
            self._unhashed.append((value, changed))

    def _set(self, value: set[Any]) -> None:
        items = list(set.__iter__(value))
        resolved = [self.resolve(item) for item in items]
        if any(item is not before for item, before in zip(resolved, items, strict=True)):
            self._unhashed.append((value, resolved))

    def _method_holder(self, value: Any) -> None:
        function = self.resolve(value.__func__)
        if function is not value.__func__:
            type(value).__init__(value, function)

    def _descriptor(self, value: Any) -> None:
        parts = descriptor_parts(value)
        resolved = tuple(map(self.resolve, parts))
        if any(part is not before for part, before in zip(resolved, parts, strict=True)):
            rebuilding.fill_descriptor(value, resolved)

    # Classes and instances

    def _class(self, cls: type) -> None:
        """Put a class that is new, and has no older one to stand for it, in order."""
        metaclass = self.resolve(type(cls))
        if metaclass is not type(cls):
            object.__dict__["__class__"].__set__(cls, metaclass)
        bases = tuple(self.resolve(base) for base in cls.__bases__)
        if any(base is not before for base, before in zip(bases, cls.__bases__, strict=True)):
            type.__dict__["__bases__"].__set__(cls, bases)
        self._namespace(cls)

    def _namespace(self, cls: type) -> None:
        for name, value in list(cls.__dict__.items()):
            resolved = self.resolve(value)
            if resolved is not value:
                set_in_class(cls, name, resolved)

    def _instance(self, value: Any, kind: type) -> Any:
        cls = self.resolve(kind)
        if cls is not kind and not _can_become(value, cls):
            value = self._again_of(value, cls)
        attributes = vars_of(value)
        self._pending.append(lambda: self._dict(attributes))
        self._pending.append(lambda: self._slots(value))
        fill = next((fill for base, fill in _CONTENTS if issubclass(kind, base)), None)
        if fill is not None:
            self._pending.append(lambda: fill(self, value))
        if isinstance(value, BaseException):
            value.args = tuple(self.resolve(item) for item in value.args)
        return value

    def _again_of(self, value: Any, cls: type) -> Any:
        """Return a new instance of a live class with the contents of one that cannot become its instance."""
        base: Any = built_in_base(cls)
        arguments = value_of(value, base) if issubclass(base, BY_VALUE) else ()
        again = self.stands_for[id(value)] = base.__new__(cls, *arguments)
        for name, item in values_of(value).items():
            set_value(again, name, item)
        if containers.kind_of(type(value)) is not None:
            containers.fill(again, containers.contents(value))
        return again

    def _argument(self, value: Any) -> Any:
        """Resolve an argument of a reduction: a tuple may have been made for it, of items that the body made."""
        return self._immutable(value, tuple) if type(value) is tuple else self.resolve(value)

    def _slots(self, value: Any) -> None:
        for _, member in slots_of(value):
            self._slot(member, value)

    def _slot(self, member: types.MemberDescriptorType, value: Any) -> None:
        for item in slot_value(member, value):
            resolved = self.resolve(item)
            if resolved is not item:
                member.__set__(value, resolved)

    # Everything else

    def _made_again(self, value: Any, kind: type) -> Any:
        """Make an object in C, or one whose parts cannot be exchanged, again from its parts, if one of them is replaced."""
        held = gc.get_referents(value)
        if issubclass(kind, weakref.ref):
            held.append(weakref.ref.__call__(value))  # which it does not tell the collector of
        if all(self.resolve(part) is part for part in held):
            return value
        base: Any = built_in_base(kind)
        if base in (tuple, frozenset):  # past its constructor: that of the live class may be the one before still
            again = self.stands_for[id(value)] = base.__new__(self.resolve(kind), [self.resolve(item) for item in base.__iter__(value)])
            for name, item in values_of(value).items():
                set_value(again, name, self.resolve(item))
            return again
        try:
            reduction = reducers.reduce(value, kind)
        except Exception:  # whatever a foreign reducer raises: the object stays, and what it holds forwards
            return value
        if isinstance(reduction, str):
            return value
        self._keep.append(reduction)
        parts: list[Any] = [*reduction, None, None, None, None]
        head, arguments, state = parts[:3]
        if any(parts[3:]):
            return value
        again = self.resolve(head)(*(self._argument(argument) for argument in arguments))
        self.stands_for[id(value)] = again
        if isinstance(value, property) and again.__doc__ != value.__doc__:
            again.__doc__ = value.__doc__  # it was taken from a getter that has its old one still
        if isinstance(state, dict):
            vars(again).update({name: self.resolve(item) for name, item in state.items()})  # a thread local has another for each thread
        elif isinstance(state, tuple):
            reducers.set_state(again, tuple(map(self.resolve, state)))
        return again


_CONTENTS: tuple[tuple[Any, Callable[[Relinker, Any], None]], ...] = (
    (dict, Relinker._dict), (list, Relinker._list), (set, Relinker._set), (deque, Relinker._deque),
    *((kind, Relinker._descriptor) for kind in DESCRIPTORS),
)
_IN_PLACE: dict[type, Callable[[Relinker, Any], None]] = {
    **dict(_CONTENTS[:4]),
    types.CellType: Relinker._cell,
    staticmethod: Relinker._method_holder,
    classmethod: Relinker._method_holder,
}
_MADE_AGAIN = (types.MethodType, weakref.ref, tuple, frozenset)


def _can_become(value: Any, cls: type) -> bool:
    """Make a value an instance of a class, if CPython does that: not where slots stand beside a `__weakref__`, even if they are alike."""
    try:
        object.__dict__["__class__"].__set__(value, cls)
    except TypeError:
        return False
    return True


def _is_changed_in_place(kind: type) -> bool:
    """Return whether the parts of an object are attributes, slots, or the contents of a container."""
    if kind is property or issubclass(kind, _MADE_AGAIN):
        return False
    base = built_in_base(kind)
    bases = (*BY_VALUE, BaseException, *(container for container, fill in _CONTENTS))
    return base is object or keeps_nothing(base) or issubclass(base, bases)
