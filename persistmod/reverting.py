"""The way back: what an object was like, kept so that it can be made like that again.

Contents are copied by the methods of the built-in types, and written past the methods of the object's own class. There are many
dictionaries, lists and functions: they are copied in one go. The dictionary of a function is kept as an object of its own.
"""

from __future__ import annotations

import array
import atexit
import sys
import types
from _random import Random
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from operator import attrgetter, is_
from typing import Any

from persistmod.bookkeeping import Notes
from persistmod.classes import slot_value
from persistmod.typeflags import HEAP_TYPE, own_slots

_Undo = Callable[[Any], object]
_function_parts = attrgetter("__code__", "__defaults__", "__kwdefaults__")


class WayBack:
    """What puts back all that a body changed outside, in steps."""

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def add(self, steps: Iterable[Callable[[], object]]) -> None:
        self._steps += steps

    def go(self, made: Iterable[Any]) -> None:
        """Take the steps, the last one first; nothing of what the body made will be called when the process ends."""
        finders = list(sys.meta_path)
        while self._steps:
            self._steps.pop()()
        # Those who ran the body had finders there that are gone by now.
        sys.meta_path[:] = [finder for finder in sys.meta_path if finder in finders]
        for value in made:
            if type(value) in (types.FunctionType, types.MethodType, partial):
                atexit.unregister(value)


class Reverter:
    """Keeps copies of objects; `way_back` gives what makes an object what it was when it was last kept."""

    def __init__(self) -> None:
        self._dicts: dict[int, dict[Any, Any]] = {}
        self._lists: dict[int, list[Any]] = {}
        self._functions: dict[int, tuple[Any, ...]] = {}
        self._undo: dict[int, _Undo] = {}

    def keep(self, values: Iterable[Any]) -> None:
        by_kind: dict[type, list[Any]] = {}
        for value in values:
            by_kind.setdefault(type(value), []).append(value)
        for kind, found in by_kind.items():
            if kind is dict:
                self._dicts.update(zip(map(id, found), map(dict.copy, found), strict=True))
            elif kind is list:
                self._lists.update(zip(map(id, found), map(list.copy, found), strict=True))
            elif kind is types.FunctionType:
                self._functions.update(zip(map(id, found), map(_function_parts, found), strict=True))
            else:
                self._keep_others(kind, found)

    def _keep_others(self, kind: type, values: list[Any]) -> None:
        save = _saver(kind)
        for value in values:
            undo = save(value)
            if undo is not None:
                self._undo[id(value)] = undo

    def way_back(self, value: Any) -> Callable[[], object] | None:
        """Return what puts an object back, None if that is not known; in a dictionary only what differs now is touched then."""
        if type(value) is dict:
            before = self._dicts.get(id(value))
            return None if before is None else _way_back_of_dict(before, value)
        if type(value) is list:
            items = self._lists.get(id(value))
            return None if items is None else _way_back_of_list(items, value)
        if type(value) is types.FunctionType:
            parts = self._functions.get(id(value))
            return None if parts is None else partial(self._put_back_function, parts, value)
        undo = self._undo.get(id(value))
        if undo is None:
            return None
        return partial(undo, value)

    def _put_back_function(self, before: tuple[Any, ...], value: types.FunctionType) -> None:
        value.__code__, value.__defaults__, value.__kwdefaults__ = before
        if id(vars(value)) not in self._dicts:  # it had none
            vars(value).clear()

    def own_containers(self) -> set[int]:
        """Return the ids of the containers that hold the copies."""
        ids: set[int] = set()
        for copies in (self._dicts, self._lists, self._functions):
            ids.update(map(id, copies.values()))
        undo = list(self._undo.values())
        arguments = [each.args for each in undo if type(each) is partial]
        return ids.union(map(id, undo), map(id, arguments), map(id, chain.from_iterable(arguments)))


def _way_back_of_dict(before: dict[Any, Any], value: dict[Any, Any]) -> Callable[[], object]:
    added = [key for key in value if key not in before]
    changed = {key: item for key, item in before.items() if dict.get(value, key, before) is not item}
    return partial(_put_back_items_of_dict, added, changed, value)


def _put_back_items_of_dict(added: list[Any], changed: dict[Any, Any], value: dict[Any, Any]) -> None:
    for key in added:
        dict.pop(value, key, None)
    dict.update(value, changed)


def _way_back_of_list(before: list[Any], value: list[Any]) -> Callable[[], object]:
    """Return what takes out what was appended, if that is all; whatever comes later stays."""
    if len(value) < len(before) or not all(map(is_, value, before)):
        return partial(_put_back_items, list, before, value)
    return partial(_take_out, Notes(value[len(before) :]), value)


def _take_out(added: list[Any], value: list[Any]) -> None:
    for item in reversed(added):
        places = [index for index, held in enumerate(value) if held is item]
        if places:
            list.__delitem__(value, places[-1])


def _saver(kind: type) -> Callable[[Any], _Undo | None]:
    if issubclass(kind, type):
        return lambda value: partial(_put_back_class, dict(vars(value)))
    for base, save in _SAVERS.items():
        if issubclass(kind, base):
            return save
    return _instance_saver(kind)


def _put_back_dict(before: dict[Any, Any], value: dict[Any, Any]) -> None:
    """Change no more than has changed: the dictionary may be the namespace of what runs here."""
    _way_back_of_dict(before, value)()


def _sequence(base: Any) -> Callable[[Any], _Undo]:
    return lambda value: partial(_put_back_items, base, base.copy(value))


def _put_back_items(base: Any, before: Any, value: Any) -> None:
    base.clear(value)
    (base.extend if hasattr(base, "extend") else base.update)(value, before)


def _put_back_array(before: Any, value: Any) -> None:
    value[:] = before


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


def _instance_saver(kind: type) -> Callable[[Any], _Undo]:
    slots = [member for cls in kind.__mro__ for member in (own_slots(cls).values() if cls.__flags__ & HEAP_TYPE else ())]
    return lambda value: partial(_put_back_instance, _attributes(value), [(slot, slot_value(slot, value)) for slot in slots])




def _attributes(value: Any) -> dict[str, Any]:
    """Return a copy of the attributes in the dictionary of an instance."""
    try:
        return dict(object.__getattribute__(value, "__dict__"))
    except AttributeError:
        return {}


def _put_back_instance(attributes: dict[str, Any], slots: list[tuple[Any, tuple[Any, ...]]], value: Any) -> None:
    if attributes or _attributes(value):
        _put_back_dict(attributes, object.__getattribute__(value, "__dict__"))
    for slot, before in slots:
        if before:
            slot.__set__(value, *before)
        elif slot_value(slot, value):
            slot.__delete__(value)


_SAVERS: dict[type, Callable[[Any], _Undo | None]] = {
    dict: lambda value: partial(_put_back_dict, dict.copy(value)),
    list: _sequence(list),
    set: _sequence(set),
    deque: _sequence(deque),
    bytearray: lambda value: partial(_put_back_array, bytes(value)),
    array.array: lambda value: partial(_put_back_array, value[:]),
    types.CellType: _cell,
    Random: lambda value: partial(_put_back_random, Random.getstate(value)),
}


def _put_back_random(before: Any, value: Any) -> None:
    Random.setstate(value, before)
