"""Updating a module in place: the new body runs aside, is planned, relinked and applied; or it is refused, with nothing changed.

    sources -> compile -> run aside -> pair and plan -> relink -> apply (journaled) -> commit by the caller

Everything up to the plan works on new objects. The writes to older ones are in a journal, which a failure takes back at once and the
abort of the transaction later.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from persistmod import applying, dependence, imaging, islands, journal, live, loading, replacing, versions
from persistmod.aside import Observation, Observer
from persistmod.errors import BodyError, NotRegisteredError, PersistmodError, StorageError, UpdateError
from persistmod.imaging import ImageData
from persistmod.importer import importing, is_importing
from persistmod.planning import Planner
from persistmod.plans import Plan, Step
from persistmod.records import PersistentModule
from persistmod.relinking import Relinker
from persistmod.scratch import standing_in
from persistmod.source import Body, compile_source, to_bytes
from persistmod.writes import Writes, uninterrupted

Check = Callable[[Plan, types.ModuleType], object]


@dataclass(frozen=True, slots=True)
class Options:
    """How an update is done; see `update`."""

    mode: str = "update"
    removed: str = "leak"
    incompatible: str = "refuse"
    checks: tuple[Check, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in (("mode", ("update", "overwrite")), ("removed", ("leak", "delete")), ("incompatible", ("refuse", "replace"))):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, not {getattr(self, name)!r}")


@dataclass(slots=True)
class Run:
    """A new body that ran aside: its scratch module, what was observed, the image that it gives."""

    record: PersistentModule
    module: types.ModuleType
    data: bytes
    body: Body
    scratch: types.ModuleType
    observation: Observation
    image: ImageData
    persistent: dict[str, Any]
    observer: Observer
    added: list[str] = field(default_factory=list)

    def take_back(self) -> None:
        """Put back what the run changed outside, and the modules that it imported first."""
        self.observer.outside.restore(vars(self.scratch))
        for name in self.added:
            live.forget(name, ())


def update(
    module: Any, source: str | bytes, *, mode: str = "update", removed: str = "leak", incompatible: str = "refuse",
    checks: Iterable[Check] = (),
) -> Plan:
    """Give a module a new source: its live objects take the new code in place, its record the new version. Nothing is committed.

    `module`: the live module, its name, or its record. `mode`: "update", or "overwrite" to bind new objects and leave the old ones.
    `removed`: what becomes of names that the source has no more, "leak" (they stay) or "delete". `incompatible`: "refuse" or "replace"
    what cannot follow in place. `checks` are called with the plan and the module run aside, and raise to refuse.
    Returns the plan that was carried out. Raises SourceError, BodyError (its cause is what the new body raised), UpdateError (`.plan` says
    what is in the way), StorageError for a database that cannot be written. After an error nothing is changed.
    """
    options = Options(mode, removed, incompatible, tuple(checks))
    record, live_module = target_of(module)
    _check_writable(record)
    data = to_bytes(source, record.name)
    if data == record.source_bytes:
        return Plan(record.name, record.version, (), "", applied=True)
    body = compile_source(data, record.name, record.filename)
    with running_aside(record, live_module, data, body) as run:
        planner, found = planned(run, options)
        if found.refusals:
            raise UpdateError(found.refusal_text(), module=record.name, plan=found)
        for check in options.checks:
            _run_check(check, found, run)
        _apply(run, planner, options)
    return found.as_applied()


def plan(
    module: Any, source: str | bytes, *, mode: str = "update", removed: str = "leak", incompatible: str = "refuse",
    checks: Iterable[Check] = (),
) -> Plan:
    """Return what `update` with the same arguments would do. The new body runs aside, and what it changed outside is put back."""
    options = Options(mode, removed, incompatible, tuple(checks))
    record, live_module = target_of(module)
    data = to_bytes(source, record.name)
    if data == record.source_bytes:
        return Plan(record.name, record.version, (), "")
    body = compile_source(data, record.name, record.filename)
    with running_aside(record, live_module, data, body) as run:
        found = planned(run, options)[1]
        run.take_back()
    return found


def target_of(module: Any) -> tuple[PersistentModule, types.ModuleType]:
    """Return the record and the live module that is meant by a module, its name, or its record."""
    if isinstance(module, PersistentModule):
        return module, module.module
    if isinstance(module, str):
        module = sys.modules.get(module) or importlib.import_module(module)
    if not isinstance(module, types.ModuleType):
        raise TypeError(f"{module!r} is neither a module, nor the name of one, nor its record")
    record = loading.record_of(module)
    if not isinstance(record, PersistentModule):
        problem = "it is not in a database; convert it first"
        raise NotRegisteredError(f"module {module.__name__!r}: {problem}", module=module.__name__)
    return record, module


def _check_writable(record: PersistentModule) -> None:
    if record._p_jar is not None and record._p_jar.isReadOnly():
        raise StorageError(f"module {record.name!r}: the database is open read-only; open it for writing to update modules")


def _run_check(check: Check, plan: Plan, run: Run) -> None:
    try:
        check(plan, run.scratch)
    except PersistmodError:
        raise
    except Exception as error:
        problem = f"module {run.record.name!r}: a check refused the update: {type(error).__name__}: {error}"
        raise UpdateError(problem, module=run.record.name, plan=plan) from error


# Running aside


@contextmanager
def running_aside(record: PersistentModule, module: types.ModuleType, data: bytes, body: Body) -> Iterator[Run]:
    """Run a new body in a scratch module; what the block raises takes back what the run did."""
    scratch = importlib.util.module_from_spec(loading.spec_of(record))
    if record.is_package:
        scratch.__path__ = module.__path__
    before = set(sys.modules)
    observer = Observer(record.name, vars(scratch), body)
    with standing_in(record.name, scratch), _hook(record):
        try:
            with observer:
                exec(body.code, vars(scratch))
            observation = observer.conclude()
            image, persistent = imaging.make_image(observation, body.code, record.requested_run)
        except BaseException as error:
            observer.outside.restore(vars(scratch))
            _forget_since(before)
            if isinstance(error, PersistmodError | KeyboardInterrupt):
                raise
            problem = f"module {record.name!r}: the new body raised {type(error).__name__}: {error}; nothing is changed"
            raise BodyError(problem, module=record.name) from error
        run = Run(record, module, data, body, scratch, observation, image, persistent, observer, sorted(set(sys.modules) - before))
    try:
        yield run
    except BaseException:
        run.take_back()
        raise


def _forget_since(before: set[str]) -> None:
    for name in sorted(set(sys.modules) - before, reverse=True):
        live.forget(name, ())


def _hook(record: PersistentModule) -> contextlib.AbstractContextManager[object]:
    if record.registry is None or is_importing(record.registry):
        return contextlib.nullcontext()
    return importing(record.registry)


# Planning and applying


def planned(run: Run, options: Options) -> tuple[Planner, Plan]:
    """Plan a run; the plan says what is refused."""
    record, namespace = run.record, vars(run.module)
    old_body = compile_source(record.source_bytes, record.name, record.filename)
    edit = dependence.edit(old_body.text, run.body.text)
    planner = Planner(
        record.name, namespace, vars(run.scratch), run.observation.made or {}, edit, lambda: record.base_namespace(namespace),
        loading.retired(run.module),
    )
    planner.old_slices = old_body.slices
    planner.plan()
    replaced = [pair for pair in planner.pairing.classes if not pair.keeps]
    if replaced:
        planner.replacement = replacing.survey(replaced)
        if options.incompatible == "refuse":
            for problem in planner.replacement.obstacles:
                planner.step(replaced[0].path, "refuse", f"{replaced[0].reason}; {problem}")
    action = "leak" if options.removed == "leak" else "delete"
    for name in planner.removed:
        planner.step(name, action, "it is not in the source any more", "what is held stays as it was")
    steps = tuple(planner.steps)
    if options.incompatible == "replace":
        steps = tuple(Step(step.name, "replace", step.reason, step.seen) if step.action == "refuse" else step for step in steps)
    return planner, Plan(record.name, record.version, steps, _diff(record, run))


def _diff(record: PersistentModule, run: Run) -> str:
    return ""


def _apply(run: Run, planner: Planner, options: Options) -> None:
    record, namespace, scratch = run.record, vars(run.module), run.scratch
    stands_for = planner.changes.stands_for
    stands_for[id(scratch)] = run.module
    stands_for[id(vars(scratch))] = namespace
    relinker = Relinker(stands_for, run.observation.made or {}, vars(scratch), namespace)
    writes = Writes()
    removed = planner.removed if options.removed == "delete" else []
    loading.retire(run.module, removed)
    try:
        applying.apply(planner, relinker, writes, removed)
        _write_identity(run, writes)
        if planner.replacement is not None:
            with uninterrupted():
                replacing.write(planner.replacement, writes)
        if run.image.state is None:
            islands.join(run.observation.registered, relinker, writes)
        versions.renew(record, run.module, _version(run, planner, options), writes)
    except BaseException:
        writes.roll_back()
        raise
    changes = journal.of(record)
    changes.on_abort(writes.roll_back)


def _version(run: Run, planner: Planner, options: Options) -> versions.NewVersion:
    back = {name for name in vars(run.scratch) if name in run.record.leaks}
    names = {*(name for name, value in planner.changes.binds), *_IDENTITY, *back}
    return versions.NewVersion(
        run.data, run.body, planner.old_slices, run.image, run.persistent, {*planner.taken, *planner.removed_paths}, planner.merged,
        planner.removed, options.removed == "leak", names,
    )


_IDENTITY = ("__spec__", "__loader__", "__file__")


def _write_identity(run: Run, writes: Writes) -> None:
    """Have the live module say that it comes from the database now: tools ask its loader for the source."""
    for name in _IDENTITY:
        if vars(run.module).get(name) is not vars(run.scratch).get(name):
            writes.bind(vars(run.module), name, vars(run.scratch)[name])
