"""What a transaction did to live objects, so that its abort, or the rollback of a savepoint, can take it back.

One data manager per transaction; it stores nothing and votes for everything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from persistent import Persistent
from transaction import manager as thread_manager

_KEY = object()


def of(record: Persistent) -> Journal:
    """Return the journal of the transaction that the record's connection is in."""
    manager = thread_manager if record._p_jar is None else record._p_jar.transaction_manager
    transaction = manager.get()
    try:
        journal: Journal = transaction.data(_KEY)
    except KeyError:
        journal = Journal(manager)
        transaction.set_data(_KEY, journal)
    journal.join(transaction)
    return journal


class Journal:
    """The undo steps of one transaction, in order."""

    def __init__(self, manager: Any) -> None:
        self.transaction_manager = manager
        self._has_joined = False
        self._undo: list[Callable[[], object]] = []

    def join(self, transaction: Any) -> None:
        """Be a part of a transaction: also again, after the rollback of a savepoint that is older than the journal."""
        if not self._has_joined:
            transaction.join(self)
            self._has_joined = True

    def on_abort(self, undo: Callable[[], object]) -> None:
        """Call `undo` if the transaction aborts, after what was noted later."""
        self._undo.append(undo)

    def _back_to(self, length: int) -> None:
        while len(self._undo) > length:
            self._undo.pop()()

    def savepoint(self) -> JournalSavepoint:
        return JournalSavepoint(self, len(self._undo))

    def abort(self, transaction: Any) -> None:
        self._has_joined = False
        self._back_to(0)

    def tpc_begin(self, transaction: Any) -> None:
        """Nothing is stored."""

    def commit(self, transaction: Any) -> None:
        """Nothing is stored."""

    def tpc_vote(self, transaction: Any) -> None:
        """There is nothing to object to."""

    def tpc_finish(self, transaction: Any) -> None:
        self._undo.clear()

    def tpc_abort(self, transaction: Any) -> None:
        self._back_to(0)

    def sortKey(self) -> str:
        # Last of all: the live objects follow what the database did.
        return "~persistmod"


class JournalSavepoint:
    """A point in a journal to go back to."""

    def __init__(self, journal: Journal, length: int) -> None:
        self._journal, self._length = journal, length

    def rollback(self) -> None:
        self._journal._back_to(self._length)
