"""Functions and classes in the walk: created empty, or from what is ready, and filled when their turn comes.

A function is created from its code, empty cells, and defaults that are atoms; a class from its finished namespace, with None where a value
is not ready. What is complete when it is created is not filled.
"""

from __future__ import annotations

import pickle
import types
from collections import Counter
from typing import Any

from persistmod import classes, forwarding, functions
from persistmod.errors import NotStorable
from persistmod.opcodes import ATOM_WRITERS, MARK, POP
from persistmod.state import Path, Scope
from persistmod.walking import Steps, Walker


class DefinitionWalker(Walker):
    """A walk that knows functions and classes, too."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)
        # What is stored by value, by id; containers that nobody else can have; steps that come at the very end.
        self.values: dict[int, Any] = {}
        self.temporary: set[int] = set()
        self.last: list[Steps] = []
        self.begun: Counter[int] = Counter()
        # What waits for the state of a function, by its id: that may be under way for long, and others be drained meanwhile.
        self.unfilled: dict[int, list[Steps]] = {}

    def begin(self, value: Any, problem: str) -> None:
        """Count how often an object is begun before it is made; one that never will be is a NotStorable."""
        self.begun[id(value)] += 1
        if self.begun[id(value)] > _MAX_BEGUN:
            raise NotStorable(problem)

    # Functions

    def save_function(self, value: types.FunctionType, path: Path) -> Steps:
        namespace = value.__globals__
        if id(namespace) not in self.memo:
            yield self.save_globals(namespace, path)
        cells = value.__closure__ or ()
        for cell in cells:
            if id(cell) not in self.memo:
                self.save_cell(cell, path)
                self.write(POP)
        if id(value.__code__) not in self.memo:
            self.save_code_of(value, path)
            self.write(POP)
        if id(value) in self.memo:
            self.get(self.memo[id(value)])
            return
        slots, attributes = self.state_of_function(value)
        self.take_attributes(attributes)
        defaults = slots.pop("__defaults__") if is_flat(slots.get("__defaults__")) else None
        yield self.create_function(value, defaults, path)
        if slots or attributes:
            self.unfilled[id(value)] = []
            self.waiting[0].append(self.fill_function(value, slots, attributes, path))
        if forwarding.forwards(value.__code__):
            self.waiting[0].append(self.call_later("forward", value, (forwarding.TARGET, forwarding.target_of(value)), path))

    def save_code_of(self, value: types.FunctionType, path: Path) -> None:
        """Save the code of a function. Where that forwards, it is told later to what: marshal writes no such constant."""
        code = forwarding.without_target(value.__code__)
        self.save_code(code, path)
        if code is not value.__code__:
            self.memo[id(value.__code__)] = self.memo[id(code)]
            self.keep.append(value.__code__)

    def create_function(self, value: types.FunctionType, defaults: tuple[Any, ...] | None, path: Path) -> Steps:
        self.save_reference("types", "FunctionType")
        self.write(MARK)
        self.get(self.memo[id(value.__code__)])
        self.get(self.memo[id(value.__globals__)])
        if value.__closure__ or defaults or value.__name__ != value.__code__.co_name:
            self.save_string(value.__name__)
        if value.__closure__ or defaults:
            yield defaults, Path(path, ".__defaults__")
        if value.__closure__:
            self.write(MARK)
            for cell in value.__closure__:
                self.get(self.memo[id(cell)])
            self.write(pickle.TUPLE)
        self.write(pickle.TUPLE + pickle.REDUCE)
        self.memoize(value)

    def save_globals(self, namespace: dict[str, Any], path: Path) -> Steps:
        """Leave nothing on the stack and the globals of a function in the memo: a module's by reference, others by value."""
        owner = functions.module_of(namespace)
        if owner is not None:
            self.save_reference("builtins", "getattr")
            self.save_module(owner)
            self.save_string("__dict__")
            self.write(pickle.TUPLE2 + pickle.REDUCE)
            self.memoize(namespace)
        else:
            yield namespace, Path(path, ".__globals__")
        self.write(POP)

    def state_of_function(self, value: types.FunctionType) -> tuple[dict[str, Any], dict[str, Any]]:
        own_globals = value.__globals__ is self.scope.namespace
        expected = self.scope.import_attributes.get("__name__") if own_globals else value.__globals__.get("__name__")
        slots, attributes = functions.state(value, expected)
        # The one is made of a tuple when it is first asked for, the other is not tracked while it holds atoms: both are the function's.
        self.temporary.update((id(slots.get("__annotations__")), id(slots.get("__kwdefaults__"))))
        self.keep.append(slots)
        return slots, attributes

    def fill_function(self, value: types.FunctionType, slots: dict[str, Any], attributes: dict[str, Any], path: Path) -> Steps:
        """Write a BUILD, which sets attributes in `__dict__`, then those of the second dictionary one by one."""
        self.get(self.memo[id(value)])
        if attributes:
            yield self.save_attributes(attributes, path)
        else:
            self.write(pickle.NONE)
        yield self.save_attributes(slots, path)
        self.write(pickle.TUPLE2 + pickle.BUILD + POP)
        yield from self.unfilled.pop(id(value), ())

    def save_cell(self, cell: types.CellType, path: Path) -> None:
        self.save_reference("types", "CellType")
        self.write(pickle.EMPTY_TUPLE + pickle.REDUCE)
        self.memoize(cell)
        self.values[id(cell)] = cell
        self.waiting[0].append(self.fill_cell(cell, path))

    def fill_cell(self, cell: types.CellType, path: Path) -> Steps:
        contents = functions.contents(cell)
        if contents:
            yield from self.call_later("fill_cell", cell, contents, path, shared=True)

    # Classes

    def save_class(self, value: type, path: Path) -> Steps:
        if not classes.is_made_in_python(value):
            raise NotStorable(f"<class {value.__qualname__!r}>, which is made in C, and no module names")
        self.begin(value, f"the class {value.__qualname__}: it is needed to make itself, as its own metaclass is")
        shape = classes.shape(value)
        self.save_reference("persistmod.rebuilding", "new_class")
        self.write(MARK)
        yield type(value), Path(path, ".__class__")
        self.save_string(value.__name__)
        self.keep.append(value.__bases__)
        yield value.__bases__, Path(path, ".__bases__")
        later: dict[str, Any] = {}
        yield self.save_class_namespace(value, shape, later, path)
        if id(value) in self.memo:  # a cycle through a base or a metaclass has made it meanwhile
            self.write(pickle.POP_MARK + POP)
            self.get(self.memo[id(value)])
            return
        self.write(pickle.TUPLE + pickle.REDUCE)
        self.memoize(value)
        self.waiting[1].append(self.fill_class(value, shape, later, path))

    def save_class_namespace(self, value: type, shape: classes.Shape, later: dict[str, Any], path: Path) -> Steps:
        self.write(pickle.EMPTY_DICT)
        self.put()
        self.write(MARK)
        for name, attribute in shape.namespace.items():
            self.save_text(name) if isinstance(name, str) else (yield name, path)
            if name == "__init_subclass__":
                self.save_reference("persistmod.rebuilding", "quiet_init_subclass")
                self.last.append(self.set_class_attributes(value, {name: attribute}, path))
            elif self.is_ready(name, attribute):
                yield attribute, Path(path, f".{name}")
            else:
                self.write(pickle.NONE)
                later[name] = attribute
        self.write(pickle.SETITEMS)

    def is_ready(self, name: str, attribute: Any) -> bool:
        """Return whether a class attribute can be made before its class."""
        if type(attribute) in ATOM_WRITERS or name in classes.READ_BY_TYPE or is_flat(attribute):
            return True
        if type(attribute) in (staticmethod, classmethod):
            return type(attribute.__func__) is types.FunctionType
        if type(attribute) is property:
            parts = (attribute.fget, attribute.fset, attribute.fdel)
            return all(type(part) in (types.FunctionType, types.NoneType) for part in parts)
        # A plain function of these names was set when the class was there: `type.__new__` would wrap it.
        return type(attribute) is types.FunctionType and name not in classes.WRAPPED_BY_TYPE

    def fill_class(self, value: type, shape: classes.Shape, later: dict[str, Any], path: Path) -> Steps:
        later = {**later, **shape.late}
        if shape.registry is not None:
            yield from self.call_later("init_abc", value, (shape.registry,), path)
            if self.unfilled and value.__dict__.get("__abstractmethods__"):  # what says so may be an attribute that is still to come
                later["__abstractmethods__"] = value.__dict__["__abstractmethods__"]
        if later:
            yield self.set_class_attributes(value, later, path)

    def set_class_attributes(self, value: type, attributes: dict[str, Any], path: Path) -> Steps:
        yield from self.call_later("fill_class", value, (attributes,), path)

    def save_method_holder(self, value: Any, path: Path) -> Steps:
        """A staticmethod or classmethod; what it copies from its function it copies again."""
        self.save_reference("builtins", type(value).__name__)
        yield value.__func__, Path(path, ".__func__")
        if id(value) in self.memo:
            self.write(POP + POP)
            self.get(self.memo[id(value)])
            return
        self.write(pickle.TUPLE1 + pickle.REDUCE)
        self.memoize(value)
        function = value.__func__
        while type(function) in (staticmethod, classmethod):
            function = function.__func__
        added = functions.added_attributes(value)
        # When its function is filled it copies again what it copied when it was made.
        if id(function) in self.unfilled:
            self.unfilled[id(function)].append(self.call_later("fill_holder", value, (added,), path))
        elif added:
            self.waiting[0].append(self.call_later("fill_holder", value, (added,), path))


# Whatever refers back to an object is made between two of these, and then known.
_MAX_BEGUN = 100


def is_flat(value: Any) -> bool:
    """Return whether a value is a container of atoms, which needs nothing else to be made."""
    kind = type(value)
    if kind is dict:
        return all(type(item) in ATOM_WRITERS for pair in value.items() for item in pair)
    return kind in (tuple, list) and all(type(item) in ATOM_WRITERS for item in value)
