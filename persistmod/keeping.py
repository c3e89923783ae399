"""Keeping a directory and what the registry has of it in step while both change: each batch of changes is a transaction of its own.

    files changed, or time has passed ──> what differs ──> all of it that can be done ──> commit ──> report
                                               ^                    └── what cannot waits
                                               └──────────── and is tried again when something changes

Nothing ends this but who began it: what goes wrong with a file is told with that file, all else is told as trouble, and tried again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from transaction.interfaces import TransientError
from ZODB.POSException import POSError

from persistmod import fileevents
from persistmod.boundaries import reader_of_snapshots
from persistmod.errors import SourceError, StorageError, SyncError
from persistmod.steps import Gate, SyncPlan, SyncStep

logger = logging.getLogger("persistmod.watch")

_ATTEMPTS = 5
_NOT_OF_A_FILE = (TransientError, POSError, OSError, MemoryError)


@dataclass(frozen=True, slots=True)
class Batch:
    """What one batch of changes came to.

    `plan`: what was done and committed, None if there was trouble. `failed`: `{path: error}` of files that failed and were not reported
    like that before; `waiting`: all that wait, these and older ones. `trouble`: what kept anything from being done.
    """

    plan: SyncPlan | None
    failed: Mapping[str, Exception] = field(default_factory=dict)
    waiting: tuple[str, ...] = ()
    trouble: Exception | None = None


class Sides(Protocol):
    """A directory and what the registry has of it, as they are now.

    `problems`: `{path: why}` of files that cannot be read; `beside`: what else may decide whether a step can be done.
    """

    @property
    def problems(self) -> Mapping[str, str]: ...
    @property
    def beside(self) -> object: ...
    def plan(self) -> SyncPlan: ...
    def digests(self, path: str) -> object:
        """Return what stands for the content of a file on both sides."""

    def apply(self, plan: SyncPlan, options: Mapping[str, Any], gate: Gate | None = None) -> SyncPlan:
        """Carry out a plan, or some steps of one, all or none."""

    def module_at(self, path: str) -> str:
        """Return the name of the module that a file is, "" for any other."""

    def concerned(self, steps: Sequence[SyncStep], error: Exception) -> set[str]:
        """Return the paths of those steps that an error of `apply` is about, none if it does not say."""


class Keeper:
    """Keeps two sides in step, which `read` reads."""

    def __init__(
        self, read: Callable[[], Sides], connection: Any, directory: Path, *, gate: Gate | None, options: Mapping[str, Any],
        idle: float, clock: Callable[[], float], commit: Callable[[SyncPlan], object] | None, on_sync: Callable[[Batch], object] | None,
    ) -> None:  # fmt: skip
        self._read, self._connection, self._directory = read, connection, directory
        self._gate, self._options = gate, options
        self._idle, self._clock = idle, clock
        self._manager = connection.transaction_manager
        self._commit, self._on_sync = commit or self._commit_with_note, on_sync
        self._snapshot_of = reader_of_snapshots(connection.db())
        self._seen: object = None  # the state of both sides at the last batch
        self._looked = clock() - idle
        self._tried: object = None  # what differed at the last batch
        self._failing: dict[str, tuple[object, Exception]] = {}  # what waits, by path: as what it was reported
        self._told: tuple[str, ...] = ()  # what waited when it was last reported
        self._trouble: object = None
        self._again = False  # whether steps failed without others that they may need
        self._is_begun = False  # whether anything of the batch has been carried out
        self._read()  # what is wrong from the beginning is an error
        self._manager.commit()  # each batch begins a transaction, which would take back what is under way, such as a new registry

    def keep(self, events: Iterable[Iterable[str]]) -> None:
        """Bring both in step at each batch that is not empty, and when the idle time is over and something has changed."""
        for changed in events:
            if any(True for path in changed) or self._is_due():
                self.bring_in_step()

    def _is_due(self) -> bool:
        if self._clock() < self._looked + self._idle:
            return False
        self._looked = self._clock()
        try:
            self._manager.begin()
            return self._seen is None or self._state() != self._seen
        except Exception:  # the next step meets the same trouble, and reports it
            return True
        finally:
            self._abort()  # no transaction is under way between two batches: others may wait for its end

    def _state(self) -> object:
        return fileevents.stamp(self._directory), self._snapshot_of(self._connection)

    def bring_in_step(self) -> None:
        """Do what can be done, commit and report."""
        self._looked = self._clock()
        for left in reversed(range(_ATTEMPTS)):
            try:
                batch = self._step()
            except Exception as error:  # whatever it is, it is reported and tried again
                self._abort()
                self._seen = self._tried = None
                if not isinstance(error, TransientError) or not left:
                    self._report_trouble(error)
                    return
            except BaseException:
                self._abort()
                raise
            else:
                self._trouble = None
                if batch.failed or batch.waiting != self._told or (batch.plan is not None and batch.plan.steps):
                    self._report(batch)
                return

    def _abort(self) -> None:
        try:
            self._manager.abort()
        except Exception:
            logger.exception("an abort failed")

    def _step(self) -> Batch:
        self._manager.begin()
        self._seen = self._state()
        sides = self._read()
        plan = sides.plan()
        differing = {step.path: sides.digests(step.path) for step in plan.steps}, sides.beside
        if (differing, self._snapshot_of(self._connection)) == self._tried:
            self._manager.abort()
            return Batch(None, {}, tuple(sorted(self._failing)))
        self._tried = differing, self._snapshot_of(self._connection)
        failures: dict[str, Exception] = {path: StorageError(problem) for path, problem in sides.problems.items()}
        failures |= {step.path: SyncError(step.reason, module=step.name) for step in plan.conflicts}
        wanted = tuple(step for step in plan.steps if step.action != "conflict")
        done = self._apply(sides, replace(plan, steps=wanted), failures)
        self._commit(done)
        return Batch(done, self._new(failures, sides), tuple(sorted(failures)))

    def _commit_with_note(self, plan: SyncPlan) -> None:
        paths = [step.path for step in plan.steps]
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        text = f"watch {plan.name}: {', '.join(paths[:3])}{more}"
        self._manager.get().note(text.encode(errors="backslashreplace").decode())
        self._manager.commit()

    # Doing what can be done

    def _apply(self, sides: Sides, plan: SyncPlan, failures: dict[str, Exception]) -> SyncPlan:
        """Carry out a plan, or all of it that can be carried out; add what cannot to `failures`."""
        self._again = self._is_begun = False
        try:
            return sides.apply(plan, self._options, self._gate)
        except _NOT_OF_A_FILE:
            raise
        except Exception as error:
            done = self._apply_rest(sides, [step for step in plan.steps if step.target == "registry"], error, failures)
        some = done
        while self._again and any(one.steps for one in some):  # what is done now may be what others need
            self._again = False
            some = self._apply_parts([step for step in plan.steps if step.path in failures], failures)
            done += some
        files = tuple(step for step in plan.steps if step.target == "directory")
        done.append(self._read().apply(replace(plan, steps=files), self._options))
        for path in _paths(done) & failures.keys():
            del failures[path]
        return _joined(plan, done)

    def _apply_parts(self, steps: Sequence[SyncStep], failures: dict[str, Exception]) -> list[SyncPlan]:
        """Carry out steps together, or what can be of them."""
        sides = self._read()
        plan = sides.plan()
        wanted = {step.path for step in steps}
        steps = [step for step in plan.steps if step.path in wanted and step.target == "registry"]
        if not steps:
            return []
        try:
            done = sides.apply(replace(plan, steps=tuple(steps)), self._options, self._gate)
        except _NOT_OF_A_FILE:
            raise
        except Exception as error:
            return self._apply_rest(sides, steps, error, failures)
        self._is_begun = True
        return [done]

    def _apply_rest(
        self, sides: Sides, steps: Sequence[SyncStep], error: Exception, failures: dict[str, Exception]
    ) -> list[SyncPlan]:
        """Carry out what can be of steps that have failed together: those that the error is not about, or each half."""
        half = _half(sides, steps)
        about = sides.concerned(steps, error) or (set() if half else {step.path for step in steps})
        failures |= dict.fromkeys(about, error)
        if not self._is_begun:  # others, whom an update holds up, may go on in between
            self._manager.abort()
            self._manager.begin()
        first = [step for step in steps if step.path not in about] if about else half
        done = self._apply_parts(first, failures) if first else []
        if about and (isinstance(error, SourceError) or _paths(done) == {step.path for step in first}):
            return done  # alone it would fail again
        more = self._apply_parts([step for step in steps if step not in first], failures)
        self._again = self._again or not about or any(one.steps for one in more)
        return done + more

    # Reporting

    def _new(self, failures: Mapping[str, Exception], sides: Sides) -> dict[str, Exception]:
        """Return what has not been reported yet; the same error of the same file is not reported again."""
        found: dict[str, tuple[object, Exception]] = {
            path: ((sides.digests(path), _gist(error)), error) for path, error in failures.items()
        }
        new = {path: error for path, (key, error) in found.items() if path not in self._failing or self._failing[path][0] != key}
        self._failing = found
        return new

    def _report_trouble(self, error: Exception) -> None:
        if self._trouble != _gist(error):
            self._trouble = _gist(error)
            self._report(Batch(None, {}, tuple(sorted(self._failing)), error))

    def _report(self, batch: Batch) -> None:
        self._told = batch.waiting
        if batch.plan is not None and batch.plan.steps:
            logger.info("%s: %s", batch.plan.name, ", ".join(f"{step.action} {step.path}" for step in batch.plan.steps))
        for path, error in batch.failed.items():
            logger.error("%s waits: %s", self._directory / path, error)
        if batch.trouble is not None:
            logger.error("%s: nothing could be done, and is tried again: %s", self._directory, batch.trouble)
        if self._on_sync is None:
            return
        try:
            self._on_sync(batch)
        except Exception:
            logger.exception("%s: on_sync failed", self._directory)


def _gist(error: Exception) -> object:
    """Return what says that two errors are the same: output of tests differs each time."""
    return type(error), str(error).partition("\n")[0]


def _paths(done: Iterable[SyncPlan]) -> set[str]:
    return {step.path for one in done for step in one.steps}


def _half(sides: Sides, steps: Sequence[SyncStep]) -> list[SyncStep]:
    """Return half of the steps, nothing if all are about one module, which may become a package."""
    about = [sides.module_at(step.path) or step.path for step in steps]
    units = list(dict.fromkeys(about))
    return [step for step, unit in zip(steps, about, strict=True) if unit in units[: len(units) // 2]]


def _joined(plan: SyncPlan, done: Sequence[SyncPlan]) -> SyncPlan:
    return replace(
        plan, steps=tuple(chain.from_iterable(one.steps for one in done)), applied=True,
        plans={name: each for one in done for name, each in one.plans.items()},
        stored={name: why for one in done for name, why in one.stored.items()},
    )  # fmt: skip
