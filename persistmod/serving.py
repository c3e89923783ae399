"""Live processes: a connection of its own reads the code, and what others commit is applied between the transactions of the process.

    commit elsewhere ──> scout: is any of it code that runs here? ──> boundaries: nobody inside ──> code connection follows ──> live modules

The scout is a second connection: it learns what was committed while the code connection still reads what the running code came from.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import transaction
from ZODB.DB import DB
from ZODB.mvccadapter import MVCCAdapter

from persistmod import importer, livedata
from persistmod.boundaries import POLICIES, Boundaries, reader_of_snapshots
from persistmod.errors import HookError, StorageError
from persistmod.livedata import Followed
from persistmod.registry import Registry, get_registry

logger = logging.getLogger("persistmod")

# How many times a failure is tried again at each boundary; after that it may take a tenth of the time.
_FREE_RETRIES = 10

# After how many seconds the code connection reads what is newest, though it need not: a server may keep for it what is old.
_CATCH_UP = 30.0


@dataclass(frozen=True, slots=True)
class Status:
    """What a process runs.

    `modules`: `{name: version}` of the modules that are loaded. `pending`: names of those of which a newer version waits for transactions
    to end. `failures`: `{name: error}` of those of which a newer version could not be applied; it is tried again at boundaries, and by
    `retry()`. `inside`: how many transactions are under way, `waiting`: how many wait to begin. `blocking`: names of the threads
    whose transactions or imports new code waits for.
    """

    modules: Mapping[str, int]
    pending: tuple[str, ...]
    failures: Mapping[str, str]
    inside: int
    waiting: int
    blocking: tuple[str, ...] = ()


class CodeConnection:
    """The connection that owns the live modules of a process; it stores nothing but images of its Python."""

    def __init__(self, db: DB, clock: Callable[[], float]) -> None:
        self.scout = db.open(transaction.TransactionManager())  # the first, so that it misses nothing that the code connection reads
        self.manager = transaction.TransactionManager()
        self.connection = db.open(self.manager)
        try:
            self.registry = _registry(self.connection)
            self.finder = importer.install(self.registry)
        except BaseException:
            self._close()
            raise
        self.finder.before_reading = self._catch_up
        self.finder.after_failure = self._connect_again
        if not isinstance(db._mvcc_storage, MVCCAdapter):
            self.connection.setstate = self._read
        self.live = livedata.own(self.connection)
        self.importers = self.live.importers
        self._snapshot_of = reader_of_snapshots(db)
        self._clock = clock
        self._changed: set[Any] = set()  # oids of records that run here; None stands for any
        self._is_behind = False
        self._is_applying = False
        self._is_lost = False  # whether reading failed, with a storage that connects again only when a transaction begins
        self.on_lost: Callable[[], object] = lambda: None
        self._error = ""
        self._retries = 0
        self._next_retry = 0.0
        self._next_catch_up = clock() + _CATCH_UP

    def close(self) -> None:
        """Let go of the database and the hook; the live modules stay as they are."""
        importer.uninstall()
        livedata.disown(self.connection)
        self._close()

    def _close(self) -> None:
        self.manager.abort()
        vars(self.connection).pop("setstate", None)
        for connection in (self.connection, self.scout):
            if connection.opened:  # the database may be closed already
                connection.close()

    # What was committed

    @property
    def is_pending(self) -> bool:
        """Whether something waits to be applied, or to be stored, or the connection should be used anew."""
        return bool(self._changed or self._is_lost or self.live.handed_over or not self.connection._needs_to_join)

    @property
    def has_failed(self) -> bool:
        """Whether something could not be applied."""
        return bool(self._error or self.live.failures)

    @property
    def wants_retry(self) -> bool:
        """Whether what could not be applied should be tried again now."""
        return self.has_failed and self._clock() >= self._next_retry

    @property
    def snapshot(self) -> bytes:
        """What the code that runs was read from."""
        return self._snapshot_of(self.connection)

    def look(self) -> bytes:
        """Find out what has been committed; return the snapshot that this was read from. Raises what the storage raises."""
        storage = self.scout._storage
        oids = storage.poll_invalidations()
        seen = self._snapshot_of(self.scout)
        if hasattr(storage, "afterCompletion"):
            storage.afterCompletion()  # a server need not keep what the scout has seen
        if oids is None:
            self._changed.add(None)
        elif oids:
            self._is_behind = True
            cache = self.connection._cache
            self._changed.update(oid for oid in oids if isinstance(cache.get(oid), Followed))
        if self._clock() >= self._next_catch_up and self.finder.reading.acquire(blocking=False):
            try:
                self._catch_up()
            finally:
                self.finder.reading.release()
        return seen

    def _catch_up(self) -> None:
        """Before a module is found: read what is newest, if nothing in it concerns code that runs here."""
        if self._is_behind and not self._changed and not self._is_applying:
            self._is_behind = False
            self._next_catch_up = self._clock() + _CATCH_UP
            self.connection.newTransaction(None, False)

    def _read(self, record: Any) -> None:
        """Read the state of a record, as any connection does; note when that fails."""
        try:
            type(self.connection).setstate(self.connection, record)
        except Exception:
            if not self._is_applying:
                self._is_lost = True
                self.on_lost()
            raise

    def _connect_again(self) -> bool:
        """After a module could not be found: return whether to look again, now that the connection is another one.

        It reads what is newest; if that is not what runs here, a boundary comes first.
        """
        if not self._is_lost or self._changed:
            return False
        self.connection.newTransaction(None, False)
        self._changed |= self.live.invalidated
        self._is_lost = False
        return not self._changed

    # Applying

    def apply(self) -> None:
        """Apply what was committed, and watch what other connections loaded; what fails is kept, to be tried again."""
        begun = self._clock()
        self._is_applying, self._is_lost = True, False
        try:
            self._apply()
        except Exception as error:  # of a storage, or of a damaged record
            self._note_error(f"{type(error).__name__}: {error}", error)
        else:
            self._error = ""
        finally:
            self._is_applying = False
        if self.has_failed:
            self._retries += 1
            pause = 9 * (self._clock() - begun) if self._retries > _FREE_RETRIES else 0.0
            self._next_retry = self._clock() + pause
        else:
            self._retries = 0

    def _apply(self) -> None:
        if not self.connection._needs_to_join:
            self._store_images()
        changed, self._changed = self._changed, set()
        try:
            with self.finder.reading:
                self._is_behind = False
                self.connection.newTransaction(None)
            self.live.adopt()
            self.live.follow_others()
        except BaseException:
            self.live.invalidated |= {oid for oid in changed if oid is not None}
            raise

    def _store_images(self) -> None:
        """Store images that were made for this Python; another process that does so at the same time is as good."""
        try:
            self.manager.get().note("persistmod: images of modules for another Python")
            self.manager.commit()
        except transaction.interfaces.TransientError:
            self.manager.abort()

    def _note_error(self, text: str, error: Exception) -> None:
        if text != self._error:
            logger.error("code that was committed cannot be read; what runs goes on", exc_info=error)
        self._error = text

    def retry_now(self) -> None:
        """Have what failed wait to be applied."""
        self._changed |= self.live.oids_of(self.live.failures)
        if self._error:
            self._changed.add(None)

    def pending(self) -> tuple[str, ...]:
        """Return the names of loaded modules that are to be changed."""
        changed = self._changed
        return tuple(sorted(name for name in self.live.versions() if None in changed or not self.live.oids_of([name]).isdisjoint(changed)))

    def failures(self) -> dict[str, str]:
        """Return `{name: error}` of what could not be applied; an error that concerns no module has the name ""."""
        found = {name: failure.error for name, failure in self.live.failures.items()}
        return {**found, "": self._error} if self._error else found


def _registry(connection: Any) -> Registry:
    """Return the registry, in the database."""
    manager = connection.transaction_manager
    for attempt in manager.attempts(10):
        with attempt:
            registry = get_registry(connection)
    if registry._p_jar is None:
        raise StorageError("there is no registry in the database, and it is open read-only; open it for writing first")
    return registry


_current: list[tuple[CodeConnection, Boundaries]] = []


def install(
    source: DB | Mapping[str, Any], *, quiesce_timeout: float = 10.0, policy: str = "postpone", clock: Callable[[], float] = time.monotonic
) -> None:
    """Import modules of a database in this process until `uninstall()`.

    For a DB, the live modules belong to a connection of their own, and what others commit is applied between the transactions of this
    process, when none is under way in any thread: a transaction sees one version of code and data. One that begins while new code waits
    for others to end waits, too, for `quiesce_timeout` seconds since the code was found. Then `policy` says what it does: "postpone" goes
    on with the code that runs, "apply" applies the new code nevertheless, "raise" raises QuiesceError.
    Data of modules that change stay the process's own.

    A process that is forked afterwards has nothing installed, and its connections begin no transaction: in a server that forks workers,
    each worker opens the database and installs it.

    For a registry, the live modules belong to its connection, whose transactions are those of the caller.

    Raises HookError if something is installed already, StorageError if a database without registry cannot be written.
    """
    if policy not in POLICIES:
        raise ValueError(f"policy must be one of {', '.join(POLICIES)}, not {policy!r}")
    if not isinstance(source, DB):
        importer.install(source)
        return
    if importer.installed() is not None:
        raise HookError(f"persistmod is installed already, for {importer.installed()!r}; uninstall() it first")
    code = CodeConnection(source, clock)
    boundaries = Boundaries(source, code, quiesce_timeout, policy, clock)
    code.live.on_change = boundaries.look_again
    code.on_lost = boundaries.look_again
    code.apply()
    boundaries.attach([code.connection, code.scout])
    _current.append((code, boundaries))
    _notice_forks()


@functools.cache
def _notice_forks() -> None:
    os.register_at_fork(after_in_child=_forget)


def _forget() -> None:
    """In a forked process, let go of what the parent has installed, without a word to the database."""
    while _current:
        code, boundaries = _current.pop()
        importer.uninstall()
        livedata.disown(code.connection)
        boundaries.refuse()


def uninstall() -> None:
    """Take everything that `install` did away again; modules that are imported stay as they are. HookError if nothing is installed."""
    if not _current:
        importer.uninstall()
        return
    code, boundaries = _current.pop()
    boundaries.detach()
    code.close()


def status() -> Status:
    """Return what this process runs, what waits, and what failed. HookError without `install(db)`."""
    code, boundaries = _installed()
    pending, inside = code.pending(), len(boundaries.inside())
    return Status(code.live.versions(), pending, code.failures(), inside, boundaries.waiting, boundaries.blocking() if pending else ())


def retry() -> Status:
    """Look for new code and apply it, also what failed before, waiting as a transaction that begins. HookError without `install(db)`."""
    code, boundaries = _installed()
    code.retry_now()
    boundaries.settle(None)
    return status()


async def boundary() -> None:
    """Wait, with the event loop running, while new code waits for the transactions of other tasks to end; before a task begins one.

    A task that begins without it cannot wait for others of its thread, and goes on with the code that runs. At most `quiesce_timeout`
    seconds; then what `install` was told to do is done when the transaction begins. HookError without `install(db)`.
    """
    code, boundaries = _installed()
    while boundaries.must_wait():
        await asyncio.sleep(0.002)


def _installed() -> tuple[CodeConnection, Boundaries]:
    if not _current:
        raise HookError("no database is installed in this process; persistmod.install(db) comes first")
    return _current[-1]
