"""The data of closed modules at run time: saved by a commit, taken back by an abort, an undo, or another process's commit.

A connection watches the closed modules that were loaded through it. A global that was rebound is noticed by comparing the namespace with
a shallow copy; a container or an instance that was changed in place must be marked, `record._p_changed = True`, as everywhere in ZODB;
then all mutable data of the module are saved together, so that what they share stays shared.

A transaction that changed nothing costs one comparison by identity over all namespaces; records are looked at only after they have been
invalidated.
"""

from __future__ import annotations

import logging
import types
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import compress
from operator import not_
from threading import get_ident
from typing import Any

from persistent import Persistent
from ZODB.Connection import Connection

from persistmod import datastate, events, telling
from persistmod.boundaries import connections_of
from persistmod.saving import Saver
from persistmod.watching import DataRecord, Failure, Watched, are_as_before, names_of

logger = logging.getLogger("persistmod")


class LiveData:
    """Watches the closed modules of one connection; a synchronizer of its transaction manager."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._watched: dict[str, Watched] = {}
        self._closed: dict[str, Watched] = {}  # those whose data are watched, too
        self._is_registered = False
        # Records of which the connection has been told that they are out of date.
        self.invalidated: set[Any] = set()
        self.waiting: list[Callable[[], object]] = []  # what is to be done when another module has been loaded
        self.importers: dict[int, int] = {}  # how deep in imports threads are
        self.failures: dict[str, Failure] = {}  # what could not be followed, by module
        self._refused: list[events.Event] = []  # which is still to be told
        # Of the connection that owns the live modules of this process: what other connections loaded, to be watched here.
        self.handed_over: list[Watched] = []
        self.on_change: Callable[[], object] = lambda: None  # something was handed over, or an import has ended
        # What had changed when the first body of the imports under way began, by module and name; None if none has.
        self._changed_before: dict[tuple[str, str], Any] | None = None
        connection.transaction_manager.registerSynch(self)  # calls newTransaction if one is under way, which is no boundary
        self._is_registered = True

    @property
    def transaction_manager(self) -> Any:
        """The manager of the connection's transactions."""
        return self._connection.transaction_manager

    def watch(
        self,
        name: str,
        record: Any,
        module: types.ModuleType,
        is_closed: bool,
        base: Any,
        serial: tuple[object, ...],
        stored: tuple[str, ...] = (),
        version: int = 1,
        leaks: Iterable[str] = (),
    ) -> None:
        """Watch a module that has just been loaded, or added; `base` to `leaks` are the DataRecord's, which is not read here."""
        namespace = vars(module) if is_closed else {}
        self._put(name, Watched(name, record, module, namespace, dict(namespace), serial, stored, base, version, frozenset(leaks)))
        waiting, self.waiting = self.waiting, []
        for action in waiting:
            action()

    def _put(self, name: str, watched: Watched) -> None:
        self._drop(name)
        self._watched[name] = watched
        if watched.namespace:
            self._closed[name] = watched

    def _drop(self, name: str) -> None:
        self._watched.pop(name, None)
        self._closed.pop(name, None)

    def renewed(self, record: DataRecord, module: types.ModuleType, names: Iterable[str], is_closed: bool) -> Callable[[], None]:
        """Note that an update has bound or deleted names, which are no data that changed; return what takes the note back."""
        before = self._watched.get(record.name)
        if before is None:
            return lambda: None
        namespace = vars(module) if is_closed else {}
        known = {**namespace, **before.before} if is_closed else {}
        for name in names:
            known.pop(name, None)
        known = {name: known.get(name, value) for name, value in namespace.items()}
        marked = before.is_marked or bool(record._p_changed)
        is_marked = marked and not before.is_renewed
        after = Watched(
            record.name, record, module, namespace, known, before.serial, before.stored, before.base, before.version, before.leaks,
            is_marked, True, True,
        )  # fmt: skip
        self._put(record.name, after)

        def forget() -> None:
            before.is_saved, before.is_marked = True, is_marked  # data that had changed before are taken back, too
            self._put(record.name, before)

        return forget

    def versions(self) -> dict[str, int]:
        """Return `{name: version}` of the live modules."""
        return {name: watched.version for name, watched in list(self._watched.items())}

    def oids_of(self, names: Iterable[str]) -> set[bytes]:
        """Return the oids of what live modules are read from."""
        return {oid for name in names if name in self._watched for oid in self._watched[name].oids()}

    def copy_of(self, name: str) -> dict[str, Any]:
        """Return the copy of a namespace that is kept to notice what changes."""
        return self._watched[name].before if name in self._watched else {}

    def __enter__(self) -> None:
        """Begin an import: what bodies change inside the outermost one is left out, since they will do it again in every process."""
        self.importers[get_ident()] = self.importers.get(get_ident(), 0) + 1

    def __exit__(self, *exception: object) -> None:
        depth = self.importers.pop(get_ident()) - 1
        if depth:
            self.importers[get_ident()] = depth
        else:
            self.on_change()
        if not self.importers:
            self._absorb()

    def body_begins(self) -> None:
        """Note, before a body runs inside an import, what has changed already."""
        if self.importers and self._changed_before is None:
            self._changed_before = dict(self._rebound())

    def _rebound(self) -> Iterator[tuple[tuple[str, str], Any]]:
        for module, watched in () if are_as_before(self._closed.values()) else self._closed.items():
            if watched.is_rebound():
                changed, removed = watched.differences()
                yield from (((module, name), value) for name, value in changed.items())

    def _absorb(self) -> None:
        before, self._changed_before = self._changed_before, None
        if before is None:
            return
        for (module, name), value in list(self._rebound()):
            if before.get((module, name), self) is not value:
                self._watched[module].before[name] = value

    # The synchronizer

    def newTransaction(self, transaction: Any) -> None:
        """Take over what others committed; called for transactions that begin explicitly."""
        if self._is_registered and self._connection.opened is not None:
            # A connection that was closed and opened again is called after this; what it missed must be known here.
            self._connection.newTransaction(transaction, False)
            self.follow_others()

    def beforeCompletion(self, transaction: Any) -> None:
        """Have what changed saved if this is a commit, and note what to take back if it is an abort."""
        if self._connection.opened is None or self._connection.isReadOnly() or owner_of(self._connection) is not None:
            return  # data that change stay the process's own
        if are_as_before(self._closed.values()) and not any(watched.record._p_changed for watched in self._watched.values()):
            return
        changed = False
        for watched in self._watched.values():
            if not watched.is_renewed:  # an update changes the record, too
                watched.is_marked = bool(watched.record._p_changed)
            watched.is_saved = watched.is_marked or watched.is_rebound() or watched.is_renewed
            if watched.is_saved and not watched.is_marked and watched.differences() != ({}, ()):
                watched.record._p_changed = True
            changed = changed or watched.is_saved
        if changed:
            transaction.join(Saver(self.transaction_manager, self.save))

    def afterCompletion(self, transaction: Any) -> None:
        """Take over what others committed; that something cannot be read now is no failure of the transaction, which is over."""
        try:
            self._complete(transaction)
        except Exception:  # of a storage, or of a damaged record
            logger.exception("what was committed cannot be read; what runs goes on")

    def _complete(self, transaction: Any) -> None:
        is_committed = transaction.status == "Committed"
        for name in [name for name, watched in self._watched.items() if watched.record._p_jar is None]:
            self._drop(name)  # its addition was aborted
        for watched in [watched for watched in self._watched.values() if watched.is_saved]:
            watched.take() if is_committed else self._take_back(watched)
        owner = owner_of(self._connection)
        if owner is None or owner is self:
            self.follow_others()
        else:
            self.hand_over(owner)

    def hand_over(self, owner: LiveData) -> None:
        """Let the owner of the live modules watch what this connection loaded."""
        handed_over, self._watched, self._closed = list(self._watched.values()), {}, {}
        if handed_over:
            owner.handed_over += handed_over
            owner.on_change()

    def adopt(self) -> None:
        """Watch the live modules that other connections handed over."""
        while self.handed_over:
            watched = self.handed_over[-1]
            record = self._connection.get(watched.record._p_oid)
            base = None if watched.base is None else self._connection.get(watched.base._p_oid)
            self._put(record.name, replace(watched, record=record, base=base, is_applied=True))
            self.invalidated.add(record._p_oid)
            self.handed_over.pop()

    def applied(self, name: str, log: object) -> Callable[[], None]:
        """Note that a live module has a version already which another connection is to commit; return what takes the note back."""
        watched = self._watched.get(name)
        if watched is None:
            return lambda: None
        serial, is_applied = watched.serial, watched.is_applied
        watched.serial, watched.is_applied = (log, *serial[1:]), True

        def forget() -> None:
            watched.serial, watched.is_applied = serial, is_applied

        return forget

    def follow_others(self) -> None:
        """Take over what others committed, as far as the connection has been told; what fails is in `failures`, and tried again."""
        if not self.invalidated or self._connection.opened is None:
            return
        invalidated, self.invalidated = self.invalidated, set()
        concerned = [watched for watched in self._watched.values() if watched.is_among(invalidated)] if events.is_heard() else []
        before = [watched.picture() for watched in concerned]
        try:
            self._follow_others(invalidated)
        except BaseException:
            self.invalidated |= invalidated
            raise
        after = [watched.picture() if self._watched.get(watched.name) is watched else None for watched in concerned]
        refused, self._refused = self._refused, []
        events.send((*telling.told(zip(before, after, strict=True)), *refused))

    def _follow_others(self, invalidated: set[Any]) -> None:
        for watched in [watched for watched in self._watched.values() if watched.is_among(invalidated) and watched.is_removed()]:
            self._drop(watched.name)
            watched.leave()
        changed = [
            watched
            for watched in list(self._watched.values())
            if watched.is_among(invalidated) and (watched.is_applied or watched.record.data_serial() != watched.serial)
        ]
        is_newer = [watched.serial[0] != watched.record.data_serial()[0] for watched in changed]
        for watched in compress(changed, map(not_, is_newer)):
            watched.record.read_ahead()
        failed = self._follow_code(list(compress(changed, is_newer)))
        following = [watched for watched in changed if all(watched is not other for other in failed)]
        for watched in following:
            if watched.serial[0] != watched.record.data_serial()[0]:
                self._look_at(watched)
        has_data = [watched for watched in following if watched.serial[1:] != watched.record.data_serial()[1:] and watched.namespace]
        datastate.in_turn([watched.follow_data for watched in has_data])
        for watched in following:
            if watched.is_applied:
                watched.record.take_over(watched.module)
            watched.take()
            self.failures.pop(watched.record.name, None)

    def _look_at(self, watched: Watched) -> None:
        """Look at the globals of a module that has new code if it is closed now, and no more if it is not: these are no data."""
        watched.namespace = vars(watched.module) if watched.record.has_state() else {}
        self._put(watched.name, watched)

    def _follow_code(self, changed: list[Watched]) -> list[Watched]:
        """Take over the code that somebody else committed, together or, if that fails, commit by commit; return what failed.

        That keeps the version that runs, and is tried again.
        """
        if not changed:
            return []
        first, *others = [(watched.record, watched.module, watched.serial[0], watched.base) for watched in changed]
        try:
            first[0].follow(*first[1:], others)
        except Exception as error:
            commits: dict[Any, list[Watched]] = {}
            for watched in changed:
                commits.setdefault(watched.record._p_serial, []).append(watched)
            if len(commits) > 1:
                return [watched for serial in sorted(commits) for watched in self._follow_code(commits[serial])]
            self._note_failure(changed, error)
            return changed
        return []

    def _note_failure(self, changed: list[Watched], error: Exception) -> None:
        failures = {watched.record.name: Failure(f"{type(error).__name__}: {error}", watched.record._p_serial) for watched in changed}
        if any(self.failures.get(name) != failure for name, failure in failures.items()):
            text = "%s: a version that was committed cannot be applied; the one before goes on"
            logger.error(text, names_of(failures), exc_info=error)
            self._refused += (events.ModuleRefused(name, error) for name in failures if events.is_heard())
        self.failures |= failures
        self.invalidated |= {watched.record._p_oid for watched in changed}

    def save(self) -> None:
        """Store what has changed. ConversionError names what cannot be stored."""
        for watched in self._watched.values():
            if watched.is_saved:
                changed, removed = watched.differences()
                if watched.is_marked or changed or removed:
                    watched.save(changed, removed, lambda module, name: module in self._closed and self._closed[module].is_data(name))

    def _take_back(self, watched: Watched) -> None:
        if watched.is_rebound():
            watched.put_back()
        if watched.is_marked:
            watched.serial = (watched.serial[0], None)  # until it is read, which may fail
            self.invalidated.add(watched.record._p_oid)
            watched.follow_data()
            watched.take()
        watched.is_saved = watched.is_marked = watched.is_renewed = False


def of(connection: Connection) -> LiveData:
    """Return what watches the closed modules of a connection; the connection owns it."""
    attributes = vars(connection)
    if _ATTRIBUTE not in attributes:
        attributes[_ATTRIBUTE] = LiveData(connection)
    live: LiveData = attributes[_ATTRIBUTE]
    return live


# Which connection owns the live modules of a database that code is applied from at boundaries.
_owners: weakref.WeakKeyDictionary[Any, LiveData] = weakref.WeakKeyDictionary()


def owner_of(connection: Connection | None) -> LiveData | None:
    """Return what watches the live modules of the process, if a connection of its own does."""
    return None if connection is None else _owners.get(connection.db())


def own(connection: Connection) -> LiveData:
    """Have a connection own the live modules of its database, and those that others loaded; it stores no data of theirs."""
    known = vars(connection).pop(_ATTRIBUTE, None)  # from an earlier use of the connection, with another manager
    live = _owners[connection.db()] = of(connection)
    if known is not None:
        known.hand_over(live)
    for other in connections_of(connection.db()):
        if other is not connection and _ATTRIBUTE in vars(other):
            of(other).hand_over(live)
    return live


def disown(connection: Connection) -> None:
    """Take back `own`: what the connection watched is watched by nobody."""
    _owners.pop(connection.db(), None)
    live = vars(connection).pop(_ATTRIBUTE)
    if connection.transaction_manager is not None:  # as that of a database which is closed already
        connection.transaction_manager.unregisterSynch(live)


def version_of(record: Any) -> int | None:
    """Return the version of the live module that is watched for a record."""
    live: LiveData | None = getattr(record._p_jar, _ATTRIBUTE, None)
    watched = None if live is None else live._watched.get(record.name)
    return None if watched is None else watched.version


def importing(connection: Connection | None) -> AbstractContextManager[None]:
    """Mark an import through a connection: what bodies change in other modules is not saved as their data."""
    return nullcontext() if connection is None else of(connection)


def body_begins(connection: Connection | None) -> None:
    """Note that a body begins to run, of a module of the database or of any other."""
    if connection is not None:
        of(connection).body_begins()


class Followed(Persistent):
    """A record that live data are read from: what watches them is told when it is out of date."""

    def _p_invalidate(self) -> None:
        live: LiveData | None = getattr(self._p_jar, _ATTRIBUTE, None)
        if live is not None:
            live.invalidated.add(self._p_oid)
        super()._p_invalidate()


_ATTRIBUTE = "_persistmod_live_data"
