"""The walk itself: a worklist of objects under way, the queues of what is filled later, and containers.

What is under way is a generator that yields the objects it contains, each with its path, or another generator to be done first. What waits
is filled in this order: functions, attributes of classes, the rest.
"""

from __future__ import annotations

import pickle
import struct
import types
from collections import deque
from collections.abc import Generator, Iterable
from typing import Any

from persistmod.errors import ConversionError, NotStorable
from persistmod.opcodes import ATOM_WRITERS, ATOMS, MARK, POP, Writer
from persistmod.state import Path, Scope

Steps = Generator[tuple[Any, Path] | Generator[Any, None, None], None, None]


class Walker(Writer):
    """A walk that knows atoms and containers; `save_compound` is for those who know more."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope
        self.waiting: tuple[deque[Steps], deque[Steps], deque[Steps]] = (deque(), deque(), deque())
        self.under_way: set[int] = set()
        self.attributes: dict[int, dict[Any, Any]] = {}  # what was a `__dict__`, by id

    def run(self, steps: Steps) -> None:
        """Do `steps` and everything that they contain, in order, without recursion."""
        stack: list[Any] = [steps]
        path = Path(None, self.scope.module)
        try:
            while stack:
                item = next(stack[-1], None)
                if item is None:
                    stack.pop()
                elif isinstance(item, tuple):
                    path = item[1]
                    deeper = self.save(item[0], path)
                    if deeper is not None:
                        stack.append(deeper)
                else:
                    stack.append(item)
        except NotStorable as error:
            raise self.error(path, f"cannot store {error}") from error

    def error(self, path: Path, problem: str) -> ConversionError:
        module = self.scope.module
        return ConversionError(f"module {module!r}: {path}: {problem}", module=module, name=str(path))

    def drain(self) -> Steps:
        """Do what waits: states of functions first, then attributes of classes, then the rest."""
        functions_, classes_, rest = self.waiting
        while functions_ or classes_ or rest:
            yield (functions_ or classes_ or rest).popleft()

    def save(self, value: Any, path: Path) -> Steps | None:
        kind = type(value)
        atom = ATOM_WRITERS.get(kind)
        if atom is not None:
            atom(self, value)
            return None
        index = self.memo.get(id(value))
        if index is not None:
            self.get(index)
            return None
        return self.save_compound(value, kind, path)

    def save_compound(self, value: Any, kind: type, path: Path) -> Steps | None:
        """Write what is neither an atom nor in the memo, or return the steps that do."""
        raise NotStorable(f"<{kind.__qualname__} object>")

    def call_later(self, function: str, value: Any, arguments: tuple[Any, ...], path: Path, *, shared: bool = False) -> Steps:
        """Write a call of a function of `rebuilding` with a memoized value and more; its result is dropped.

        Dictionaries among the arguments exist for this call only, unless they are `shared`.
        """
        self.keep.append(arguments)
        self.save_reference("persistmod.rebuilding", function)
        self.write(MARK)
        self.get(self.memo[id(value)])
        for argument in arguments:
            if type(argument) is dict and not shared:
                yield self.save_attributes(argument, path)
            else:
                yield argument, Path(path, ".")
        self.write(pickle.TUPLE + pickle.REDUCE + POP)

    def save_attributes(self, attributes: dict[Any, Any], path: Path) -> Steps:
        """Write a dictionary that exists for this call only."""
        self.write(pickle.EMPTY_DICT)
        self.put()
        self.write(MARK)
        for name, value in attributes.items():
            yield name, path
            is_plain = type(name) is str and name.isidentifier()
            yield value, Path(path, f".{name}" if is_plain else (".__dict__[{}]", name))
        self.write(pickle.SETITEMS)

    def take_attributes(self, attributes: dict[Any, Any]) -> None:
        """Refuse a `__dict__` that something else has, too: each would have its own when it is loaded."""
        if id(attributes) in self.memo or id(attributes) in self.attributes:
            raise NotStorable(_SHARED_ATTRIBUTES)
        self.attributes[id(attributes)] = attributes

    # Containers

    def save_tuple(self, value: tuple[Any, ...], path: Path) -> Steps:
        self.write(MARK)
        for index, item in enumerate(value):
            yield item, Path(path, ("[{}]", index))
        if id(value) in self.memo:  # a cycle through the tuple has made it meanwhile
            self.write(pickle.POP_MARK)
            self.get(self.memo[id(value)])
            return
        self.write(pickle.TUPLE)
        self.memoize(value)

    def save_list(self, value: list[Any], path: Path) -> Steps:
        self.write(pickle.EMPTY_LIST)
        self.memoize(value)
        yield from self.append_items(value, path)

    def append_items(self, items: Iterable[Any], path: Path) -> Steps:
        self.write(MARK)
        for index, item in enumerate(items):
            yield item, Path(path, ("[{}]", index))
        self.write(pickle.APPENDS)

    def save_dict(self, value: dict[Any, Any], path: Path) -> Steps:
        if id(value) in self.attributes:
            raise NotStorable(_SHARED_ATTRIBUTES)
        self.write(pickle.EMPTY_DICT)
        self.memoize(value)
        yield from self.set_items(value, list(value.items()), path)

    def set_items(self, target: Any, items: list[tuple[Any, Any]], path: Path) -> Steps:
        """Write items of the dictionary on top of the stack; from a key on that has no hash yet, they wait."""
        self.write(MARK)
        for index, (key, item) in enumerate(items):
            yield key, Path(path, (" key {}", key))
            if self.is_unready_key(key):
                self.write(POP + pickle.SETITEMS)
                self.waiting[2].append(self.set_items_later(target, items[index:], path))
                return
            yield item, Path(path, ("[{}]", key))
        self.write(pickle.SETITEMS)

    def set_items_later(self, target: Any, items: list[tuple[Any, Any]], path: Path) -> Steps:
        self.get(self.memo[id(target)])
        self.write(MARK)
        for key, item in items:
            yield key, Path(path, (" key {}", key))
            yield item, Path(path, ("[{}]", key))
        yield self.drain()
        self.write(pickle.SETITEMS + POP)

    def is_unready_key(self, key: Any) -> bool:
        """Return whether the state that the hash of `key` may read is still to come."""
        if type(key) in ATOM_WRITERS or issubclass(type(key), (type, types.FunctionType)):
            return False
        if type(key) is tuple:
            return any(self.is_unready_key(item) for item in key)
        return id(key) in self.under_way

    def save_set(self, value: set[Any], path: Path) -> Steps:
        self.write(pickle.EMPTY_SET)
        self.memoize(value)
        if any(type(item) not in ATOM_WRITERS for item in value):
            self.waiting[2].append(self.add_items_later(value, path))
            return
        yield from self.add_items(value, path)

    def add_items(self, value: Iterable[Any], path: Path) -> Steps:
        self.write(MARK)
        for item in in_order(value, self.memo):
            yield item, Path(path, (" item {}", item))
        self.write(pickle.ADDITEMS)

    def add_items_later(self, value: set[Any], path: Path) -> Steps:
        self.get(self.memo[id(value)])
        self.write(MARK)
        for item in in_order(value, self.memo):
            yield item, Path(path, (" item {}", item))
        yield self.drain()
        self.write(pickle.ADDITEMS + POP)

    def save_frozenset(self, value: frozenset[Any], path: Path) -> Steps:
        self.write(MARK)
        for item in in_order(value, self.memo):
            yield item, Path(path, (" item {}", item))
        yield self.drain()
        if id(value) in self.memo:
            self.write(pickle.POP_MARK)
            self.get(self.memo[id(value)])
            return
        self.write(pickle.FROZENSET)
        self.memoize(value)

    def save_bytearray(self, value: bytearray, path: Path) -> None:
        self.write(pickle.BYTEARRAY8 + struct.pack("<Q", len(value)) + bytes(value))
        self.memoize(value)

    def save_code(self, value: types.CodeType, path: Path) -> None:
        self.memo[id(value)] = self.count
        self.keep.append(value)
        self.save_buffer(value)


def in_order(items: Iterable[Any], memo: dict[int, int]) -> list[Any]:
    """Return the items of a set in an order that does not depend on the process, as far as they have one; no method of theirs is called."""
    return sorted(items, key=lambda item: _rank(item, memo))


def _rank(item: Any, memo: dict[int, int]) -> tuple[str, str, int]:
    kind = type(item)
    if kind in ATOMS:
        return kind.__name__, repr(item), 0
    if kind in (tuple, frozenset):
        ranks = [_rank(part, memo) for part in item]
        return kind.__name__, repr(sorted(ranks) if kind is frozenset else ranks), 0
    named = item if issubclass(kind, (type, types.FunctionType, types.BuiltinFunctionType)) else kind
    return "~", f"{named.__module__}.{named.__qualname__}", memo.get(id(item), _NOT_YET)


_NOT_YET = 1 << 62
_SHARED_ATTRIBUTES = "a __dict__ that two objects have, or something else refers to"
