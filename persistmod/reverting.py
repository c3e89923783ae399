"""The way back: what an object was like, kept so that it can be made like that again.

Contents are copied by the methods of the built-in types, and written past the methods of the object's own class.
"""

from __future__ import annotations

import array
import copyreg
import types
from _random import Random
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

_Undo = Callable[[Any], object]


class Reverter:
    """Keeps copies of objects; `put_back` makes an object what it was when it was last kept."""

    def __init__(self) -> None:
        self._undo: dict[int, _Undo] = {}

    def keep(self, values: Iterable[Any]) -> None:
        for value in values:
            undo = _undo(value)
            if undo is not None:
                self._undo[id(value)] = undo

    def put_back(self, value: Any) -> None:
        undo = self._undo.get(id(value))
        if undo is not None:
            undo(value)

    def own_containers(self) -> set[int]:
        """Return the ids of the containers that hold the copies."""
        ids: set[int] = set()
        for undo in self._undo.values():
            arguments = getattr(undo, "args", ())
            ids |= {id(undo), id(arguments), *map(id, arguments)}
        return ids


def _undo(value: Any) -> _Undo | None:
    kind = type(value)
    if issubclass(kind, type):
        return partial(_put_back_class, dict(vars(value)))
    for base, save in _SAVERS.items():
        if issubclass(kind, base):
            return save(value)
    return partial(_put_back_instance, *_attributes(value))


def _put_back_dict(before: dict[Any, Any], value: dict[Any, Any]) -> None:
    """Change no more than has changed: the dictionary may be the namespace of what runs here."""
    for key in [key for key in value if key not in before]:
        dict.__delitem__(value, key)
    for key, item in before.items():
        if dict.get(value, key, before) is not item:
            dict.__setitem__(value, key, item)


def _sequence(base: Any) -> Callable[[Any], _Undo]:
    return lambda value: partial(_put_back_items, base, base.copy(value))


def _put_back_items(base: Any, before: Any, value: Any) -> None:
    base.clear(value)
    (base.extend if hasattr(base, "extend") else base.update)(value, before)


def _put_back_array(before: Any, value: Any) -> None:
    value[:] = before


def _function(value: types.FunctionType) -> _Undo:
    keywords = value.__kwdefaults__
    return partial(_put_back_function, (value.__code__, value.__defaults__, keywords and dict(keywords), dict(vars(value))))


def _put_back_function(before: tuple[Any, ...], value: types.FunctionType) -> None:
    value.__code__, value.__defaults__, value.__kwdefaults__, attributes = before
    _put_back_dict(attributes, vars(value))


def _cell(value: types.CellType) -> _Undo | None:
    try:
        return partial(_put_back_cell, (value.cell_contents,))
    except ValueError:
        return partial(_put_back_cell, ())


def _put_back_cell(before: tuple[Any, ...], value: types.CellType) -> None:
    if before:
        (value.cell_contents,) = before
    else:
        del value.cell_contents


def _put_back_class(before: dict[str, Any], value: type) -> None:
    now = dict(vars(value))
    for name in now.keys() - before.keys():
        type.__delattr__(value, name)
    for name, attribute in before.items():
        if now.get(name, now) is not attribute:
            type.__setattr__(value, name, attribute)


def _attributes(value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the attributes in the dictionary of an instance, and those in its slots."""
    slots = {}
    for name in copyreg._slotnames(type(value)):  # type: ignore[attr-defined]
        try:
            slots[name] = object.__getattribute__(value, name)
        except AttributeError:
            continue
    try:
        return dict(object.__getattribute__(value, "__dict__")), slots
    except AttributeError:
        return {}, slots


def _put_back_instance(attributes: dict[str, Any], slots: dict[str, Any], value: Any) -> None:
    now, now_in_slots = _attributes(value)
    if now or attributes:
        _put_back_dict(attributes, object.__getattribute__(value, "__dict__"))
    for name in now_in_slots.keys() - slots.keys():
        object.__delattr__(value, name)
    for name, slot in slots.items():
        object.__setattr__(value, name, slot)


_SAVERS: dict[type, Callable[[Any], _Undo | None]] = {
    dict: lambda value: partial(_put_back_dict, dict.copy(value)),
    list: _sequence(list),
    set: _sequence(set),
    deque: _sequence(deque),
    bytearray: lambda value: partial(_put_back_array, bytes(value)),
    array.array: lambda value: partial(_put_back_array, value[:]),
    types.FunctionType: _function,
    types.CellType: _cell,
    Random: lambda value: partial(_put_back_random, Random.getstate(value)),
}


def _put_back_random(before: Any, value: Any) -> None:
    Random.setstate(value, before)
