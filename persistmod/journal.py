"""What a transaction did to live objects, so that its abort, or the rollback of a savepoint, can take it back; and tells of both.

One data manager per transaction; it stores nothing and votes for everything.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from persistent import Persistent
from transaction import manager as thread_manager

from persistmod import events, telling
from persistmod.telling import Picture

_KEY = object()


class Pictured(Protocol):
    """What is needed of the record of a module."""

    name: str
    version: int
    versions: object
    leaks: Mapping[str, object]


def picture_of(record: Pictured, module: types.ModuleType | None) -> Picture:
    """Take a picture of a module as it is; `module` is the live one, if there is one."""
    return telling.picture(record.name, record.version, (record.versions, record.version), record.leaks, module)


def of(record: Persistent) -> Journal:
    """Return the journal of the transaction that the record's connection is in."""
    journal = _unjoined(record)
    journal.join(journal.transaction_manager.get())
    return journal


def _unjoined(record: Persistent) -> Journal:
    manager = thread_manager if record._p_jar is None else record._p_jar.transaction_manager
    transaction = manager.get()
    try:
        journal: Journal = transaction.data(_KEY)
    except KeyError:
        journal = Journal(manager)
        transaction.set_data(_KEY, journal)
    return journal


def note_added(registry: Persistent, record: Pictured, module: types.ModuleType | None) -> None:
    """Note that a module is in a registry now."""
    if events.is_heard():
        of(registry).note(None, picture_of(record, module))


def note_removed(registry: Persistent, record: Pictured, module: types.ModuleType | None) -> None:
    """Note that a module leaves a registry."""
    if events.is_heard():
        of(registry).note(picture_of(record, module), None)


@contextmanager
def telling_of(record: Persistent, names: Sequence[str]) -> Iterator[None]:
    """Tell, at the end of the outermost such block, what became of modules in it; after an error, that `names` were refused."""
    if not events.is_heard():
        yield
        return
    journal = _unjoined(record)
    known = len(journal.happened)
    journal.depth += 1
    refused: list[events.Event] = []
    try:
        yield
    except BaseException as error:
        del journal.happened[known:]
        if isinstance(error, Exception) and journal.depth == 1:
            refused += (events.ModuleRefused(name, error) for name in names)
        raise
    finally:
        journal.depth -= 1
        events.send(refused)
        if not journal.depth:
            journal.tell()


class Journal:
    """The undo steps of one transaction, in order."""

    def __init__(self, manager: Any) -> None:
        self.transaction_manager = manager
        self._has_joined = False
        self._undo: list[Callable[[], object]] = []
        self.depth = 0  # of blocks in which nothing is told
        # Pictures of modules (before, after) that are to be told.
        self.happened: list[tuple[Picture | None, Picture | None]] = []

    def join(self, transaction: Any) -> None:
        """Be a part of a transaction: also again, after the rollback of a savepoint that is older than the journal."""
        if not self._has_joined:
            transaction.join(self)
            self._has_joined = True

    def on_abort(self, undo: Callable[[], object]) -> None:
        """Call `undo` if the transaction aborts, after what was noted later."""
        self._undo.append(undo)

    def note(self, before: Picture | None, after: Picture | None) -> None:
        """Have it told what became of a module, None where it was not there or is not; and the way back, if the transaction aborts."""
        self.happened.append((before, after))
        self.on_abort(lambda: self.happened.append((after, before)))
        # When all that takes part in the transaction has been aborted, records are what they were, too.
        self.transaction_manager.get().addAfterAbortHook(self.tell)

    @contextmanager
    def noting(self, *modules: tuple[Pictured, types.ModuleType | None]) -> Iterator[None]:
        """Note what becomes of modules in the block, which are there before and after it, if anybody listens."""
        before = [picture_of(*module) for module in modules] if events.is_heard() else []
        yield
        for known, module in zip(before, modules, strict=False):
            self.note(known, picture_of(*module))

    def tell(self) -> None:
        """Tell what happened and has not been told."""
        happened, self.happened = self.happened, []
        events.send(telling.told(happened))

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
        self.tell()

    def sortKey(self) -> str:
        # Last of all: the live objects follow what the database did.
        return "~persistmod"


class JournalSavepoint:
    """A point in a journal to go back to."""

    def __init__(self, journal: Journal, length: int) -> None:
        self._journal, self._length = journal, length

    def rollback(self) -> None:
        self._journal._back_to(self._length)
        self._journal.tell()
