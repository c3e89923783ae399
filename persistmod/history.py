"""The history of modules: who changed what, when and why; and taking a transaction back.

It is the storage's own history, nothing is recorded for it. The record of a module is written with every version, that of a definition only
when the definition changes, so the revisions of the two tell which version changed which definition. The past is read through connections
that see it, since what an undo took back cannot be read in the present.
"""

from __future__ import annotations

from base64 import decodebytes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from itertools import count
from typing import Any, Protocol

from persistent.TimeStamp import TimeStamp
from transaction import TransactionManager
from ZODB.interfaces import IMVCCStorage
from ZODB.POSException import POSKeyError
from ZODB.utils import p64, u64

from persistmod.errors import NotRegisteredError, StorageError
from persistmod.records import PersistentModule

_ALL = 1_000_000  # revisions; storages want a number
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class Revision:
    """What one transaction did to a module: `who` (its user) did it, `when` (UTC) and `why` (its description); `tid` is its id in hex.

    `version` is the one that the module had then, `run` whether its body ran once or always. `added`, `changed` and `removed` name
    definitions, `reaped` what had left the source before and was let go of then. Of the oldest revision that a pack has left only what it
    changed is known.
    """

    tid: str
    when: datetime
    who: str
    why: str
    module: str
    version: int
    run: str
    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    reaped: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """All names that something became of."""
        return self.added + self.changed + self.removed + self.reaped


@dataclass(frozen=True, slots=True)
class Change:
    """What a transaction did to the module `name`: its versions before and after; None where it was not registered."""

    name: str
    before: int | None
    after: int | None


class Registered(Protocol):
    """What is needed of a registry."""

    _p_jar: Any
    _p_oid: Any

    def get(self, name: str) -> PersistentModule | None: ...


# What happened


def history(registry: Registered, target: str) -> list[Revision]:
    """Return the versions of a module, or those in which one of its definitions changed (`module.Definition`), the newest first.

    What has not been committed is not in it. NotRegisteredError if there is no such module, or there never was such a definition;
    StorageError for a storage that keeps no history.
    """
    record, name = find(registry, target)
    if record._p_jar is None:
        return []
    check_kept(record._p_jar)
    revisions = list(_revisions(record))
    if name:
        revisions = [revision for revision in revisions if name in revision.names]
        if not revisions and name not in record.definitions:
            raise NotRegisteredError(f"module {record.name} has no history of a definition {name}", module=record.name, name=name)
    return revisions[::-1]


def find(registry: Registered, target: str) -> tuple[PersistentModule, str]:
    """Return the record of the longest module name that `target` begins with, and the rest, which names a definition or is ""."""
    parts = target.split(".")
    for end in range(len(parts), 0, -1):
        record = registry.get(".".join(parts[:end]))
        if record is not None:
            return record, ".".join(parts[end:])
    raise NotRegisteredError(f"no module {target} in the database", module=target)


def check_kept(connection: Any) -> None:
    """Raise StorageError if the storage keeps only the present."""
    db = connection.db()
    # What offers no undo at all, and leaves it to ZODB to show each connection one moment, keeps revisions in memory.
    if not db.supportsUndo() and (hasattr(db.storage, "supportsUndo") or IMVCCStorage.providedBy(db.storage)):
        problem = "the past of a module cannot be read there, nor can anything be undone"
        raise StorageError(f"storage {type(db.storage).__name__} keeps no history: {problem}")


def _revisions(record: PersistentModule) -> Iterator[Revision]:
    """Yield the versions of a module, the oldest first; what was written without being another version is left out."""
    connection = record._p_jar

    @cache
    def written(oid: bytes) -> set[bytes]:
        return {entry["tid"] for entry in _entries(connection, oid)}

    before: _State | None = None
    for entry in reversed(_entries(connection, record._p_oid)):
        state = _state(connection, record._p_oid, entry["tid"])
        if state is not None and not state.is_version_of(before):
            yield _revision(record.name, entry, before, state, written)
        before = state


def _entries(connection: Any, oid: bytes) -> list[dict[str, Any]]:
    """Return what the storage knows of the revisions of an object, up to the moment that the connection sees, the newest first."""
    try:
        entries: list[dict[str, Any]] = connection._storage.history(oid, size=_ALL)
    except POSKeyError:  # it is not committed
        return []
    return [entry for entry in entries if connection.before is None or entry["tid"] < connection.before]


@dataclass(frozen=True, slots=True)
class _State:
    """What the record of a module said after a transaction; `definitions` are {name: oid} of those that the source had."""

    version: int
    log: tuple[str, ...]
    definitions: dict[str, bytes]
    leaks: frozenset[str]
    run: str

    def is_version_of(self, other: _State | None) -> bool:
        return other is not None and (self.version, self.log) == (other.version, other.log)


def _state(connection: Any, oid: bytes, tid: bytes) -> _State | None:
    """Return None for a record whose making was undone."""
    with seeing(connection, _after(tid)) as past:
        try:
            record = past.get(oid)
        except POSKeyError:
            return None
        log = tuple(version.id for version in record.versions)
        definitions = {name: found._p_oid for name, found in record.definitions.items() if name not in record.leaks}
        return _State(record.version, log, definitions, frozenset(record.leaks), record.run)


def _revision(name: str, entry: dict[str, Any], before: _State | None, state: _State, written: Any) -> Revision:
    tid, new = entry["tid"], state.definitions
    is_oldest_left = before is None and state.version > 1
    old = new if is_oldest_left else before.definitions if before is not None else {}
    leaks = before.leaks if before is not None else frozenset()
    return Revision(
        tid.hex(), when(tid), _who(entry), _text(entry["description"]), name, state.version, state.run,
        added=_sorted(new.keys() - old.keys()),
        changed=_sorted({key for key in new.keys() & old.keys() if new[key] != old[key] or tid in written(new[key])}),
        removed=_sorted(old.keys() - new.keys()),
        reaped=_sorted(leaks - state.leaks - new.keys()),
    )  # fmt: skip


def _sorted(names: Any) -> tuple[str, ...]:
    return tuple(sorted(names))


def _who(entry: dict[str, Any]) -> str:
    return _text(entry["user_name"]).removeprefix("/ ")  # the path of Zope's user folders, which others leave empty


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def when(tid: bytes) -> datetime:
    """Return the time of a transaction."""
    return datetime.fromtimestamp(TimeStamp(tid).timeTime(), UTC)


# The past


@contextmanager
def seeing(connection: Any, before: bytes) -> Iterator[Any]:
    """Give a connection that sees the database as it was before a transaction id."""
    db = connection.db()
    # ZODB refuses what is still to come.
    limits = (before, connection.before or _after(db.lastTransaction()))
    past = db.open(TransactionManager(), before=min(limits))
    try:
        yield past
    finally:
        past.close()


def _after(tid: bytes) -> bytes:
    return bytes(p64(u64(tid) + 1))


def source_before(registry: Registered, target: str, before: bytes) -> str:
    """Return the source of a module, or of one definition (`module.Definition`), as it was before a transaction id."""
    if registry._p_jar is None:
        raise NotRegisteredError(f"no module {target} in the database", module=target)
    check_kept(registry._p_jar)
    with seeing(registry._p_jar, before) as past:
        record, name = find(_registered(registry, past), target)
        if not name:
            return record.source
        if name not in record.definitions:
            raise NotRegisteredError(f"module {record.name} had no definition {name} then", module=record.name, name=name)
        return record.definitions[name].source


def _registered(registry: Registered, past: Any) -> Any:
    """Return the modules that were registered then, as a mapping."""
    try:
        return past.get(registry._p_oid)
    except POSKeyError:
        return {}


# Undo


def changes(registry: Registered, tid: bytes) -> list[Change]:
    """Return what a transaction did to the modules of a registry; empty if it wrote no code, or only images of what was there."""
    with seeing(registry._p_jar, tid) as past, seeing(registry._p_jar, _after(tid)) as then:
        old, new = _registered(registry, past), _registered(registry, then)
        found = []
        for name in sorted({*old, *new}):
            was, now = old.get(name), new.get(name)
            if was is None or now is None or was._p_oid != now._p_oid or _is_written(was, now, tid):
                found.append(Change(name, was and was.version, now and now.version))
        return found


def _is_written(was: PersistentModule, now: PersistentModule, tid: bytes) -> bool:
    """Return whether a transaction gave a module another version."""
    now._p_activate()
    return now._p_serial == tid and (was.version, was.versions) != (now.version, now.versions)


def undo(registry: Registered, tid: bytes, force: bool = False) -> list[Change]:
    """Have the transaction under way take back another one, and return what that did; the commit fails where it cannot be done.

    A transaction that changed no code is refused unless `force` is given. StorageError, too, for a storage that undoes nothing.
    """
    connection = registry._p_jar
    check_kept(connection)
    db = connection.db()
    if not db.supportsUndo():
        raise StorageError(f"storage {type(db.storage).__name__} cannot undo: it is kept in memory only")
    entry = _undoable(db, tid)
    found = changes(registry, tid)
    if not found and not force:
        raise StorageError(f"transaction {tid.hex()} ({entry['description'] or 'no description'}) changed no code; --force undoes it, too")
    db.undo(entry["id"], connection.transaction_manager.get())
    return found


def _undoable(db: Any, tid: bytes) -> dict[str, Any]:
    for known, entry in _transactions(db):
        if known == tid:
            return entry
    raise StorageError(f"no transaction {tid.hex()} that can be undone: it never was, or the database was packed since")


def _transactions(db: Any) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Yield (id, what the storage knows) of the transactions that can be undone, the newest first."""
    for first in count(0, _PAGE):
        page = db.undoLog(first, first + _PAGE)
        yield from ((decodebytes(entry["id"] + b"\n"), entry) for entry in page)
        if not page:
            return


def obstacle(registry: Registered, tid: bytes) -> StorageError:
    """Return the error for an undo that failed since what it takes back was changed again: it names what changed it."""
    later = []
    for change in changes(registry, tid):
        newer = [revision for revision in _history_of(registry, change.name) if bytes.fromhex(revision.tid) > tid]
        later += [f"{change.name} was changed by {revision.tid} ({revision.why})" for revision in newer]
    problem = "; ".join(later) or "its objects were changed"
    return StorageError(f"cannot undo {tid.hex()}: since then {problem}; undo that first")


def _history_of(registry: Registered, name: str) -> list[Revision]:
    return history(registry, name) if registry.get(name) is not None else []


# The database


def last_transaction(connection: Any) -> dict[str, str]:
    """Return tid, when (ISO), who and why of the last transaction that the connection sees; where only the id is kept, the first two."""
    db = connection.db()
    for tid, entry in _transactions(db):
        if connection.before is None or tid < connection.before:
            return {"tid": tid.hex(), "when": when(tid).isoformat(), "who": _who(entry), "why": _text(entry["description"])}
    tid = db.lastTransaction()
    return {"tid": tid.hex(), "when": when(tid).isoformat(), "who": "", "why": ""}
