"""A live module that is watched: what it was at the last boundary of a transaction, and what has changed since."""

from __future__ import annotations

import sys
import types
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import is_
from typing import Any, Protocol

from persistent import Persistent
from ZODB.POSException import POSKeyError, ReadConflictError
from ZODB.utils import z64

from persistmod import datastate, telling
from persistmod.datastate import IMPORT_SYSTEM
from persistmod.errors import ConversionError
from persistmod.imported import forget
from persistmod.telling import Picture
from persistmod.writes import uninterrupted


class DataRecord(Protocol):
    """What is needed of the record of a closed module."""

    name: str
    version: int
    leaks: Mapping[str, object]
    _p_changed: Any
    _p_oid: Any
    _p_serial: Any
    _p_jar: Any
    _v_image: Any  # what was read ahead of it
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

    def read_ahead(self) -> None:
        """Read what following a version reads when the first thing has been written: whatever cannot be read is known before."""

    def take_over(self, module: types.ModuleType) -> None:
        """Have a live module belong to this record, which another connection has made or changed."""

    def has_state(self) -> bool:
        """Return whether the running Python loads the module from its state: it is closed."""

    def image_holder(self) -> Any:
        """Return the persistent object that holds the image of the running Python, None if there is none."""

    def save_data(self, data: dict[str, Any], live: dict[str, Any], removed: tuple[str, ...], is_data: datastate.IsData = ...) -> None:
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
    leaks: frozenset[str] = frozenset()
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
        self.leaks = frozenset(self.record.leaks)
        self.is_saved = self.is_marked = self.is_renewed = self.is_applied = False
        self.record._v_image = None

    def follow_data(self) -> None:
        """Make the data of the live module what the database says."""
        data = self.record.base_data(self.namespace)
        stored, removed = self.record.stored_data()
        datastate.put(self.namespace, {**data, **stored})
        for name in (*removed, *(set(self.stored) - data.keys() - stored.keys())):
            self.namespace.pop(name, None)

    def is_data(self, name: str) -> bool:
        """Return whether what the module has under a name is stored apart from the image, or is to be."""
        return name in self.stored or self.before.get(name, self) is not self.namespace.get(name)

    def save(self, changed: dict[str, Any], removed: tuple[str, ...], is_data: datastate.IsData) -> None:
        """Store data that have changed, those that were in place with them if the record is marked; `is_data` asks other modules."""
        record, namespace = self.record, self.namespace
        data = {**{path: namespace[path] for path in record.stored_paths() if path in namespace}, **changed}
        if record._p_serial == z64:  # new in this transaction, so changed anyhow: its data may be just what the body made
            mutable = datastate.mutable_data(namespace, record.name)
            data.update(datastate.own_data(mutable, record.name, namespace))
            if not changed and not removed and (self.is_removed() or record.is_base_data(data, namespace)):
                return
        elif self.is_marked:
            data.update(datastate.mutable_data(namespace, record.name))
        gone = {*record.stored_data()[1], *removed} - namespace.keys()
        try:
            record.save_data(data, namespace, tuple(sorted(gone)), is_data)
        except ConversionError as error:
            advice = "a closed module's data are stored with it; add the module with run='always' to keep them in the process"
            raise ConversionError(f"{error}; {advice}", module=error.module, name=error.name) from error

    def picture(self) -> Picture:
        """Take a picture of the live module, as the version that it has here."""
        return telling.picture(self.name, self.version, self.serial[0], self.leaks, self.module)

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


def are_as_before(watched: Collection[Watched]) -> bool:
    """Return whether every global of every module is the object that it was."""
    before = [one.before for one in watched]
    now = [one.namespace for one in watched]
    if [*map(len, before)] != [*map(len, now)]:
        return False
    return all(map(is_, chain.from_iterable(map(dict.values, before)), chain.from_iterable(map(dict.values, now))))


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
