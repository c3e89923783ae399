"""Keeping a directory and a package in step while both change: each batch of changes is one sync, in a transaction of its own.

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
from typing import Any

from transaction.interfaces import TransientError
from ZODB.POSException import POSError

from persistmod import fileevents
from persistmod.boundaries import reader_of_snapshots
from persistmod.errors import GateError, StorageError, SyncError
from persistmod.syncing import Gate, Registry, Syncing, SyncPlan, SyncStep

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


class Keeper:
    """Keeps one directory and one package in step."""

    def __init__(
        self, registry: Registry, directory: Path, name: str | None, *, prefer: str | None, gate: Gate | None, options: Mapping[str, Any],
        idle: float, clock: Callable[[], float], commit: Callable[[SyncPlan], object] | None, on_sync: Callable[[Batch], object] | None,
    ) -> None:  # fmt: skip
        self._registry, self._directory, self._name, self._prefer = registry, directory, name, prefer
        self._gate, self._options = gate, options
        self._idle, self._clock = idle, clock
        self._manager = registry._p_jar.transaction_manager
        self._commit, self._on_sync = commit or self._commit_with_note, on_sync
        self._snapshot_of = reader_of_snapshots(registry._p_jar.db())
        self._seen: object = None  # the state of both sides at the last batch
        self._looked = clock() - idle
        self._tried: object = None  # what differed at the last batch
        self._failing: dict[str, tuple[object, Exception]] = {}  # what waits, by path: as what it was reported
        self._trouble: object = None
        self._halved = False  # whether steps were tried without others that they may need
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
        return fileevents.stamp(self._directory), self._snapshot_of(self._registry._p_jar)

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
                if batch.failed or (batch.plan is not None and batch.plan.steps):
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
        syncing = self._read()
        plan = syncing.plan()
        differing = {step.path: syncing.digests(step.path) for step in plan.steps}
        if (differing, self._snapshot_of(self._registry._p_jar)) == self._tried:
            self._manager.abort()
            return Batch(None, {}, tuple(sorted(self._failing)))
        self._tried = differing, self._snapshot_of(self._registry._p_jar)
        failures: dict[str, Exception] = {path: StorageError(problem) for path, problem in syncing.problems.items()}
        failures |= {step.path: SyncError(step.reason, module=step.name) for step in plan.conflicts}
        wanted = tuple(step for step in plan.steps if step.action != "conflict")
        done = self._apply(syncing, replace(plan, steps=wanted), failures)
        self._commit(done)
        return Batch(done, self._new(failures, syncing), tuple(sorted(failures)))

    def _read(self) -> Syncing:
        return Syncing(self._registry, self._directory, self._name, self._prefer, strict=False)

    def _commit_with_note(self, plan: SyncPlan) -> None:
        paths = [step.path for step in plan.steps]
        more = f" and {len(paths) - 3} more" if len(paths) > 3 else ""
        text = f"watch {plan.name}: {', '.join(paths[:3])}{more}"
        self._manager.get().note(text.encode(errors="backslashreplace").decode())
        self._manager.commit()

    # Doing what can be done

    def _apply(self, syncing: Syncing, plan: SyncPlan, failures: dict[str, Exception]) -> SyncPlan:
        """Carry out a plan, or all of it that can be carried out; add what cannot to `failures`."""
        try:
            return syncing.apply(plan, self._options, self._gate)
        except _NOT_OF_A_FILE:
            raise
        except Exception as error:
            _leave_out(syncing, plan.steps, error, failures)
        changed = [step for step in plan.steps if step.target == "registry"]
        done: list[SyncPlan] = []
        while True:
            self._halved = False
            some = self._apply_parts([step for step in changed if step.path not in failures], failures)
            done += some
            applied = {step.path for one in done for step in one.steps}
            waiting = [step for step in changed if step.path not in applied]
            if not waiting or not self._halved or not any(one.steps for one in some):
                break
            for step in waiting:  # what the other half has done may be what it needs
                failures.pop(step.path, None)
            changed = waiting
        syncing = self._read()
        files = tuple(step for step in plan.steps if step.target == "directory")
        done.append(syncing.apply(replace(plan, steps=files), self._options))
        return _joined(plan, done)

    def _apply_parts(self, steps: Sequence[SyncStep], failures: dict[str, Exception]) -> list[SyncPlan]:
        """Carry out steps: together; without those that fail; in halves, where it is not said which do."""
        while steps:
            syncing = self._read()
            current = {step.path: step for step in syncing.plan().steps if step.target == "registry"}
            steps = [current[step.path] for step in steps if step.path in current]
            try:
                return [syncing.apply(replace(syncing.plan(), steps=tuple(steps)), self._options, self._gate)]
            except _NOT_OF_A_FILE:
                raise
            except Exception as error:
                if not _leave_out(syncing, steps, error, failures):
                    if len(steps) == 1:
                        failures[steps[0].path] = error
                        return []
                    self._halved = True
                    middle = len(steps) // 2
                    return [*self._apply_parts(steps[:middle], failures), *self._apply_parts(steps[middle:], failures)]
            steps = [step for step in steps if step.path not in failures]
        return []

    # Reporting

    def _new(self, failures: Mapping[str, Exception], syncing: Syncing) -> dict[str, Exception]:
        """Return what has not been reported yet; the same error of the same file is not reported again."""
        found: dict[str, tuple[object, Exception]] = {
            path: ((syncing.digests(path), _gist(error)), error) for path, error in failures.items()
        }
        new = {path: error for path, (key, error) in found.items() if path not in self._failing or self._failing[path][0] != key}
        self._failing = found
        return new

    def _report_trouble(self, error: Exception) -> None:
        if self._trouble != _gist(error):
            self._trouble = _gist(error)
            self._report(Batch(None, {}, tuple(sorted(self._failing)), error))

    def _report(self, batch: Batch) -> None:
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


def _leave_out(syncing: Syncing, steps: Sequence[SyncStep], error: Exception, failures: dict[str, Exception]) -> bool:
    """Add the steps that an error is about to `failures`; return whether there are any."""
    if isinstance(error, GateError):
        top = f"{syncing.name.replace('.', '/')}/"
        files = {file.removeprefix(top) for report in error.reports if not report.passed for file in report.files}
        about = [step for step in steps if not files.isdisjoint((step.path, step.before))]
    else:
        module = getattr(error, "module", "")
        about = [step for step in steps if module and module in map(syncing.module_at, (step.path, step.before))]
    missing = [f"{name}." for step in about if (name := syncing.module_at(step.path)) and syncing.is_new_package(name)]
    paths = {step.path for step in about}
    paths |= {step.path for step in steps for name in missing if f"{step.name}.".startswith(name)}
    failures |= {step.path: error for step in steps if step.target == "registry" and step.path in paths}
    return not paths.isdisjoint(failures)


def _joined(plan: SyncPlan, done: Sequence[SyncPlan]) -> SyncPlan:
    return replace(
        plan, steps=tuple(chain.from_iterable(one.steps for one in done)), applied=True,
        plans={name: each for one in done for name, each in one.plans.items()},
        stored={name: why for one in done for name, why in one.stored.items()},
    )  # fmt: skip
