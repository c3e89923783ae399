"""Comparing what two runs of a body made, past all methods: for the three-way merge of data.

Two values are the same if they are built alike: exact built-in types item by item, instances by class, attributes and contents, definitions
by canonical name, functions without a name by what they do, with the same sharing. What belongs to neither module must be identical, or
an equal atom. No `__eq__` of Python is called, and no reducer.
"""

from __future__ import annotations

import copyreg
import functools
import types
import warnings
from collections import deque
from collections.abc import Container, Iterable, Iterator
from itertools import islice
from typing import Any

from persistmod import containers, reducers, tables
from persistmod.classes import DESCRIPTORS, built_in_base, shows_all, slot_value
from persistmod.forwarding import is_same_code
from persistmod.functions import built_in_attributes, contents
from persistmod.namespace import is_declared, vars_of
from persistmod.pairing import Side, core_of, members
from persistmod.scope import has_value_semantics
from persistmod.typeflags import HEAP_TYPE, IMMUTABLE_TYPE, has_attributes, own_slots

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "MISSING"})()
_EXACT = (list, dict, set)  # these have nothing beyond their contents
_FEW = 32
_TELLING = 8  # parts of a token
_ATOMS = (types.NoneType, bool, int, str, bytes, types.EllipsisType, range)


def paths_of(side: Side, guests: dict[int, str] | None = None) -> dict[int, str]:
    """Return `{id: canonical name}` of the definitions of a module, those in its classes with them; classes may have each other.

    `guests` gets `{id: module}` of those that say they are of another one.
    """
    paths: dict[int, str] = {}
    pending = deque(side.definitions().items())
    while pending:
        path, value = pending.popleft()
        is_known = id(value) in paths
        core = core_of(value)
        for named in (value, core):
            if named is not None:
                paths.setdefault(id(named), path)
        if guests is not None and core is not None and not is_declared(core, side.module, side.namespace):
            guests |= dict.fromkeys((id(value), id(core)), str(core.__module__))
        if issubclass(type(value), type) and not is_known:
            pending.extend((f"{path}.{name}", member) for name, member in members(value).items())
    return paths


class Comparison:
    """Compares values of one side with values of another; `{id: canonical name}` of the definitions of each.

    `moved` are pairs of functions in equal values that do the same and stand elsewhere in the source; `alike` are the pairs of objects that
    make up the values compared last, if those are the same.
    """

    def __init__(self, first: dict[int, str], second: dict[int, str]) -> None:
        self._first, self._second = first, second
        self.moved: list[tuple[types.FunctionType, types.FunctionType]] = []
        self.alike: list[tuple[Any, Any]] = []

    def is_same(self, first: Any, second: Any) -> bool:
        """Return whether two values are built alike."""
        self.alike = []
        if first is MISSING or second is MISSING:
            return first is second
        if _is_same_atom(first, second) or _are_equal_and_flat(first, second):
            return True
        pending: list[tuple[Any, Any]] = [(first, second)]
        partner: dict[int, int] = {}
        keep: list[Any] = []
        while pending:
            one, other = pending.pop()
            if one is other and type(one) in _ATOMS:
                continue
            known = partner.get(id(one))
            if known is not None:
                if known != id(other):
                    return False
                continue
            if type(one) not in _ATOMS:
                partner[id(one)] = id(other)
                keep.append((one, other))
            parts = self._parts(one, other)
            if parts is None:
                return False
            pending.extend(parts)
        functions = [pair for pair in keep if type(pair[0]) is types.FunctionType and id(pair[0]) not in self._first]
        self.moved += [(one, other) for one, other in functions if not is_same_code(one.__code__, other.__code__)]
        self.alike = keep
        return True

    def are_of_one_class(self, one: Any, other: Any) -> bool:
        """Return whether two values are instances of one class, or of two of one name."""
        first, second = type(one), type(other)
        return first is second or self._first.get(id(first), first) == self._second.get(id(second), second)

    def token(self, value: Any, side: int, depth: int = 3) -> Any:
        """Return something hashable that is equal for values that are built alike; `side` is 0 for the first, 1 for the second.

        It is made of the first parts of the first parts: what it is made for may be a list of anything, the modules of the process, say.
        """
        names = (self._first, self._second)[side]
        path, kind = names.get(id(value)), type(value)
        if path is not None:
            return path
        if kind in _ATOMS or kind in (float, complex):
            return kind, repr(value)
        name = names.get(id(kind), kind)
        parts = islice(_parts_of(value), _TELLING) if depth else ()
        return (name, *((label, self.token(part, side, depth - 1)) for label, part in parts))

    def _parts(self, one: Any, other: Any) -> list[tuple[Any, Any]] | None:
        """Return the pairs that remain to be compared, None if the two differ."""
        if one is other:
            return []
        path, other_path = self._first.get(id(one)), self._second.get(id(other))
        if path is not None or other_path is not None:
            return [] if path == other_path else None
        kind = type(one)
        if not self.are_of_one_class(one, other):
            return None
        if (same := tables.is_same(one, other)) is not None:
            return [] if same else None
        if kind in _ATOMS or kind in (float, complex):
            return [] if repr(one) == repr(other) else None
        found = list(_parts_of(one)), list(_parts_of(other))
        labels = [[label for label, part in parts] for parts in found]
        if labels[0] != labels[1]:
            return None
        if not found[0]:
            return [] if _is_equal_leaf(one, other) else None
        return [(part, other_part) for (label, part), (other_label, other_part) in zip(*found, strict=True)]


class Pool:
    """Items of the second side of a comparison, of which each can be taken once, by one that is built alike."""

    def __init__(self, items: Iterable[Any], comparison: Comparison) -> None:
        self._comparison = comparison
        self._buckets: dict[Any, list[Any]] = {}
        for item in items:
            self._buckets.setdefault(comparison.token(item, 1), []).append(item)

    def take(self, item: Any) -> bool:
        """Take what is built like an item, the last such; return whether there was any."""
        return bool(self.taken(item))

    def taken(self, item: Any, live: Any = MISSING) -> list[Any]:
        """Take the same, or `live`, which stands for the item already; return it in a list."""
        bucket = self._buckets.get(self._comparison.token(live, 1), []) if live is not item else []
        for index in [index for index, held in enumerate(bucket) if held is live]:
            return [bucket.pop(index)]
        bucket = self._buckets.get(self._comparison.token(item, 0), [])
        for index in reversed(range(len(bucket))):
            if self._comparison.is_same(item, bucket[index]):
                return [bucket.pop(index)]
        return []

    def rest(self) -> list[Any]:
        """Return what was not taken."""
        return [item for bucket in self._buckets.values() for item in bucket]


def _are_equal_and_flat(one: Any, other: Any) -> bool:
    """Return whether two values are tuples or dictionaries of the same few atoms, as most defaults of functions are."""
    kind = type(one)
    if kind is not type(other) or not (kind is tuple or kind is dict) or len(one) != len(other) or len(one) > _FEW:
        return False
    return all(map(_is_same_atom, one, other)) and (kind is tuple or all(map(_is_same_atom, one.values(), other.values())))


def _is_same_atom(one: Any, other: Any) -> bool:
    kind = type(one)
    return kind is type(other) and (kind in _ATOMS or kind is float) and (one is other or repr(one) == repr(other))


def _is_equal_leaf(one: Any, other: Any) -> bool:
    """Return whether two objects without parts are as good as each other: equal values in C, or nothing but their type."""
    kind = type(one)
    if kind in (list, dict, set, frozenset, tuple, deque, bytearray):
        return bool(one == other)
    if has_value_semantics(kind):
        return bool(one == other)
    return kind is object or bool(kind.__flags__ & HEAP_TYPE) and kind.__basicsize__ <= object.__basicsize__ + 16


def _parts_of(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (label, part) of what a value is built of; labels are atoms."""
    kind = type(value)
    if kind is types.FunctionType:
        yield "module", _module_of(value)
        yield "code", what_it_does(value.__code__)
        yield from built_in_attributes(value).items()
        yield from (("cell", held) for cell in value.__closure__ or () for held in contents(cell))
        yield "dict", value.__dict__
        return
    if issubclass(kind, dict):
        yield from _items(containers.contents(value))
    elif issubclass(kind, (list, deque)):
        yield from enumerate(containers.contents(value))
    elif issubclass(kind, tuple):
        yield from enumerate(tuple.__iter__(value))
    elif issubclass(kind, (set, frozenset)):
        yield from _members(value)
    elif isinstance(value, staticmethod | classmethod):
        yield "function", value.__func__
    elif isinstance(value, property):
        yield from (("get", value.fget), ("set", value.fset), ("delete", value.fdel))
    elif kind is types.MethodType:
        yield from (("function", value.__func__), ("self", value.__self__))
    elif kind is functools.partial:
        yield from (("function", value.func), ("arguments", value.args), ("keywords", value.keywords))
    elif kind is bytearray:
        yield "bytes", bytes(value)
    elif _is_opaque(kind):
        yield from enumerate(_reduction(value))
    if has_attributes(kind) or (kind not in _EXACT and containers.kind_of(kind) is not None):
        yield from _state(value)


def is_at_work(value: Any, made: Container[int]) -> bool:
    """Return whether something in a value, as far as it was made with it, cannot be pickled: a lock, a file, a thread."""
    pending, seen = [value], set()
    while pending:
        part = pending.pop()
        if not issubclass(type(part), _PASSIVE) and not _can_be_pickled(part):
            return True
        if id(part) in made and id(part) not in seen:
            seen.add(id(part))
            pending += (inner for _, inner in _parts_of(part))
    return False


_PASSIVE = (
    *(type, types.ModuleType, types.CodeType, types.FunctionType, types.MethodType, types.BuiltinFunctionType, *DESCRIPTORS),
    *(types.MethodDescriptorType, types.WrapperDescriptorType, types.ClassMethodDescriptorType, types.MethodWrapperType),
    *(types.GetSetDescriptorType, types.MemberDescriptorType, types.MappingProxyType, types.GenericAlias),
)


def _can_be_pickled(value: Any) -> bool:
    """Return whether what a value has of its base in C can be seen, or pickled as everybody pickles it: a lock is not kept so."""
    base = built_in_base(type(value))
    if base in _ATOMS or has_value_semantics(base) or shows_all(base):
        return True
    reduce = copyreg.dispatch_table.get(base)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # itertools announce the end of their pickling
            reduce(value) if reduce is not None else value.__reduce_ex__(4)
    except Exception:  # whatever it raises
        return False
    return True


def _is_opaque(kind: type) -> bool:
    """Return whether a type is made in C and shows no parts: a read-only view, a lock, an iterator."""
    is_in_c = bool(kind.__flags__ & IMMUTABLE_TYPE) or not kind.__flags__ & HEAP_TYPE
    return is_in_c and kind is not object and not has_value_semantics(kind)


def _reduction(value: Any) -> tuple[Any, ...]:
    """Return what a value is made again from, nothing if that cannot be."""
    try:
        reduction = reducers.reduce(value, type(value))
    except Exception:  # whatever it raised: it has no parts that anybody knows
        return ()
    return (*reduction[:3], *map(list, filter(None, reduction[3:5]))) if type(reduction) is tuple else ()


def _module_of(function: types.FunctionType) -> str:
    """Return the name of the module whose globals a function has: that of a script is not its `__name__`."""
    spec = function.__globals__.get("__spec__")
    return str(getattr(spec, "name", None) or function.__globals__.get("__name__"))


def _items(value: dict[Any, Any]) -> Iterator[tuple[Any, Any]]:
    for index, (key, item) in enumerate(value.items()):
        if type(key) in _ATOMS:
            yield ("item", key), item
        else:
            yield ("key", index), key
            yield ("value", index), item


def _members(value: Any) -> Iterator[tuple[Any, Any]]:
    iterator = set.__iter__(value) if issubclass(type(value), set) else frozenset.__iter__(value)
    yield from enumerate(sorted(iterator, key=lambda item: repr(item) if type(item) in _ATOMS else ""))


def _state(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the attributes and slots of an instance; for a type of the built-in kind also its value."""
    if issubclass(type(value), deque):
        yield "maxlen", deque.maxlen.__get__(value)
    for base in (int, float, str, bytes, complex):
        if issubclass(type(value), base):
            yield "value", base.__repr__(value)
    yield from ((("attribute", name), item) for name, item in vars_of(value).items())
    for cls in type(value).__mro__:
        for name, member in own_slots(cls).items() if cls.__flags__ & HEAP_TYPE or containers.kind_of(cls) is not None else ():
            yield from ((("slot", name), item) for item in slot_value(member, value))


def what_it_does(code: types.CodeType) -> str:
    """Return what code does, without the place where it stands, as text."""
    constants = [what_it_does(constant) if type(constant) is types.CodeType else repr(constant) for constant in code.co_consts]
    parts = (code.co_code.hex(), *constants, *code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars)
    return "|".join((*parts, str(code.co_flags), code.co_exceptiontable.hex(), str(code.co_argcount), str(code.co_kwonlyargcount)))
