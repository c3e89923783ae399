"""Names in a module's namespace: which definitions it has, and which of several names of one is the canonical one."""

from __future__ import annotations

import keyword
import sys
import types
from typing import Any

from persistmod.errors import InvalidNameError
from persistmod.functions import contents


def definitions(namespace: dict[str, Any], module: str) -> dict[str, Any]:
    """Return `{canonical name: definition}` of the functions and classes that a namespace itself defines.

    Of several names of one object the one that is its `__name__` is canonical, else the first; the others are aliases.
    """
    found: dict[int, tuple[str, Any]] = {}
    for name, value in namespace.items():
        if is_definition(value, namespace, module):
            known = found.get(id(value))
            if known is None or (value.__name__ == name and known[1].__name__ != known[0]):
                found[id(value)] = (name, value)
    return dict(found.values())


def is_definition(value: Any, namespace: dict[str, Any], module: str) -> bool:
    """Return whether a value bound at module level is a function or class of the module itself, decorated or not.

    `isinstance` would ask the value for its class, and a proxy may have any answer.
    """
    if issubclass(type(value), type):
        return is_declared(value, module, namespace) and type(getattr(value, "__name__", None)) is str
    if type(value) is types.FunctionType:
        return value.__globals__ is namespace or is_declared(value, module, namespace) or is_around(value, namespace)
    wrapped = callable(value) and vars_of(value).get("__wrapped__")
    return isinstance(wrapped, types.FunctionType) and is_declared(wrapped, module, namespace) and hasattr(value, "__name__")


def is_around(value: Any, namespace: dict[str, Any], depth: int = 4) -> bool:
    """Return whether a decorator of another module made a callable around a function of this one: it holds that in a cell or an attribute.

    Decorators may stand on each other, `depth` of them.
    """
    is_function = type(value) is types.FunctionType
    if is_function and value.__globals__ is namespace:
        return False
    inner = [held for cell in value.__closure__ or () for held in contents(cell)] if is_function else [*vars_of(value).values()]
    inner = [held for held in inner if callable(held) and not issubclass(type(held), type)]
    if any(type(held) is types.FunctionType and held.__globals__ is namespace for held in inner):
        return True
    return depth > 1 and any(is_around(held, namespace, depth - 1) for held in inner)


CONTRIBUTES = "__contributes__"


def is_declared(value: Any, module: str, namespace: dict[str, Any]) -> bool:
    """Return whether a function or class says that it is defined in a module.

    Scripts that contribute to one namespace share its name; what is called by a name that another contributes is the other's.
    """
    if value.__module__ not in (module, namespace.get("__name__", module)):
        return False
    contributed = namespace.get(CONTRIBUTES)
    return contributed is None or value.__qualname__.partition(".")[0] in contributed


def has_own_globals(function: types.FunctionType) -> bool:
    """Return whether a function was made by `exec` in a dictionary that is the namespace of no module."""
    module = sys.modules.get(function.__globals__.get("__name__", ""))
    return module is None or vars_of(module) is not function.__globals__


def vars_of(value: Any) -> dict[str, Any]:
    """Return the `__dict__` of a value, {} if it has none, past its own attribute access."""
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}
    return attributes if isinstance(attributes, dict) else {}


def check_name(name: str) -> None:
    """Raise InvalidNameError unless `name` can be imported: identifiers with dots between, no keyword needed for `import`."""
    if not isinstance(name, str):
        raise TypeError(f"the name of a module must be str, not {type(name).__name__}")
    parts = name.split(".")
    if not all(part.isidentifier() for part in parts):
        raise InvalidNameError(f"{name!r} cannot be the name of a module: it must be identifiers with dots between", module=name)
    keywords = [part for part in parts if keyword.iskeyword(part)]
    if keywords:
        problem = f"{keywords[0]!r} is a keyword, so no statement can import it"
        raise InvalidNameError(f"{name!r} cannot be the name of a module: {problem}", module=name)
    if "__init__" in parts:
        advice = "add the package itself with package=True"
        raise InvalidNameError(f"{name!r} cannot be the name of a module: {advice}", module=name)
    if name == "__main__":
        raise InvalidNameError("'__main__' is another module in every process; give it a name of its own", module=name)
