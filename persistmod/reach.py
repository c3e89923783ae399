"""What of other modules a body can get at and change: the mutable objects that are few steps away from a namespace.

The references that the collector sees (`gc.get_referents`) are followed, in C and for many objects at once, so that no method of a foreign
object is called. A step is a name, a key, an attribute; a class's or an instance's dictionary, a tuple, a cell, a bound method cost none.
What keeps its state in C where the collector sees nothing of it (arrays, iterators, generators of random numbers) has a function here
that tells its state.
"""

from __future__ import annotations

import array
import contextvars
import functools
import io
import itertools
import sys
import types
import weakref
from _random import Random
from _thread import _local
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter
from typing import Any

from persistmod import classes
from persistmod.typeflags import IMMUTABLE_TYPE

# How many steps from a namespace the objects are whose contents are watched. At more, processes keep what changes by itself.
DEPTH = 2
# Modules whose objects work while a body runs.
AT_WORK = ("persistmod", "importlib", "_frozen_importlib", "_frozen_importlib_external", "__main__", "gc", "linecache")


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """How objects of a type are looked into: free: to get at one costs no step; compared: it is mutable; state: what C hides of it."""

    is_free: bool = False
    is_compared: bool = True
    is_container: bool = False
    state: Callable[[Any], Any] | None = None


_OBJECT = Shape()
CONTAINER = Shape(is_container=True)
_CELL = Shape(is_free=True)
_FUNCTION = Shape()
_THROUGH = Shape(is_free=True, is_compared=False)
# Not looked into: atoms, what only caches, what belongs to the interpreter.
CLOSED = Shape(is_compared=False)
_CLOSED_TYPES: tuple[type, ...] = (
    *(str, int, float, bool, types.NoneType, bytes, complex, range, slice, memoryview, object),
    *(types.ModuleType, types.CodeType, types.FrameType, types.TracebackType, types.CoroutineType, types.AsyncGeneratorType),
    *(types.WrapperDescriptorType, types.MethodDescriptorType, types.GetSetDescriptorType, types.MemberDescriptorType),
    *(types.ClassMethodDescriptorType, types.MethodWrapperType, types.GenericAlias, types.UnionType, weakref.ref),
    *(type(functools.lru_cache(abs)), contextvars.ContextVar, _local),
)
_THROUGH_TYPES = (
    *(tuple, frozenset, staticmethod, classmethod, property, types.MethodType, types.BuiltinFunctionType),
    *(types.MappingProxyType, functools.partial),
)


def shape_of(kind: type) -> Shape:
    """Return how objects of a type are looked into."""
    if any(kind is closed for closed in _CLOSED_TYPES):  # `in` would ask a metaclass for equality
        return CLOSED
    if any(kind is through for through in _THROUGH_TYPES):
        return _THROUGH
    if kind is types.CellType or kind is types.FunctionType:
        return _CELL if kind is types.CellType else _FUNCTION
    if _is_at_work(kind) or classes.is_persistent(kind):
        return CLOSED
    state = _state_function(kind)
    if state is not None:
        return Shape(is_compared=False, state=state)
    return CONTAINER if issubclass(kind, (list, dict, set, deque)) else _OBJECT


def parts(row: list[Any], nodes: list[Any], shape: Shape) -> list[Any]:
    """Return what is worth a look of the `row` of what objects of one shape refer to: of functions, that is little."""
    if shape is not _FUNCTION:
        return row
    tuples = filter(None, chain(map(attrgetter("__closure__"), nodes), map(attrgetter("__defaults__"), nodes)))
    return [*chain.from_iterable(tuples), *[value for value in row if type(value) is dict]]


def _is_at_work(kind: type) -> bool:
    module = type.__getattribute__(kind, "__module__")
    top = module.partition(".")[0] if type(module) is str else ""
    return top in AT_WORK or top == "_abc"


def _state_function(kind: type) -> Callable[[Any], Any] | None:
    for base, function in _STATES.items():
        if issubclass(kind, base):
            return function
    if kind is getattr(sys.modules.get("decimal"), "Context", None):
        return _decimal_state
    is_iterator = kind.__flags__ & IMMUTABLE_TYPE and hasattr(kind, "__next__")
    return _iterator_state if is_iterator else None


def is_same_state(first: Any, second: Any) -> bool:
    """Return whether two states are equal; nothing but atoms is asked for equality."""
    if type(first) is tuple and type(second) is tuple:
        return len(first) == len(second) and all(map(is_same_state, first, second))
    return first is second or (type(first) is type(second) and type(first) in (int, str, bytes, float, bool) and bool(first == second))


def _iterator_state(value: Any) -> Any:
    if type(value) is itertools.count:
        return repr(value)
    if not any("__reduce__" in vars(kind) for kind in type(value).__mro__[:-1]):  # object's imports copyreg
        return None
    try:
        return value.__reduce__()
    except TypeError:
        return None


def _random_state(value: Any) -> Any:
    try:
        return Random.getstate(value)
    except NotImplementedError:  # the system's generator
        return None


def _decimal_state(value: Any) -> Any:
    """Return the settings of a context; its flags tell what has been computed, and every computation sets them."""
    names = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")
    return *(getattr(value, name) for name in names), *value.traps.items()


def _generator_state(value: Any) -> Any:
    return None if value.gi_frame is None else value.gi_frame.f_lasti


def _buffer_state(value: Any) -> Any:
    base = io.BytesIO if isinstance(value, io.BytesIO) else io.StringIO
    return None if value.closed else (base.tell(value), base.getvalue(value))


_STATES: dict[type, Callable[[Any], Any]] = {
    bytearray: lambda value: bytes(memoryview(value)),
    array.array: lambda value: (value.typecode, array.array.tobytes(value)),
    Random: _random_state,
    io.BytesIO: _buffer_state,
    io.StringIO: _buffer_state,
    types.GeneratorType: _generator_state,
}
