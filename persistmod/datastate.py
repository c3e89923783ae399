"""The data of a module as a state of its own, neutral to the Python that made it.

Data are what the code of a module works on: lists, dictionaries, sets and instances of the module's classes that are bound at module level
or as attributes of its classes, and atoms. Definitions stand in a data state by name, and so does everything that a name of the module
is bound to and that is not part of the state: a state is loaded into the live module, where those are found again, by identity.

A path is a name, or "Class.attribute".
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from persistmod import classes, pickling
from persistmod.errors import DamagedRecordError
from persistmod.namespace import CONTRIBUTES, is_declared
from persistmod.scope import ModuleScope, has_value_semantics
from persistmod.state import Dump
from persistmod.typeflags import HEAP_TYPE

ATOMS = (types.NoneType, bool, int, float, complex, str, bytes)
IMPORT_SYSTEM = frozenset(("__builtins__", "__spec__", "__loader__", "__cached__", "__warningregistry__", "__path__", CONTRIBUTES))
_CONTAINERS = (list, dict, set)


IsData = Callable[[str, str], bool]


class DataScope(ModuleScope):
    """The scope in which data are walked; `live` is the namespace of their module.

    `is_data` tells whether what another module has under a name are data, stored apart from its image. They are referred to if its name
    comes first, else taken by value: two modules that have an object would refer to each other, and nobody would have it.
    """

    def __init__(self, module: str, data: dict[str, Any], live: dict[str, Any], is_data: IsData = lambda module, name: False) -> None:
        super().__init__(module, data, {})
        self._is_data = is_data
        self._live = self.whole = live
        self._places = _places(module, data, live)

    def reference(self, value: Any) -> tuple[str, str] | None:
        place = self._places.get(id(value))
        if place is not None:
            return self.module, place
        if issubclass(type(value), type | types.FunctionType) and _at(self._live, value.__qualname__) is value:
            return self.module, value.__qualname__
        found = super().reference(value)
        return None if found is not None and found[0] > self.module and self._is_data(*found) else found

    def has_raw_instances(self, kind: type) -> bool:
        return is_declared(kind, self.module, self._live) or super().has_raw_instances(kind)

    def is_own(self, value: Any) -> bool:
        return True


class LeakScope(DataScope):
    """The scope in which definitions that left the source are walked: they are taken by value, all else of the module by name.

    `made`: ids of other objects that the body made, which are taken by value though other modules have imported them.
    """

    def __init__(self, module: str, leaked: dict[str, Any], live: dict[str, Any], made: set[int]) -> None:
        super().__init__(module, leaked, live)
        self._leaked = leaked
        self._made_ids = made
        self._places = {key: path for key, path in self._places.items() if path.partition(".")[0] not in leaked}

    def reference(self, value: Any) -> tuple[str, str] | None:
        if id(value) in self._made_ids:
            return None
        if id(value) not in self._places and issubclass(type(value), type | types.FunctionType):
            if value.__qualname__.partition(".")[0] in self._leaked:
                return None if is_declared(value, self.module, self._live) else ModuleScope.reference(self, value)
        found = super().reference(value)
        return None if found is not None and found[0] == self.module and found[1].partition(".")[0] in self._leaked else found


def dump_leaked(module: str, leaked: dict[str, Any], live: dict[str, Any], base: dict[str, Any]) -> Dump:
    """Walk `{name: value}` of what left the source of a module; ConversionError names what cannot be stored.

    `base` is the namespace as the body filled it, loaded again: what was imported is the same object in it, what the body made is not.
    """
    data = {name: value for name, value in leaked.items() if not issubclass(type(value), type | types.FunctionType)}
    made = {id(value) for name, value in data.items() if name in base and base[name] is not value and type(base[name]) is type(value)}
    return pickling.dump(LeakScope(module, leaked, live, made))


def _places(module: str, data: dict[str, Any], live: dict[str, Any]) -> dict[int, str]:
    """Return `{id: path}` of what is bound in a module and its classes and is not among `data`; atoms have no identity."""
    places: dict[int, str] = {}
    for name, value in live.items():
        if name not in data and _has_identity(value):
            places.setdefault(id(value), name)
    for cls in _own_classes({name: value for name, value in live.items() if name not in data}, module, live):
        for name, value in vars(cls).items():
            path = f"{cls.__qualname__}.{name}"
            if path not in data and _has_identity(value) and not _is_special(name) and getattr(cls, name, places) is value:
                places.setdefault(id(value), path)
    for value in data.values():
        places.pop(id(value), None)
    return places


def _has_identity(value: Any) -> bool:
    """Return whether it matters which of two equal objects a value is; modules are found anyhow."""
    kind = type(value)
    return not (kind in ATOMS or has_value_semantics(kind) or issubclass(kind, types.ModuleType))


def _at(namespace: dict[str, Any], path: str) -> Any:
    """Return what stands at a path, None if nothing does."""
    first, *rest = path.split(".")
    found = namespace.get(first)
    for part in rest:
        found = vars(found).get(part) if isinstance(found, type) else None
    return found


def _own_classes(namespace: dict[str, Any], module: str, live: dict[str, Any]) -> Iterator[type]:
    """Yield the classes of a module that stand under their own names in a part of its namespace, and those in them."""
    pending = [(name, value) for name, value in namespace.items() if issubclass(type(value), type)]
    while pending:
        path, cls = pending.pop()
        if cls.__qualname__ == path and is_declared(cls, module, live):
            yield cls
            pending += [(f"{path}.{name}", value) for name, value in vars(cls).items() if issubclass(type(value), type)]


def dump_data(module: str, data: dict[str, Any], live: dict[str, Any], is_data: IsData = lambda module, name: False) -> Dump:
    """Walk `{path: value}` of a module whose namespace is `live`; ConversionError names what cannot be stored.

    `is_data`: see `DataScope`.
    """
    return pickling.dump(DataScope(module, data, live, is_data))


def mutable_data(namespace: dict[str, Any], module: str) -> dict[str, Any]:
    """Return `{path: value}` of what may change in place, and of atoms that are attributes of classes."""
    data = {name: value for name, value in namespace.items() if not _is_special(name) and _is_mutable(value, module, namespace)}
    for cls in _own_classes(namespace, module, namespace):
        for name, value in vars(cls).items():
            if not _is_special(name) and (type(value) in ATOMS or type(value) in _CONTAINERS):
                data[f"{cls.__qualname__}.{name}"] = value
    return data


def all_data(namespace: dict[str, Any], module: str) -> dict[str, Any]:
    """Return `{path: value}` of what may change in place, of every atom, and of persistent objects."""
    rest = {
        name: value
        for name, value in namespace.items()
        if not _is_special(name) and (type(value) in ATOMS or classes.is_persistent(type(value)))
    }
    return {**rest, **mutable_data(namespace, module)}


def _is_special(name: str) -> bool:
    return name in IMPORT_SYSTEM or (name.startswith("_") and name.endswith("_"))


def _is_mutable(value: Any, module: str, namespace: dict[str, Any]) -> bool:
    return type(value) in _CONTAINERS or _is_instance(value, module, namespace)


def _is_instance(value: Any, module: str, namespace: dict[str, Any]) -> bool:
    """Return whether a value is an instance of a class of the module, with attributes that can be exchanged."""
    kind = type(value)
    if not is_declared(kind, module, namespace) or issubclass(type(value), type) or classes.is_persistent(kind):
        return False
    return kind.__mro__[-2:] == (kind, object) or all(base.__flags__ & HEAP_TYPE for base in kind.__mro__[:-1])




def own_data(data: dict[str, Any], module: str, namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the data that refer to nothing of a module that imports this one.

    What such modules put in, their bodies will put in again; and to load it they would have to be there before.
    """
    return {path: value for path, value in data.items() if _is_own(value, path, module, namespace)}


def _is_own(value: Any, path: str, module: str, namespace: dict[str, Any]) -> bool:
    names = {name for name, attribute in dump_data(module, {path: value}, namespace).references}
    return not any(_imports(name, module, namespace) for name in names - {module})


def _imports(name: str, module: str, namespace: dict[str, Any]) -> bool:
    """Return whether the module `name` has the live module, or something that it defines, in its namespace."""
    for value in list(vars(sys.modules[name]).values()) if name in sys.modules else ():
        if issubclass(type(value), types.ModuleType):
            if vars(value) is namespace:
                return True
        elif issubclass(type(value), types.FunctionType | type) and (
            getattr(value, "__globals__", None) is namespace or value.__module__ == module
        ):
            return True
    return False


def in_turn(steps: Sequence[Callable[[], object]]) -> None:
    """Do what puts data into modules, twice if it is several: they may refer to those of another module, which are all there then."""
    pending = list(steps)
    while pending:
        failed: list[tuple[Callable[[], object], DamagedRecordError]] = []
        for step in pending:
            try:
                step()
            except DamagedRecordError as error:
                failed.append((step, error))
        if len(failed) == len(pending):
            raise failed[0][1]
        pending = [step for step, _ in failed]
    for step in steps if len(steps) > 1 else ():
        step()


def put(namespace: dict[str, Any], data: dict[str, Any]) -> None:
    """Bind values at their paths. What may change in place and is of the same type is refilled, so that its holders follow."""
    live = {path: _at(namespace, path) for path in data}
    module = namespace.get("__name__", "")
    kept = {
        id(value): live[path]
        for path, value in data.items()
        if type(value) is type(live[path]) and _is_mutable(value, module, namespace) and value is not live[path]
    }
    for value in list(data.values()):
        _substitute(value, kept)
    for path, value in data.items():
        if id(value) in kept:
            _refill(kept[id(value)], value)
        else:
            _bind(namespace, path, value)


def _substitute(value: Any, kept: dict[int, Any]) -> None:
    """Inside lists and dictionaries, put what is kept in place of the copy of it that was loaded."""
    pending, seen = [value], set()
    while pending:
        value = pending.pop()
        if type(value) not in (list, dict) or id(value) in seen:
            continue
        seen.add(id(value))
        for key, item in list(enumerate(value) if type(value) is list else value.items()):
            pending.append(item)
            value[key] = kept.get(id(item), item)


def _refill(current: Any, value: Any) -> None:
    if type(value) is list:
        current[:] = value
    elif type(value) in _CONTAINERS:
        current.clear()
        current.update(value)
    else:
        attributes = object.__getattribute__(current, "__dict__")
        attributes.clear()
        attributes.update(object.__getattribute__(value, "__dict__"))


def _bind(namespace: dict[str, Any], path: str, value: Any) -> None:
    owner, _, name = path.rpartition(".")
    if owner:
        type.__setattr__(_at(namespace, owner), name, value)
    else:
        namespace[name] = value
