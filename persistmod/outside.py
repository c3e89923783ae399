"""The world outside a module, as far as a body can change it: a snapshot of it, what differs from it, and the way back.

A snapshot holds shallow copies of every other module's namespace, of the lists, dictionaries and sets at module level, of the namespaces
of classes and of the `__dict__` of instances there, and of `os.environ`. Copies are made in C, and compared by identity, so that no
method of a foreign object is called. What changes by itself (caches) is left out.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from operator import attrgetter, is_
from typing import Any

# Containers that the standard library fills as a cache, where an entry more changes nothing but speed.
_CACHES = frozenset(
    (
        ("re", "_cache"),
        ("re", "_cache2"),
        ("linecache", "cache"),
        ("sys", "modules"),
        ("sys", "path_importer_cache"),
        ("encodings", "_cache"),
        ("inspect", "modulesbyfile"),
        ("inspect", "_filesbymodname"),
        ("ast", "_const_node_type_names"),
        ("sre_parse", "_cache"),
        ("fnmatch", "_cache"),
        ("struct", "_cache"),
        ("warnings", "onceregistry"),
        ("tokenize", "_compile"),
    )
)
# Names that the interpreter and the import system keep in a namespace for themselves.
_UNWATCHED = frozenset(("__warningregistry__", "__builtins__", "__spec__", "__cached__", "last_traceback", "last_value", "last_exc"))
_UNWATCHED_MODULES = ("persistmod", "importlib", "_frozen_importlib", "_frozen_importlib_external", "__main__", "gc", "linecache")


@dataclass(slots=True)
class _Watched:
    """One container: where it is, the object, and its contents when the snapshot was taken."""

    place: str
    target: Any
    before: Any


class _Group:
    """Containers of one kind, compared together in C: the lengths, then the identities of all values in a row."""

    def __init__(self, values: Callable[[Any], Iterable[Any]]) -> None:
        self.values = values
        self.members: list[_Watched] = []
        self._sizes: list[int] = []
        self._row: list[Any] = []

    def _targets(self) -> Iterator[Any]:
        return map(_TARGET, self.members)

    def is_same(self) -> bool:
        if self._sizes != list(map(len, self._targets())):
            return False
        return all(map(is_, self._row, chain.from_iterable(map(self.values, self._targets()))))

    def differing(self) -> list[_Watched]:
        return [member for member in self.members if not self._is_member_same(member)]

    def _is_member_same(self, member: _Watched) -> bool:
        before, target = member.before, member.target
        values = before.values() if type(before) is dict else before
        return len(before) == len(target) and all(map(is_, values, self.values(target)))

    def settle(self) -> None:
        """Take the members as they are now for the row that is compared."""
        self._sizes = list(map(len, self._targets()))
        self._row = list(chain.from_iterable(map(self.values, self._targets())))


_TARGET = attrgetter("target")
_GROUP_SIZE = 200


class Outside:
    """A snapshot of every module. `inside` is always the namespace whose body runs, which is left out.

    One snapshot can serve many runs, since `take` brings it up to date: what has not changed costs a comparison in C.
    """

    def __init__(self) -> None:
        self._groups: dict[type, list[_Group]] = {}
        self._known: dict[int, _Watched] = {}
        self._namespaces: dict[int, str] = {}

    def take(self, inside: dict[str, Any]) -> None:
        """Bring the snapshot up to date."""
        for group in self._all_groups():
            if not group.is_same():
                self._retake(group, inside)
        for name, module in list(sys.modules.items()):
            namespace = getattr(module, "__dict__", None)
            if type(namespace) is dict and id(namespace) not in self._known and namespace is not inside:
                if name.partition(".")[0] not in _UNWATCHED_MODULES:
                    self._namespaces[id(namespace)] = name
                    self._watch(name, namespace)
                    self._watch_contents(name, namespace, inside)
        if not self._known.get(id(os.environ._data)):  # type: ignore[attr-defined]
            self._watch("os.environ", os.environ._data)  # type: ignore[attr-defined]
        for group in self._all_groups():
            if len(group._sizes) != len(group.members):
                group.settle()

    def own_containers(self) -> set[int]:
        """Return the ids of the containers in which the snapshot itself holds what it compares."""
        rows = {id(group._row) for group in self._all_groups()}
        return rows | {id(watched.before) for watched in self._known.values()}

    def _all_groups(self) -> list[_Group]:
        return [group for groups in self._groups.values() for group in groups]

    def _retake(self, group: _Group, inside: dict[str, Any]) -> None:
        for watched in group.differing():
            watched.before = _copy(watched.target)
            name = self._namespaces.get(id(watched.target))
            if name is not None:
                self._watch_contents(name, watched.target, inside)
        group.settle()

    def _watch_contents(self, name: str, namespace: dict[str, Any], inside: dict[str, Any]) -> None:
        for key, value in list(namespace.items()):
            contents = _contents(value)
            if contents is not None and contents is not inside and (name, key) not in _CACHES:
                self._watch(f"{name}.{key}", contents)

    def _watch(self, place: str, target: Any) -> None:
        known = self._known.get(id(target))
        if known is not None and known.target is target:
            return
        watched = self._known[id(target)] = _Watched(place, target, _copy(target))
        groups = self._groups.setdefault(type(target), [])
        if not groups or len(groups[-1].members) >= _GROUP_SIZE:
            groups.append(_Group(_VALUES[type(target)]))
        groups[-1].members.append(watched)

    def changes(self, inside: dict[str, Any]) -> list[_Watched]:
        """Return what differs from the snapshot."""
        found = [watched for group in self._all_groups() if not group.is_same() for watched in group.differing()]
        return [watched for watched in found if watched.target is not inside and _difference(watched)]

    def reasons(self, inside: dict[str, Any]) -> list[str]:
        """Return what differs from the snapshot, each in words."""
        return [f"its body changes {watched.place}{_difference(watched)}" for watched in self.changes(inside)]

    def restore(self, inside: dict[str, Any]) -> None:
        """Put back what differs from the snapshot."""
        for watched in self.changes(inside):
            _restore(watched.target, watched.before)


_VALUES: dict[type, Callable[[Any], Iterable[Any]]] = {
    dict: dict.values,
    types.MappingProxyType: types.MappingProxyType.values,
    list: iter,
    set: iter,
}


_PLAIN = (str, int, types.FunctionType, types.BuiltinFunctionType, types.ModuleType, types.NoneType, bool, tuple)


def _contents(value: Any) -> Any:
    """Return what is watched of a value at module level: a container itself, the namespace of a class or of an instance."""
    kind = type(value)
    if kind is list or kind is dict or kind is set:  # `in` would ask a metaclass for equality
        return value
    if any(kind is plain for plain in _PLAIN):
        return None
    if issubclass(type(value), type):
        return value.__dict__ if value.__flags__ & (1 << 9) else None
    try:
        contents = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return contents if type(contents) is dict else None


def _copy(target: Any) -> Any:
    return dict(target) if isinstance(target, types.MappingProxyType) else target.copy()


def _difference(watched: _Watched) -> str:
    """Name a key that differs, " " for an unkeyed container, "" if only unwatched names do."""
    target, before = watched.target, watched.before
    if not isinstance(before, dict):
        return " "
    for key in (*before, *target):
        if key not in _UNWATCHED and before.get(key, target) is not target.get(key, before):
            if not _is_submodule(watched.place, key):
                return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!r:.40}]"
    return ""


def _is_submodule(place: str, key: Any) -> bool:
    """Return whether the import system has set this attribute: it binds a submodule in its package."""
    return isinstance(key, str) and f"{place}.{key}" in sys.modules


def _restore(target: Any, before: Any) -> None:
    if type(target) is list:
        target[:] = before
    elif type(target) in (dict, set):
        target.clear()
        target.update(before)
