"""A live module that is watched: what it was at the last boundary of a transaction, and what has changed since."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any, Protocol

from persistent import Persistent
from ZODB.POSException import POSKeyError, ReadConflictError

from persistmod.datastate import IMPORT_SYSTEM
from persistmod.imported import forget
from persistmod.writes import uninterrupted


class DataRecord(Protocol):
    """What is needed of the record of a closed module."""

    name: str
    version: int
    _p_changed: Any
    _p_oid: Any
    _p_serial: Any
    _p_jar: Any
    is_removed: bool

    def data_serial(self) -> tuple[object, ...]:
        """Return what changes whenever the stored data change; the persistent objects that are read for it are in it."""

    def stored_paths(self) -> tuple[str, ...]:
        """Return the paths of the values that are stored apart from the image."""

    def stored_data(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return ({path: value} as stored apart from the image, names that are gone)."""

    def base_data(self, namespace: dict[str, Any]) -> dict[str, Any]:
        """Return `{path: value}` of the data that the body made, as copies; `namespace` is the live module's."""

    def is_base_data(self, data: dict[str, Any], namespace: dict[str, Any]) -> bool:
        """Return whether data are what the body made."""

    def follow(self, module: types.ModuleType, known: Any, base: Any, others: Sequence[tuple[Any, ...]] = ()) -> None:
        """Give the live module the version of the record; `known` is the log of the one that it has, `base` what holds its image.

        `others`: (record, module, known, base) of what was committed with it.
        """

    def take_over(self, module: types.ModuleType) -> None:
        """Have a live module belong to this record, which another connection has made or changed."""

    def image_holder(self) -> Any:
        """Return the persistent object that holds the image of the running Python, None if there is none."""

    def save_data(self, data: dict[str, Any], live: dict[str, Any], removed: tuple[str, ...]) -> None:
        """Store data apart from the image."""


# The serial of a record as it was added: no versions after the first, no data apart from the image.
AS_ADDED: tuple[object, ...] = ((),)


@dataclass(slots=True)
class Watched:
    """A live module: its namespace at the last boundary, and which revision of its code and data that was.

    Of a module that is not closed only the code is followed, and `namespace` is empty. `base`: what holds the image it was made from; the
    database keeps that until it is packed.
    """

    name: str
    record: DataRecord
    module: types.ModuleType
    namespace: dict[str, Any]
    before: dict[str, Any]
    serial: tuple[object, ...]
    stored: tuple[str, ...]
    base: Any
    version: int = 1
    is_marked: bool = False
    is_saved: bool = False
    is_renewed: bool = False
    is_applied: bool = False  # loaded or updated by another connection

    def is_rebound(self) -> bool:
        before, now = self.before, self.namespace
        if len(before) == len(now) and all(map(is_, before.values(), now.values())):
            return False
        if self.differences() != ({}, ()) or any(now.get(name, self) is not value for name, value in self._kept().items()):
            return True
        self.before = dict(now)  # submodules came, as imports bind them, or went; they are not looked at again
        return False

    def oids(self) -> set[Any]:
        """Return the oids of what the serial was read from."""
        return {self.record._p_oid, *(part._p_oid for part in self.serial if isinstance(part, Persistent))}

    def is_among(self, oids: set[Any]) -> bool:
        """Return whether one of these is what the serial was read from."""
        return not oids.isdisjoint(self.oids())

    def is_removed(self) -> bool:
        """Return whether the record has left its registry, and perhaps the database with it."""
        return not is_there(self.record) or self.record.is_removed

    def leave(self) -> None:
        """Take the live module out of `sys.modules`, as whoever removed its record did."""
        if sys.modules.get(self.name) is self.module:
            forget(self.name, ())

    def put_back(self) -> None:
        """Bind the globals as they were; submodules that were imported meanwhile stay, and those that were forgotten do not come back."""
        changed, removed = self.differences()
        kept = self._kept()
        bound = {name: value for name, value in self.namespace.items() if name not in changed and name not in self.before}
        with uninterrupted():
            self.namespace.clear()
            self.namespace.update({**kept, **bound})

    def take(self) -> None:
        self.before = dict(self.namespace)
        self.serial = self.record.data_serial()
        self.stored = self.record.stored_paths()
        self.base = self.record.image_holder()
        self.version = self.record.version
        self.is_saved = self.is_marked = self.is_renewed = self.is_applied = False

    def differences(self) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return ({name: value} of globals that were rebound, names that are gone)."""
        before, now = self.before, self.namespace
        changed = {
            name: value
            for name, value in now.items()
            if before.get(name, now) is not value and name not in IMPORT_SYSTEM and not issubclass(type(value), types.ModuleType)
        }
        return changed, tuple(name for name in self._kept() if name not in now)

    def _kept(self) -> dict[str, Any]:
        """Return what was bound, without submodules that are gone."""
        return {name: value for name, value in self.before.items() if name in self.namespace or not self._is_submodule(name)}

    def _is_submodule(self, name: str) -> bool:
        value = self.before[name]
        return issubclass(type(value), types.ModuleType) and getattr(value.__spec__, "name", value.__name__) == f"{self.name}.{name}"


def is_there(record: Any) -> bool:
    """Return whether the database still has what was read from it: it may have been packed since, or its making undone."""
    if record._p_jar is None or record._p_changed is not None:
        return True
    try:
        record._p_jar._storage.load(record._p_oid)  # not by the connection, which logs an error where there is nothing
    except (POSKeyError, ReadConflictError):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a version could not be applied, and the transaction that committed it."""

    error: str
    serial: bytes


def names_of(modules: Iterable[str]) -> str:
    """Return the names of modules as a message begins with them."""
    names = [repr(name) for name in modules]
    return f"module{'s' if len(names) > 1 else ''} {', '.join(names)}"
