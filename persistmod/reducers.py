"""Types that the pickle protocol knows nothing of, or too little: how to make their instances again.

A reducer takes an object and returns what `__reduce__` may return: `(callable, arguments)`, then state, list items, dictionary items,
state setter. The table comes first, `copyreg.dispatch_table` second, `__reduce_ex__` of the object last. `register_reducer` adds to the
table; it is the heir of zodbcode's `registerWrapper`.

Some things are made afresh, since they belong to the process: locks, thread locals, context variables, empty caches.
"""

from __future__ import annotations

import codecs
import contextvars
import copyreg
import functools
import gc
import itertools
import json.scanner
import operator
import random
import struct
import types
import typing
import warnings
import weakref
from _thread import LockType, RLock, _local, allocate_lock
from collections.abc import Callable
from typing import Any

from persistmod import rebuilding
from persistmod.errors import NotStorable
from persistmod.namespace import vars_of
from persistmod.typeflags import HEAP_TYPE, own_slots, static_base

Reduction = tuple[Any, ...] | str
Reducer = Callable[[Any], Reduction]

_REDUCERS: dict[type, Reducer] = {}


def register_reducer(kind: type, reducer: Reducer | None) -> Reducer | None:
    """Let `reducer` take objects of exactly this type apart in every walk, and return the one it replaces; None removes.

    A reducer returns what `object.__reduce__` may return, or raises NotStorable or TypeError with the reason. The callable that it
    returns is stored by reference, so it must be importable wherever the module is loaded.
    """
    if not isinstance(kind, type):
        raise TypeError(f"register_reducer: {kind!r} is not a type")
    replaced = _REDUCERS.pop(kind, None)
    if reducer is not None:
        _REDUCERS[kind] = reducer
    return replaced


def reduce(value: Any, kind: type) -> Reduction:
    """Return how `value` is made again; NotStorable or another exception says why it cannot be."""
    reducer = _find(kind)
    if reducer is not None:
        return reducer(value)
    if isinstance(value, BaseException):
        refuse_raised(value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # itertools announce the end of their pickling
        dispatched = copyreg.dispatch_table.get(kind)
        reduction: Reduction = dispatched(value) if dispatched else value.__reduce_ex__(5)
    return reduction


def set_state(value: Any, state: Any) -> None:
    """Give a value that was made from its reduction its state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as above
        value.__setstate__(state)


def refuse_raised(error: BaseException) -> None:
    """Raise NotStorable for an exception that was raised: it holds frames."""
    if error.__traceback__ is not None or error.__context__ is not None or error.__cause__ is not None:
        raise NotStorable("an exception that was raised")


def _find(kind: type) -> Reducer | None:
    reducer = _REDUCERS.get(kind)
    if reducer is None:
        return next((_FAMILIES[base] for base in kind.__mro__ if base in _FAMILIES), None)
    return reducer


def has_reducer(kind: type) -> bool:
    """Return whether there is a reducer for exactly this type, in this module or of a third party."""
    return kind in _REDUCERS or kind in _FAMILIES


def is_recreated(value: Any) -> bool:
    """Return whether the reducer of `value` gives the very same object again, as that of a logger or an enum member does."""
    try:
        reduction = reduce(value, type(value))
        return not isinstance(reduction, str) and reduction[0](*reduction[1]) is value
    except Exception:
        return False  # whatever it raised, it did not give the object


def is_as_made(value: Any) -> bool:
    """Return whether the public attributes of what is found again by name are still as its class makes them.

    The twin is made past a `__new__` that may give the value itself, which `__init__` would start anew.
    """
    kind: Any = type(value)
    if not kind.__dictoffset__ or issubclass(kind, tuple):
        return True
    try:
        reduction: Any = reduce(value, kind)
        if reduction[0] is copyreg.__newobj__:  # type: ignore[attr-defined]
            return False  # what it was constructed with is not known
        base: Any = static_base(kind)
        twin = base.__new__(kind)
        kind.__init__(twin, *reduction[1])
        expected = vars_of(twin)
    except Exception:
        return False  # whatever it raised, nothing is known of it
    attributes = vars_of(value)
    public = [name for name in expected if not name.startswith("_")]
    return all(_is_as_expected(attributes.get(name), expected[name]) for name in public)


def _is_as_expected(value: Any, expected: Any) -> bool:
    if expected is None or value is expected:
        return True  # what refers to nothing yet is for the finder to fill
    kind = type(value)
    if kind is not type(expected) or kind.__flags__ & HEAP_TYPE:  # whose methods may say or raise anything
        return False
    return bool(value == expected) if kind in (int, str, bool) else not value and not expected


def _property(value: property) -> Reduction:
    own_doc = value.__doc__ != getattr(value.fget, "__doc__", None)
    attributes = dict(getattr(value, "__dict__", ()))
    return type(value), (value.fget, value.fset, value.fdel, *((value.__doc__,) if own_doc else ())), attributes or None


def _method(value: types.MethodType) -> Reduction:
    return types.MethodType, (value.__func__, value.__self__)


def _mapping_proxy(value: Any) -> Reduction:
    (mapping,) = gc.get_referents(value)
    return types.MappingProxyType, (mapping,)


def _lock(value: Any) -> Reduction:
    if value.locked():
        raise NotStorable("a lock that is held")
    return allocate_lock, ()


def _recursive_lock(value: Any) -> Reduction:
    if value._is_owned():
        raise NotStorable("a lock that is held")
    return RLock, ()


def _lru_cache(value: Any) -> Reduction:
    parameters = value.cache_parameters()
    wrapped = value.__wrapped__
    return rebuilding.lru_cache, (type(value), wrapped, parameters["maxsize"], parameters["typed"]), dict(value.__dict__)


def _context_variable(value: contextvars.ContextVar[Any]) -> Reduction:
    try:
        return rebuilding.context_variable, (value.name, contextvars.Context().run(value.get))
    except LookupError:
        return rebuilding.context_variable, (value.name,)


def _type_variable(value: Any) -> Reduction:
    keywords = {"covariant": value.__covariant__, "contravariant": value.__contravariant__}
    if getattr(value, "__infer_variance__", False):
        keywords = {"infer_variance": True}
    if value.__bound__ is not None:
        keywords["bound"] = value.__bound__
    return _parameter(value, value.__constraints__, keywords)


def _parameter_specification(value: Any) -> Reduction:
    keywords = {"covariant": value.__covariant__, "contravariant": value.__contravariant__}
    if getattr(value, "__infer_variance__", False):
        keywords = {"infer_variance": True}
    if value.__bound__ is not None:
        keywords["bound"] = value.__bound__
    return _parameter(value, (), keywords)


def _type_variable_tuple(value: Any) -> Reduction:
    return _parameter(value, (), {})


def _parameter(value: Any, constraints: tuple[Any, ...], keywords: dict[str, Any]) -> Reduction:
    if getattr(value, "has_default", lambda: False)():
        keywords["default"] = value.__default__
    return rebuilding.type_parameter, (type(value), value.__name__, constraints, keywords, value.__module__)


def _generic_alias(value: types.GenericAlias) -> Reduction:
    if not value.__unpacked__:
        reduction: Reduction = value.__reduce_ex__(5)
        return reduction
    return rebuilding.unpacked_alias, (value.__origin__, value.__args__)


def _new_type(value: Any) -> Reduction:
    return copyreg.__newobj__, (typing.NewType,), dict(value.__dict__)  # type: ignore[attr-defined]


def _type_alias(value: Any) -> Reduction:
    name, where, parameters = value.__name__, value.__module__, value.__type_params__
    if parameters:
        return rebuilding.generic_alias, (type(value), name, value.__value__, parameters, where)
    box: dict[str, Any] = {}
    return rebuilding.type_alias, (name, where, box), (box, value.__value__), None, None, rebuilding.fill_type_alias


def _forward_reference(value: typing.ForwardRef) -> Reduction:
    """What it has been evaluated to is a cache, which `typing` shares between modules: evaluated elsewhere it would be something else."""
    attributes = {name: getattr(value, name) for name in typing.ForwardRef.__slots__ if hasattr(value, name)}
    return rebuilding.forward_reference, ({**attributes, "__forward_evaluated__": False, "__forward_value__": None},)


def _weak_reference(value: weakref.ref[Any]) -> Reduction:
    target = value()
    if target is None:
        raise NotStorable("a weak reference to an object that is gone")
    callback = value.__callback__
    return type(value), (target,) if callback is None else (target, callback)


def _comparison_key(value: Any) -> Reduction:
    held = [referent for referent in gc.get_referents(value) if referent is not type(value)]
    if len(held) != 1:
        raise NotStorable("a key of functools.cmp_to_key that holds an object")
    return functools.cmp_to_key, (held[0],)


def _weak_mapping(value: Any) -> Reduction:
    return type(value), (dict(value.items()),)


def _codec(value: codecs.CodecInfo) -> Reduction:
    if codecs.lookup(value.name) is not value:
        raise NotStorable(f"a codec {value.name!r} that is not the one in use")
    return codecs.lookup, (value.name,)


def _json_scanner(value: Any) -> Reduction:
    """A scanner in C takes its settings from a decoder when it is made."""
    names = ("strict", "object_hook", "object_pairs_hook", "parse_float", "parse_int", "parse_constant")
    return rebuilding.json_scanner, (type(value), {name: getattr(value, name) for name in names})


def _random(value: Any) -> Reduction:
    if type(value) is random.SystemRandom and vars(value) == vars(random.SystemRandom()):
        return random.SystemRandom, ()  # it has no state: the system has
    raise NotStorable("a random generator, which must not be the same in every process")


def _refuse(what: str) -> Reducer:
    def refuse(value: Any) -> Reduction:
        raise NotStorable(what)

    return refuse


# For a type and what derives from it; exact types that third parties registered come first.
_FAMILIES: dict[type, Reducer] = {
    property: _property,
    types.MethodType: _method,
    types.MappingProxyType: _mapping_proxy,
    LockType: _lock,
    RLock: _recursive_lock,
    contextvars.ContextVar: _context_variable,
    type(functools.lru_cache(abs)): _lru_cache,
    type(functools.cmp_to_key(operator.sub)): _comparison_key,
    typing.TypeVar: _type_variable,
    typing.ParamSpec: _parameter_specification,
    typing.TypeVarTuple: _type_variable_tuple,
    types.GenericAlias: _generic_alias,
    typing.NewType: _new_type,
    weakref.ref: _weak_reference,
    weakref.WeakKeyDictionary: _weak_mapping,
    weakref.WeakValueDictionary: _weak_mapping,
    random.Random: _random,
    struct.Struct: lambda value: (type(value), (value.format,)),
    typing.ForwardRef: _forward_reference,
    codecs.CodecInfo: _codec,
    json.scanner.make_scanner: _json_scanner,
    types.FrameType: _refuse("a frame"),
    types.TracebackType: _refuse("a traceback"),
    types.GeneratorType: _refuse("a running generator"),
    types.CoroutineType: _refuse("a running coroutine"),
    types.AsyncGeneratorType: _refuse("a running asynchronous generator"),
    type(itertools.tee(())[0]): _refuse("an iterator under way"),
}
if hasattr(typing, "TypeAliasType"):
    _FAMILIES[typing.TypeAliasType] = _type_alias


def _thread_local(value: Any) -> Reduction:
    """What it was constructed with, for other threads; what this thread has in it."""
    kind = type(value)
    if any(map(own_slots, kind.__mro__)):
        raise NotStorable("a thread local with slots")
    unused = object.__getattribute__(value, "__dict__") if kind is not _local else None
    held = [part for part in gc.get_referents(value) if part is not unused]
    arguments = next(part for part in held if type(part) is tuple)
    tables = [part for part in held if type(part) is dict]
    keywords = tables[0] if len(tables) > 1 else {}  # the last one has the attributes, by thread
    return rebuilding.thread_local, (kind, arguments, keywords), dict(_local.__getattribute__(value, "__dict__")) or None


_FAMILIES[_local] = _thread_local
