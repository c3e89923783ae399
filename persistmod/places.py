"""Finding the value of a path in the namespace of an earlier run, and who else uses a cell.

A path is a canonical name, with "<name>" for what a function holds in a cell of that name. Each of the functions here returns one that
looks the value up in a namespace, and raises a LookupError or AttributeError if it is not there.
"""

from __future__ import annotations

import gc
import sys
import types
from collections.abc import Callable
from typing import Any

from persistmod import classes
from persistmod.functions import contents
from persistmod.namespace import vars_of
from persistmod.pairing import core_of

Find = Callable[[dict[str, Any]], Any]


def _find(base: dict[str, Any], path: str) -> Any:
    """Return the definition at a path; "<name>" is what a function holds in a cell."""
    first, *rest = path.split(".")
    found = base[first]
    for part in rest:
        found = core_of(found) or found
        found = _held(found)[part[1:-1]] if part.startswith("<") else found.__dict__[part]
    return core_of(found) or found


def _held(function: types.FunctionType) -> dict[str, Any]:
    """Return `{name: contents}` of the cells of a function."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: held for name, cell in cells for held in contents(cell)}


def attribute(path: str, name: str) -> Find:
    return lambda base: getattr(_find(base, path), name)


def item(path: str, name: str) -> Find:
    return lambda base: vars_of(_find(base, path))[name]


def cell(path: str, name: str) -> Find:
    return lambda base: _held(_find(base, path))[name]


def class_item(path: str) -> Find:
    def find(base: dict[str, Any]) -> Any:
        owner, _, name = path.rpartition(".")
        return _find(base, owner).__dict__[name]

    return find


def registry(path: str) -> Find:
    return lambda base: classes.registered(_find(base, path))


# The closure that holds it, the caller's variable, the parameter, the argument of getrefcount, the dictionary of what stands for what.
_REFERENCES_OF_A_CELL = 5


def is_shared(cell: types.CellType, function: types.FunctionType) -> bool:
    """Return whether another function, or a suspended generator or coroutine, has a cell of a function's closure, too."""
    if sys.getrefcount(cell) <= _REFERENCES_OF_A_CELL:
        return False
    return any(_is_other_user(referrer, function) for referrer in gc.get_referrers(cell))


def _is_other_user(referrer: Any, function: types.FunctionType) -> bool:
    if type(referrer) is tuple:
        return referrer is not function.__closure__ and any(
            type(user) is types.FunctionType and user.__closure__ is referrer and not _is_stand_in(user, function)
            for user in gc.get_referrers(referrer)
        )
    frame = next((getattr(referrer, name) for name in _FRAMES if hasattr(type(referrer), name)), None)
    return type(referrer) is types.FrameType or (frame is not None and not _is_running(referrer))


def _is_stand_in(user: types.FunctionType, function: types.FunctionType) -> bool:
    """Return whether a function is one that a scratch module had, which an update made again; nobody has collected it yet."""
    if user.__globals__ is function.__globals__ or user.__qualname__ != function.__qualname__:
        return False
    user_spec, spec = (one.__globals__.get("__spec__") for one in (user, function))
    return spec is not None and getattr(user_spec, "name", None) == spec.name


_FRAMES = ("gi_frame", "cr_frame", "ag_frame")


def _is_running(generator: Any) -> bool:
    return any(getattr(generator, name, False) for name in ("gi_running", "cr_running", "ag_running"))
