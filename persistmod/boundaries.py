"""Where the transactions of a process begin and end, so that new code comes between them.

    begin ──> settle: look for code, apply it when nobody else is inside ──> inside ──> completion

A connection is *inside* from the beginning of a transaction to its end, or from its first change if nobody began one: what reads without
`begin()` is in no transaction, and may see the code change. While code waits to be applied, transactions that begin wait for those that are
inside to end. Nobody waits for a transaction of his own thread, since that cannot end meanwhile: tasks of an event loop, and connections
that were opened within a transaction, get the code at a later boundary.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from threading import current_thread, get_ident
from typing import Any, Protocol

from ZODB.Connection import Connection
from ZODB.DB import DB
from ZODB.mvccadapter import MVCCAdapter

from persistmod.errors import HookError, QuiesceError

logger = logging.getLogger("persistmod")

POLICIES = ("postpone", "apply", "raise")

# After how many seconds one who waits looks again, though nobody called.
_PATIENCE = 0.05

# Every snapshot of a database is newer than this.
_CLOSED = b""


class Code(Protocol):
    """The code of a process: what has been committed, and what of it waits to be applied. Called by one thread at a time."""

    importers: dict[int, int]

    @property
    def is_pending(self) -> bool:
        """Whether something waits to be applied."""

    @property
    def has_failed(self) -> bool:
        """Whether something could not be applied."""

    @property
    def wants_retry(self) -> bool:
        """Whether what could not be applied should be tried again now."""

    @property
    def snapshot(self) -> bytes:
        """What the code that runs was read from."""

    def look(self) -> bytes:
        """Find out what has been committed; return the snapshot that this was read from."""

    def apply(self) -> None:
        """Apply what waits. It never raises: what cannot be applied is kept, to be tried again."""


class Boundaries:
    """The boundaries of the transactions of one database in this process.

    `timeout`: how many seconds a beginning transaction waits for others to end. `policy`: what it does then; "postpone" goes on with
    the code that runs, "apply" applies the new one under the others' feet, "raise" raises QuiesceError.
    """

    def __init__(self, db: DB, code: Code, timeout: float, policy: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout = timeout
        self.policy = policy
        self.snapshot_of = reader_of_snapshots(db)
        self._db = db
        self._code = code
        self._clock = clock
        # Transactions that read this snapshot begin at once.
        self.settled = _CLOSED
        self._applied = _CLOSED  # the snapshot of the code that runs
        self.waiting = 0
        self._condition = threading.Condition(threading.Lock())
        self._busy = 0  # the thread that applies or holds
        self.holder: Any = None  # the connection whose transaction holds
        self._wanting = 0  # how many wait to hold
        self._deadline: float | None = None  # of what is pending
        self._is_reported = False
        self._klass = db.klass
        self._skipped: list[Any] = []

    # The connections

    def attach(self, skipped: list[Any]) -> None:
        """Have all connections of the database tell of their boundaries, but those in `skipped`."""
        hooked = _telling(self._klass, self)
        self._skipped = skipped
        self._db.klass = hooked
        for connection in self._connections():
            if type(connection) is self._klass:
                connection.__class__ = hooked
        _attached[self._db] = self

    def detach(self) -> None:
        """Let go of the connections."""
        hooked = self._db.klass
        del self._db.klass
        _attached.pop(self._db, None)
        for connection in self._connections():
            if type(connection) is hooked:
                connection.__class__ = self._klass
                for name in _MARKS:
                    connection.__dict__.pop(name, None)

    def refuse(self) -> None:
        """In a forked process: have no connection begin a transaction, since the parent talks through the same sockets."""
        self._db.klass.newTransaction, self._db.klass.afterCompletion = _refuse, _leave

    def _connections(self) -> list[Any]:
        return [connection for connection in connections_of(self._db) if all(connection is not other for other in self._skipped)]

    def inside(self) -> list[Any]:
        """Return the connections that are inside a transaction."""
        running = sys._current_frames().keys()  # a thread that Python did not start counts as alive for ever
        found = [one for one in self._connections() if one.opened and (one.is_inside or not one._needs_to_join)]
        return [one for one in found if one.thread is not None and one.thread.is_alive() and one.thread.ident in running]

    # Boundaries

    def settle(self, connection: Any, may_wait: bool = True, read_again: Callable[[], object] = lambda: None) -> None:
        """Begin a transaction of a connection: see that its code and its data are of one version; None is nobody's boundary.

        `read_again` gives the connection the newest snapshot. Raises QuiesceError if that is the policy, or if an update that has not been
        committed yet holds all others up for too long.
        """
        if self._busy == get_ident():
            return  # within what holds the others up
        with self._condition:
            if connection is None:
                self._settle(connection, may_wait)
            else:
                begins, connection.is_inside = connection.is_inside, False
                self._settle(connection, may_wait)
                while self.snapshot_of(connection) < self._applied:
                    read_again()
                    self._settle(connection, may_wait)
                connection.is_inside = begins

    def settle_after(self, connection: Any, read_again: Callable[[], object]) -> None:
        """Settle at the end of a transaction, which has not failed if what others committed cannot be looked up."""
        try:
            self.settle(connection, False, read_again)
        except Exception:  # of a storage
            logger.exception("what was committed cannot be looked up; what runs goes on")

    def _settle(self, connection: Any, may_wait: bool) -> None:
        begun = self._clock()
        while True:
            if not self._busy and not self._wanting:
                if self._is_current(connection):
                    return
                self.settled = _CLOSED
                if not self._blocking(connection):
                    self._apply()
                    return
            if not may_wait:
                return
            deadline = begun + self.timeout if self._busy or self._wanting or self._deadline is None else self._deadline
            remaining = deadline - self._clock()
            if remaining <= 0:
                self._give_up()
                return
            if get_ident() in self._blocking(connection):
                return
            self._wait(remaining)

    def _is_current(self, connection: Any) -> bool:
        """Look what was committed up to the snapshot of a connection, and whether any of it is to be applied."""
        begun = self._clock()
        seen = self._code.look()
        while connection is not None and seen < self.snapshot_of(connection) and self._clock() < begun + self.timeout:
            time.sleep(0.0005)  # a commit is being told to one connection after the other
            seen = self._code.look()
        if self._code.is_pending:
            if self._deadline is None:
                self._deadline = self._clock() + self.timeout
            return False
        if self._code.wants_retry and not self._blocking(connection):
            self._apply()
        self.settled = _CLOSED if self._code.has_failed else seen
        return True

    def _apply(self) -> None:
        self._busy, self.settled = get_ident(), _CLOSED
        self._condition.release()  # what is applied may run code that begins transactions
        try:
            self._code.apply()
        finally:
            self._condition.acquire()
            self._applied = self._code.snapshot
            self._busy, self._deadline, self._is_reported = 0, None, False
            self._condition.notify_all()

    def _give_up(self) -> None:
        if self._wanting and not self._busy:
            return
        if not self._busy and not self._is_reported:
            self._is_reported = True
            names = ", ".join(self.blocking())
            logger.warning("new code has waited %g seconds for transactions of %s; policy: %s", self.timeout, names, self.policy)
        if self._busy or self.policy == "raise":
            what = "an update is under way" if self._busy else "new code waits for other transactions to end"
            raise QuiesceError(f"{what}, and {self.timeout:g} seconds were not enough; abort, and try again")
        if self.policy == "apply":
            self._apply()

    def blocking(self) -> tuple[str, ...]:
        """Return the names of the threads that are inside a transaction, or an import."""
        blocking = self._blocking(None)
        return tuple(sorted(thread.name for thread in threading.enumerate() if thread.ident in blocking))

    def _wait(self, seconds: float) -> None:
        self.waiting += 1
        try:
            self._condition.wait(min(seconds, _PATIENCE))  # a thread that dies inside tells nobody
        finally:
            self.waiting -= 1

    def _blocking(self, connection: Any) -> list[int]:
        """Return the threads that are inside a transaction, or an import, of others than a connection's manager."""
        manager = getattr(connection, "transaction_manager", None)
        others = [one.thread.ident for one in self.inside() if one is not connection and one.transaction_manager is not manager]
        return others + list(self._code.importers)

    def must_wait(self) -> bool:
        """Apply what can be applied now; return whether something waits that is not overdue."""
        self.settle(None, may_wait=False)
        return self._code.is_pending and self._deadline is not None and self._clock() < self._deadline

    def look_again(self) -> None:
        """Have transactions that begin, and those that wait to, look for code again."""
        self.settled = _CLOSED
        self.left()

    def left(self) -> None:
        """Note that a transaction has ended."""
        # Who has the lock may want that of the database, which is held where `DB.close` ends transactions.
        if self.waiting and self._condition.acquire(timeout=_PATIENCE):
            self._condition.notify_all()
            self._condition.release()

    # Holding

    def hold(self, connection: Any) -> None:
        """Wait until no other transaction is under way; others wait to begin until that of the connection ends.

        Raises QuiesceError if it cannot be had in time.
        """
        with self._condition:
            if self.holder is connection:
                return
            self._wanting += 1
            try:
                self._wait_for_all(connection)
            finally:
                self._wanting -= 1
                self._condition.notify_all()
            self._busy, self.holder = get_ident(), connection

    def _wait_for_all(self, connection: Any) -> None:
        begun = self._clock()
        while True:
            self.settled = _CLOSED
            blocking = self._blocking(connection)
            if not self._busy and not blocking:
                return
            remaining = begun + self.timeout - self._clock()
            if remaining <= 0:
                raise QuiesceError(f"other transactions did not end within {self.timeout:g} seconds; abort, and try again")
            if get_ident() in (*blocking, self._busy):
                raise QuiesceError("this thread is inside another transaction, which cannot end meanwhile; end it first")
            self._wait(remaining)

    def release(self, connection: Any) -> None:
        """Let others begin again, if this connection holds them up."""
        if self.holder is connection:
            with self._condition:
                self._busy, self.holder, self.settled = 0, None, _CLOSED
                self._condition.notify_all()


_attached: weakref.WeakKeyDictionary[DB, Boundaries] = weakref.WeakKeyDictionary()


def hold(connection: Any) -> None:
    """Hold up the other transactions of this process until that of a connection ends, if code is applied at boundaries here."""
    boundaries = None if connection is None else _attached.get(connection.db())
    if boundaries is not None:
        boundaries.hold(connection)


def connections_of(db: DB) -> list[Any]:
    """Return all connections of a database, those of its pool among them."""
    found: list[Any] = []
    db._connectionMap(found.append)  # under the lock of the database
    return found


def reader_of_snapshots(db: DB) -> Callable[[Any], bytes]:
    """Return a function that says up to where a connection reads: the same for those that read the same, later ones are greater."""
    if isinstance(db._mvcc_storage, MVCCAdapter):
        return attrgetter("_storage._start")  # `lastTransaction` may be older, while a commit is being told
    return lambda connection: connection._storage.lastTransaction()


def _telling(klass: type[Connection], boundaries: Boundaries) -> type[Connection]:
    """Return a class of connections that tell of their boundaries."""
    begin, complete, close = klass.newTransaction, klass.afterCompletion, klass.close
    snapshot_of = boundaries.snapshot_of

    def newTransaction(self: Any, transaction: Any, sync: bool = True) -> None:
        begin(self, transaction, sync)
        if self.before is None:
            self.thread, self.is_inside = current_thread(), transaction is not None
            if snapshot_of(self) != boundaries.settled:
                read_again = partial(begin, self, transaction, False)
                boundaries.settle_after(self, read_again) if self.is_completing else boundaries.settle(self, True, read_again)

    def afterCompletion(self: Any, transaction: Any) -> None:
        if boundaries.holder is self:
            boundaries.release(self)
        self.is_inside, self.is_completing = False, True
        try:
            complete(self, transaction)  # which begins another transaction, unless they begin explicitly
        finally:
            self.is_inside = self.is_completing = False
            if boundaries.waiting:
                boundaries.left()

    def closing(self: Any, primary: bool = True) -> None:
        was_inside, self.is_inside = self.is_inside, False  # another thread may have the connection when close returns
        if self._needs_to_join:
            boundaries.release(self)
        try:
            close(self, primary)
        except BaseException:
            self.is_inside = was_inside
            raise
        boundaries.left()

    methods = {"newTransaction": newTransaction, "afterCompletion": afterCompletion, "close": closing}
    return type(klass.__name__, (klass,), {**_MARKS, **methods, "__module__": klass.__module__})


def _refuse(connection: Any, transaction: Any, sync: bool = True) -> None:
    raise HookError("this process was forked after persistmod.install(); open the database and install it in each process, after the fork")


def _leave(connection: Any, transaction: Any) -> None:
    pass


# What a connection knows of itself.
_MARKS = {"thread": None, "is_inside": False, "is_completing": False}
