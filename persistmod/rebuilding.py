"""What a stored image calls while it is loaded.                                   # stored: format 1

An image is a pickle. Where the pickle machine has no opcode for a step (a class made without running its metaclass, an instance filled
without `__setstate__`), the image calls one of these functions by name, so their names and signatures are public for ever. They import
nothing of persistmod.

The order of the steps is the Pickler's: an object is created empty, memoized, and filled later, so that cycles keep their identity.
"""

from __future__ import annotations

import _abc  # type: ignore[import-not-found]
import _thread
import collections
import importlib
import sys
import types
from collections.abc import Callable, Iterable
from keyword import iskeyword
from typing import Any

from persistmod.typeflags import HEAP_TYPE, own_slots

_set_attribute = type.__setattr__
_set_bases = type.__dict__["__bases__"].__set__


def module(name: str) -> Any:
    """Return the module `name`, imported if need be."""
    return sys.modules.get(name) or importlib.import_module(name)


def import_at(namespace: dict[str, Any], line: int, filename: str, name: str, fromlist: tuple[str, ...], level: int) -> None:
    """Import as the statement at `filename`, `line` of the module's body did.

    The import runs in a frame of that place, so that a warning of the imported module points there, as it does when the body runs; what is
    imported already does not warn.
    """
    if _is_imported(namespace, name, fromlist, level):
        __import__(name, namespace, namespace, fromlist, level)
        return
    code = _import_statement.__code__.replace(
        co_filename=filename, co_firstlineno=line, co_name="<module>", co_qualname="<module>", co_linetable=_one_line
    )
    types.FunctionType(code, namespace)(__import__, name, namespace, fromlist, level)


def _is_imported(namespace: dict[str, Any], name: str, fromlist: tuple[str, ...], level: int) -> bool:
    """Return whether an import finds its module, and all that is taken from it, ready."""
    if level:
        package = str(namespace.get("__package__")).rsplit(".", level - 1)[0]
        name = f"{package}.{name}" if name else package
    found = getattr(sys.modules.get(name), "__dict__", None)
    return found is not None and all(attribute in found for attribute in fromlist)


class Outdated(Exception):
    """An import that failed when the body ran does not fail any more: the image says what is not true."""


def import_fails(namespace: dict[str, Any], line: int, filename: str, name: str, fromlist: tuple[str, ...], level: int) -> None:
    """Do an import that failed in the module's body; it must fail again, or the image is Outdated."""
    try:
        import_at(namespace, line, filename, name, fromlist, level)
    except ImportError:
        return
    raise Outdated(f"{'.' * level}{name} can be imported now")


def _import_statement(
    do_import: Callable[..., Any], name: str, namespace: dict[str, Any], fromlist: tuple[str, ...], level: int
) -> None:
    do_import(name, namespace, namespace, fromlist, level)


def _line_table(units: int) -> bytes:
    """Return a line table that puts `units` code units on the first line of the code (CPython: Objects/locations.md)."""
    table = bytearray()
    while units:
        length = min(units, 8)
        table += bytes((0x80 | (13 << 3) | (length - 1), 0))
        units -= length
    return bytes(table)


_one_line = _line_table(len(_import_statement.__code__.co_code) // 2)


@classmethod  # type: ignore[misc]
def quiet_init_subclass(cls: type, **keywords: Any) -> None:
    """Stand for `__init_subclass__` while classes are rebuilt: it ran when the class was first made."""


class _Quiet:
    """A first base for a class under way: its `__init_subclass__` is found before those of the others, and does nothing."""

    __slots__ = ()
    __init_subclass__ = quiet_init_subclass


def new_class(metaclass: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
    """Make a class from its finished namespace; no hook of its metaclass or of its bases runs.

    `__init_subclass__` is kept quiet by other bases, which are replaced by the true ones. CPython assigns `__bases__` only between
    classes of one layout, so what decides the layout must stay, or have a stand-in.
    """
    for base in bases:
        if not _is_quiet(base):
            return _new_class_quietly(metaclass, name, bases, namespace)
    return type.__new__(metaclass, name, bases, namespace)


def _new_class_quietly(metaclass: type, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
    layout = _layout_base(bases)
    stand_ins: list[tuple[type, type]] = []
    quiet_bases = (_Quiet, *bases) if _solid(layout) is not object else (_stand_in(layout, stand_ins),)
    cls: type = type.__new__(metaclass, name, quiet_bases, namespace)
    _set_bases(cls, bases)
    for stand_in, quiet_base in reversed(stand_ins):
        _set_bases(stand_in, (quiet_base,))  # out of the `__subclasses__()` of a class that is in use
    return cls


def _is_quiet(base: type) -> bool:
    hook = base.__init_subclass__
    if isinstance(hook, types.BuiltinMethodType):  # that of object, or of typing.Generic
        return not any("__init_subclass__" in cls.__dict__ for cls in base.__mro__[:-1])
    return getattr(hook, "__func__", None) is quiet_init_subclass.__func__  # type: ignore[attr-defined]


def _layout_base(bases: tuple[type, ...]) -> type:
    """Return the one base that decides the layout: the one that a class of all `bases` has as `__base__`."""
    best = bases[0]
    for base in bases[1:]:
        if issubclass(_solid(base), _solid(best)) and _solid(base) is not _solid(best):
            best = base
    return best


def _solid(cls: type) -> type:
    """Return the nearest base that adds fields to the layout, `__dict__` and `__weakref__` aside."""
    while cls.__base__ is not None and not _adds_fields(cls):
        cls = cls.__base__
    return cls


def _adds_fields(cls: type) -> bool:
    base = cls.__base__
    if base is None:
        return True
    return bool(own_slots(cls)) or not cls.__flags__ & HEAP_TYPE or cls.__itemsize__ != base.__itemsize__


def _stand_in(base: type, made: list[tuple[type, type]]) -> type:
    """Return a class of the layout of `base`, which has no slots, with a quiet hook; note it with its first base in `made`.

    It must have the same base as `base`: so it is made below a stand-in of that, and moved.
    """
    parent = base.__base__
    if parent is None or _is_quiet(base):
        return base
    namespace: dict[str, Any] = {"__init_subclass__": quiet_init_subclass}
    if "__dict__" not in base.__dict__:
        namespace["__slots__"] = [name for name in ("__weakref__",) if name in base.__dict__]
    quiet_parent = _stand_in(parent, made)
    stand_in = type.__new__(type(quiet_parent), "stand_in", (quiet_parent,), namespace)
    if quiet_parent is not parent:
        _set_bases(stand_in, (parent,))
        made.append((stand_in, quiet_parent))
    return stand_in


def fill_class(cls: type, attributes: dict[str, Any]) -> None:
    """Set `attributes` on `cls`, past the metaclass."""
    for name, value in attributes.items():
        _set_attribute(cls, name, value)


def init_abc(cls: type, registered: Iterable[type]) -> None:
    """Give an abstract base class its registry and caches, then register the classes that were registered."""
    _abc._abc_init(cls)
    for subclass in registered:
        _abc._abc_register(cls, subclass)


def fill_instance(instance: Any, attributes: dict[Any, Any], slots: tuple[tuple[int, str, Any], ...]) -> None:
    """Set the `__dict__` and the slots of an instance; none of its methods is called.

    A slot is given by the index in the class's `__mro__` of the class that has it, its name in that class's namespace, and its value.
    """
    if attributes:
        object.__getattribute__(instance, "__dict__").update(attributes)
    for owner, name, value in slots:
        type(instance).__mro__[owner].__dict__[name].__set__(instance, value)


def fill_holder(holder: staticmethod[Any, Any] | classmethod[Any, Any, Any], attributes: dict[str, Any]) -> None:
    """Let a staticmethod or classmethod copy from its finished function, then set what it does not have from there."""
    holder.__init__(holder.__func__)  # type: ignore[misc]
    holder.__dict__.update(attributes)


def fill_descriptor(target: Any, parts: tuple[Any, ...]) -> None:
    """Have a property, staticmethod or classmethod of a class of the module refer to its functions, past its own methods."""
    base: Any = next(base for base in type(target).__mro__ if base in (property, staticmethod, classmethod))
    try:
        attributes = object.__getattribute__(target, "__dict__")
    except AttributeError:
        attributes = {}
    before = dict(attributes)
    base.__init__(target, *parts)  # which sets attributes, too
    attributes.clear()
    attributes.update(before)


def forward(function: types.FunctionType, place: int, target: Any) -> None:
    """Let a function forward to `target`, which its code has among its constants."""
    constants = function.__code__.co_consts
    function.__code__ = function.__code__.replace(co_consts=(*constants[:place], target, *constants[place + 1 :]))


def fill_cell(cell: types.CellType, value: Any) -> None:
    """Set the contents of a closure cell."""
    cell.cell_contents = value


def fill_list(target: list[Any], items: Iterable[Any]) -> None:
    """Append to a list of a class of the module, past its own methods."""
    list.extend(target, items)


def fill_dict(target: dict[Any, Any], items: dict[Any, Any]) -> None:
    """Set the items of a dictionary of a class of the module, past its own methods."""
    for key, value in items.items():
        dict.__setitem__(target, key, value)


def fill_ordered_dict(target: collections.OrderedDict[Any, Any], items: dict[Any, Any]) -> None:
    """Set the items of an ordered dictionary of a class of the module, past its own methods."""
    for key, value in items.items():
        collections.OrderedDict.__setitem__(target, key, value)


def fill_set(target: set[Any], items: Iterable[Any]) -> None:
    """Add to a set of a class of the module, past its own methods."""
    set.update(target, items)


def lru_cache(wrapper: type, function: Callable[..., Any], maxsize: int | None, typed: bool) -> Any:
    """Make an empty `functools.lru_cache` around `function`."""
    import functools

    return wrapper(function, maxsize, typed, functools._CacheInfo)


def context_variable(name: str, *default: Any) -> Any:
    """Make a context variable, with its default if there is one."""
    import contextvars

    return contextvars.ContextVar(name, default=default[0]) if default else contextvars.ContextVar(name)


def thread_local(cls: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Make a thread local that other threads will initialize with these arguments; for this thread, it is not initialized."""
    return _thread._local.__new__(cls, *arguments, **keywords)


def forward_reference(arguments: dict[str, Any]) -> Any:
    """Make a `typing.ForwardRef` from its attributes: its constructor would compile it again."""
    import typing

    reference = typing.ForwardRef.__new__(typing.ForwardRef)
    for name, value in arguments.items():
        object.__setattr__(reference, name, value)
    return reference


def json_scanner(kind: Any, settings: dict[str, Any]) -> Any:
    """Make the scanner of a JSON decoder, which takes its settings from the attributes of an object."""
    return kind(types.SimpleNamespace(**settings))


def type_parameter(kind: type, name: str, constraints: tuple[Any, ...], keywords: dict[str, Any], where: str) -> Any:
    """Make a TypeVar, ParamSpec or TypeVarTuple whose `__module__` is `where`."""
    is_from_syntax = sys.version_info >= (3, 12) and "infer_variance" in keywords and name.isidentifier() and not iskeyword(name)
    parameter = _declare(kind, name, constraints, keywords) if is_from_syntax else kind(name, *constraints, **keywords)
    if parameter.__module__ != where:
        parameter.__module__ = where
    return parameter


def _declare(kind: type, name: str, constraints: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    """Make a type parameter by the syntax of 3.12, which keeps bounds and defaults as they are; the class checks and converts them."""
    if kind.__name__ == "ParamSpec" and "bound" in keywords:
        return kind(name, **keywords)  # there is no syntax for this bound
    namespace: dict[str, Any] = {"constraints": constraints, **keywords}
    among = "".join(f"constraints[{index}], " for index in range(len(constraints)))
    bound = f": ({among})" if constraints else ": bound" if "bound" in keywords else ""
    default = " = default" if "default" in keywords else ""
    exec(f"def function[{'**' if kind.__name__ == 'ParamSpec' else ''}{name}{bound}{default}](): ...", namespace)
    (parameter,) = namespace.pop("function").__type_params__
    for attribute in ("__constraints__", "__bound__", "__default__"):
        getattr(parameter, attribute, None)  # evaluated now, and kept
    return parameter


def unpacked_alias(origin: Any, arguments: tuple[Any, ...]) -> Any:
    """Make what stands for `*origin[arguments]`."""
    return next(iter(types.GenericAlias(origin, arguments)))


def type_alias(name: str, where: str, box: dict[str, Any]) -> Any:
    """Make a type alias whose value is still to come in `box`, since it may refer to the alias."""
    namespace = {"__name__": where, "box": box}
    exec(f"type {name} = box['value']", namespace)  # a statement of 3.12: nothing else makes an alias without its value
    return namespace[name]


def fill_type_alias(alias: Any, value: tuple[dict[str, Any], Any]) -> None:
    """Give a type alias its value, and have it keep that."""
    value[0]["value"] = value[1]
    _ = alias.__value__


def generic_alias(kind: type, name: str, value: Any, parameters: tuple[Any, ...], where: str) -> Any:
    """Make a type alias that has type parameters; `__module__` is that of the frame that makes it."""
    namespace = {"__name__": where, "kind": kind, "arguments": (name, value), "parameters": parameters}
    return eval("kind(*arguments, type_params=parameters)", namespace)
