"""Live functions: what their state is, beyond what `types.FunctionType(code, globals, name, None, closure)` makes of it.

`FunctionType` takes `__module__` from the globals, `__doc__` from the first constant, `__qualname__` from the code. State lists only
what differs, so that most functions need none.
"""

from __future__ import annotations

import sys
import types
from operator import attrgetter
from typing import Any

# What staticmethod and classmethod copy from their function (CPython: functools_wraps in Objects/funcobject.c).
COPIED = frozenset(("__module__", "__name__", "__qualname__", "__doc__", "__annotations__", "__wrapped__", "__type_params__"))

_HAS_DOCSTRING = 0x4000000  # CO_HAS_DOCSTRING, from 3.14 on; before it, a first constant that is a text is the docstring


def state(function: types.FunctionType, module: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return ({built-in attribute: value}, `__dict__`) of what a new function of the same code would lack.

    `module` is the `__name__` that the globals will have when the function is made again.
    """
    slots: dict[str, Any] = {}
    if function.__defaults__:
        slots["__defaults__"] = function.__defaults__
    if function.__kwdefaults__:
        slots["__kwdefaults__"] = function.__kwdefaults__
    if function.__annotations__:
        slots["__annotations__"] = function.__annotations__
    if function.__qualname__ != function.__code__.co_qualname:
        slots["__qualname__"] = function.__qualname__
    if function.__module__ != module:
        slots["__module__"] = function.__module__
    if function.__doc__ != code_docstring(function.__code__):
        slots["__doc__"] = function.__doc__
    if getattr(function, "__type_params__", ()):
        slots["__type_params__"] = function.__type_params__  # type: ignore[attr-defined]
    return slots, function.__dict__


def code_docstring(code: types.CodeType) -> str | None:
    """Return the docstring that a function of this code is born with."""
    first = code.co_consts[0] if code.co_consts else None
    if sys.version_info >= (3, 14) and not code.co_flags & _HAS_DOCSTRING:
        return None
    return first if isinstance(first, str) else None


def contents(cell: types.CellType) -> tuple[Any, ...]:
    """Return the value of a closure cell in a tuple, () if the cell is empty."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def module_of(namespace: dict[str, Any]) -> str | None:
    """Return the name under which the module that owns these globals is imported, if it is."""
    for name in (namespace.get("__name__"), getattr(namespace.get("__spec__"), "name", None)):  # a script has the name of its namespace
        module = sys.modules.get(name) if isinstance(name, str) else None
        if getattr(module, "__dict__", None) is namespace:
            return name
    return None


def added_attributes(holder: staticmethod[Any, Any] | classmethod[Any, Any, Any]) -> dict[str, Any]:
    """Return the attributes of a staticmethod or classmethod that are not the ones of its function, which it copies when it is made."""
    function = holder.__func__
    return {name: value for name, value in holder.__dict__.items() if not _is_copy(name, value, function)}


def _is_copy(name: str, value: Any, function: Any) -> bool:
    if name == "__wrapped__":
        return value is function
    original = getattr(function, name, None)
    return name in COPIED and (value is original or (type(value) is str and value == original))


_BUILT_IN_ATTRIBUTES = (
    *("__defaults__", "__kwdefaults__", "__annotations__", "__doc__", "__name__", "__qualname__", "__module__"),
    *(("__type_params__",) if sys.version_info >= (3, 12) else ()),
)
_built_in_attributes = attrgetter(*_BUILT_IN_ATTRIBUTES)


def copy_attributes(function: types.FunctionType, source: types.FunctionType, resolve: Any) -> None:
    """Give a function everything that its source has beside code, globals and cells; `resolve` is asked for each value."""
    for name, value in built_in_attributes(source).items():
        # Annotations are made of a tuple when they are first asked for: the dictionary may be nobody's yet.
        is_annotations = name == "__annotations__"
        resolved = {key: resolve(item) for key, item in value.items()} if is_annotations else resolve(value)
        if resolved is not getattr(function, name):
            setattr(function, name, resolved)
    for name, value in list(source.__dict__.items()):
        function.__dict__[name] = resolve(value)


def built_in_attributes(function: types.FunctionType) -> dict[str, Any]:
    """Return what a function keeps beside its `__dict__`, code, globals and cells."""
    return dict(zip(_BUILT_IN_ATTRIBUTES, _built_in_attributes(function), strict=True))
