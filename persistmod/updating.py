"""Updating modules in place: the new bodies run aside, are planned, relinked and applied; or all of it is refused, with nothing changed.

    sources -> compile -> run aside -> pair and plan -> relink -> apply (journaled) -> commit by the caller

Everything up to the plan works on new objects. The writes to older ones are in a journal, which a failure takes back at once and the
abort of the transaction later.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from persistmod import applying, boundaries, dependents, exchanging, islands, journal, livedata, loading, repeating, together, versions
from persistmod.deciding import Neighbours
from persistmod.dependence import Edit
from persistmod.dependents import Text
from persistmod.errors import HookError, NotRegisteredError, PersistmodError, StorageError, UpdateError
from persistmod.namespace import CONTRIBUTES
from persistmod.planning import Planner
from persistmod.plans import Plan, Step
from persistmod.recompiling import compile_again
from persistmod.records import PersistentModule
from persistmod.running_aside import Run, Runs, Target, running_aside
from persistmod.source import Body, common_lines, to_bytes, to_text
from persistmod.writes import Writes

Check = Callable[[Plan, types.ModuleType], object]
_IDENTITY = ("__spec__", "__loader__", "__file__", "__path__", "__package__", CONTRIBUTES)


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
    return update_all([(module, source)], Options(mode, removed, incompatible, tuple(checks)))[0]


def plan(
    module: Any, source: str | bytes, *, mode: str = "update", removed: str = "leak", incompatible: str = "refuse",
    checks: Iterable[Check] = (),
) -> Plan:
    """Return what `update` with the same arguments would do; `Plan.apply()` does it, unless the module has changed meanwhile.

    The new body runs aside; what it changed outside is put back.
    """
    options = Options(mode, removed, incompatible, tuple(checks))
    target = _target(*target_of(module), source)
    found = _nothing_to_do(target)
    if found is None:
        edits = dependents.edits(_texts([target]))
        with _runs([target], edits, options) as runs:
            ((planner, found),) = _planned(runs, options, edits)
            runs.take_back()
    return found.with_apply(lambda: _apply_plan(found, target, options))


def _apply_plan(found: Plan, target: Target, options: Options) -> Plan:
    record = target.record
    if record.version != found.version:
        problem = f"the plan is of version {found.version}, and now it has version {record.version}; plan again"
        raise UpdateError(f"module {record.name!r}: {problem}", module=record.name, plan=found)
    return update_all([(record, target.data)], options)[0]


def update_all(
    sources: Sequence[tuple[Any, str | bytes]], options: Options, then: Callable[[], object] = lambda: None,
    others: Others = lambda texts: (), come: Collection[str] = (),
) -> list[Plan]:
    """Update modules together, all or none; return their plans in the order given. If `then`, called last, raises, nothing is changed.

    `others` are asked, given the texts that change, for the records of more modules that may have to run again; their plans come last.
    `come`: modules that `then` adds.
    """
    found = [(*target_of(module), source) for module, source in sources]
    names = [record.name for record, _, _ in found]
    with loading.collector_off(), journal.telling_of(found[0][0], names) if found else nullcontext():
        return _update_all(found, options, then, others, come)


def _update_all(
    sources: Sequence[Source], options: Options, then: Callable[[], object], others: Others, come: Collection[str]
) -> list[Plan]:
    targets = [_target(*each) for each in sources]
    targets += [_target(*target_of(record), record.source_bytes) for record in others(_texts(targets))]
    for target in targets:
        _check_writable(target.record)
    boundaries.hold(targets[0].record._p_jar if targets else None)
    done = {target.record.name: nothing for target in targets if (nothing := _nothing_to_do(target)) is not None}
    is_mixed = bool(done) and (len(done) < len(targets) or bool(come))
    if is_mixed:
        targets = [_compiled(target) for target in targets]
    texts = _texts(targets) if is_mixed or not done else {}
    if is_mixed:
        again = dependents.to_run_again(texts, options.mode == "update", come)
        done = {name: nothing for name, nothing in done.items() if name not in again}
    changed = [target for target in targets if target.record.name not in done]
    if changed:
        edits = dependents.edits({target.record.name: texts[target.record.name] for target in changed}, come)
        with _runs(changed, edits, options) as runs:
            planned = _planned(runs, options, edits)
            _refuse(planned)
            for run, (_, found) in zip(runs.by_name.values(), planned, strict=True):
                for check in options.checks:
                    _run_check(check, found, run)
            with journal.of(targets[0].record).noting(*((run.target.record, run.target.module) for run in runs.by_name.values())):
                _apply(runs, [planner for planner, _ in planned], options, then)
            done |= {found.module: found for _, found in planned}
    else:
        then()
    return [done[target.record.name].as_applied() for target in targets]


Source = tuple[PersistentModule, types.ModuleType, str | bytes]
Others = Callable[[Mapping[str, Text]], Iterable[PersistentModule]]


def _target(record: PersistentModule, live_module: types.ModuleType, source: str | bytes) -> Target:
    data = to_bytes(source, record.name)
    target = Target(record, live_module, data, _UNCHANGED)
    return target if _nothing_to_do(target) is not None else _compiled(target)


_UNCHANGED = Body(compile("", "", "exec"), "")


def _compiled(target: Target) -> Target:
    if target.body is not _UNCHANGED:
        return target
    record = target.record
    return replace(target, body=compile_again(target.data, record.name, record.filename, record._v_body))


def _runs(targets: list[Target], edits: dict[str, Edit], options: Options) -> AbstractContextManager[Runs]:
    """Run the new bodies aside; not that of a module alone of which only what is inside functions has changed, if nobody looks at it."""
    if len(targets) == 1 and options.mode == "update" and not options.checks:
        name = targets[0].record.name
        run = exchanging.run_of(targets[0], edits[name])
        if run is not None:
            return nullcontext(Runs({name: run}))
    return running_aside(_repeating(targets, edits))


def _repeating(targets: list[Target], edits: dict[str, Edit]) -> list[Target]:
    """Return the targets; one that is updated alone with what of its body is known to change nothing."""
    target, record = targets[0], targets[0].record
    if len(targets) > 1 or record._v_body is None or record._v_seen_at is not repeating.code_state() or record.requested_run != "auto":
        return targets
    return [replace(target, repeated=repeating.repeated(record._v_body, target.body, edits[record.name]))]


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


def _nothing_to_do(target: Target) -> Plan | None:
    record = target.record
    is_done = target.data == record.source_bytes and not loading.becomes_package(target.module, record)
    return Plan(record.name, record.version, (), "") if is_done else None


def _check_writable(record: PersistentModule) -> None:
    owner = livedata.owner_of(record._p_jar)
    if owner is not None and owner is livedata.of(record._p_jar):
        problem = "nothing is written through the connection of install()"
        advice = "update it through the registry of a connection of your own, get_registry(connection).update(name, source)"
        raise HookError(f"module {record.name!r}: {problem}; {advice}", module=record.name)
    if record._p_jar is not None and record._p_jar.isReadOnly():
        raise StorageError(f"module {record.name!r}: the database is open read-only; open it for writing to update modules")


def _refuse(planned: list[tuple[Planner, Plan]]) -> None:
    """Raise all refusals of all plans as one error."""
    refused = [found for _, found in planned if found.refusals]
    if refused:
        text = "; ".join(found.refusal_text() for found in refused)
        raise UpdateError(f"{text}. Rename it, or pass incompatible='replace'", module=refused[0].module, plan=refused[0])


def _run_check(check: Check, found: Plan, run: Run) -> None:
    try:
        check(found, run.scratch)
    except PersistmodError:
        raise
    except Exception as error:
        problem = f"module {found.module!r}: a check refused the update: {type(error).__name__}: {error}"
        raise UpdateError(problem, module=found.module, plan=found) from error


# Planning


def _planned(runs: Runs, options: Options, edits: dict[str, Edit]) -> list[tuple[Planner, Plan]]:
    """Plan all runs, each in view of the others."""
    neighbours = Neighbours.of(((run.scratch, run.target.module) for run in runs.by_name.values()), runs.added)
    planners = []
    for name, run in runs.by_name.items():
        record, namespace = run.target.record, vars(run.target.module)
        planner = Planner(
            name, namespace, vars(run.scratch), run.made, edits[name], _base_of(record, namespace),
            loading.retired(run.target.module), neighbours, edits[name].affects if options.mode == "overwrite" else _never,
        )
        planner.pairing.add(run.pairs)
        planners.append(planner)
    together.plan(planners)
    for planner in planners:
        _refuse_replacements(planner, options)
    return [(planner, _plan_of(planner, runs.by_name[planner.module], options)) for planner in planners]


def _never(name: str) -> bool:
    return False


def _base_of(record: PersistentModule, namespace: dict[str, Any]) -> Callable[[], dict[str, Any] | None]:
    return lambda: record.base_namespace(namespace)


def _texts(targets: Iterable[Target]) -> dict[str, Text]:
    texts = {}
    for target in targets:
        record = target.record
        leaks = {name: record.leaks[name].texts.get(name, "") for name in sorted(record.leaks.keys() & target.body.slices.keys())}
        before = "\n".join((record.source, *leaks.values()))  # what comes back is compared with what it was
        texts[record.name] = Text(record.package, before, target.body, vars(target.module).keys())
    return texts


def _refuse_replacements(planner: Planner, options: Options) -> None:
    if planner.replacement is not None and options.incompatible == "refuse":
        replaced = [pair for pair in planner.pairing.classes if not pair.keeps]
        for problem in planner.replacement.obstacles:
            planner.step(replaced[0].path, "refuse", f"{replaced[0].reason}; {problem}")


def _plan_of(planner: Planner, run: Run, options: Options) -> Plan:
    removed = _removed(run, options)
    left = run.target.record.leaks if removed == "leak" else {}
    for name in [name for name in planner.removed if name not in left]:
        planner.step(name, removed, "it is not in the source any more", "what is held stays as it was")
    steps = tuple(planner.steps)
    if options.incompatible == "replace":
        steps = tuple(Step(step.name, "replace", step.reason, step.seen) if step.action == "refuse" else step for step in steps)
    record = run.target.record
    return Plan(record.name, record.version, steps, _diff(record, run.target.data))


def _removed(run: Run, options: Options) -> str:
    """Return what becomes of names that left: a namespace has none of its own, so they stay with the scripts that contributed them."""
    return "delete" if run.target.record.is_namespace else options.removed


def _diff(record: PersistentModule, data: bytes) -> str:
    """Return the difference of the sources as a unified diff. Only the lines from the first to the last that differ are compared."""
    before, after = (to_text(text, record.name).splitlines(keepends=True) for text in (record.source_bytes, data))
    above, below = (max(0, lines - _CONTEXT) for lines in common_lines(before, after))
    old, new = before[above : len(before) - below], after[above : len(after) - below]
    lines = difflib.unified_diff(old, new, f"{record.name} {record.version}", f"{record.name} {record.version + 1}", n=_CONTEXT)
    return "".join(_shifted(line, above) if line.startswith("@@") else line for line in lines)


def _shifted(head: str, lines: int) -> str:
    """Return the head of a part of a diff for a text that has so many lines more above."""
    return re.sub(r"(?<=[-+])\d+", lambda number: str(int(number.group()) + lines), head)


_CONTEXT = 3  # lines around what differs


# Applying


def _apply(runs: Runs, planners: list[Planner], options: Options, then: Callable[[], object]) -> None:
    """Relink and write everything, the records last; a failure takes back all of it."""
    relinker = together.relinker(planners, [(run.scratch, run.target.module) for run in runs.by_name.values()])
    removed = {
        planner.module: planner.removed if _removed(runs.by_name[planner.module], options) == "delete" else [] for planner in planners
    }
    ready = [applying.Ready(planner, relinker, removed[planner.module]) for planner in planners]
    for planner in planners:
        loading.retire(runs.by_name[planner.module].target.module, removed[planner.module])
    records = [run.target.record for run in runs.by_name.values()]
    changes, writes, kept = journal.of(records[0]), Writes(), versions.Kept(records)
    try:
        applying.write(ready, writes)
        for run in runs.by_name.values():
            _write_identity(run, writes)
        applying.bind_added(runs.added, {name: (run.scratch, run.target.module) for name, run in runs.by_name.items()}, writes)
        registered = [cls for run in runs.by_name.values() for cls in run.registered]
        if runs.added or any(run.image.state is None for run in runs.by_name.values()):
            islands.join(registered, relinker, together.superseded(planners), writes)
        else:
            islands.leave(relinker)
        for planner in planners:
            run = runs.by_name[planner.module]
            versions.renew(run.target.record, run.target.module, _version(run, planner, options), writes)
        then()
    except BaseException:
        writes.roll_back()
        kept.put_back()
        raise
    changes.on_abort(runs.take_back_effects)
    changes.on_abort(writes.roll_back)


def _version(run: Run, planner: Planner, options: Options) -> versions.NewVersion:
    back = {name for name in vars(run.scratch) if name in run.target.record.leaks}
    names = {*(name for name, value in planner.changes.binds), *_IDENTITY, *back}
    apart = {name for name, value in planner.changes.binds} if options.mode == "overwrite" else set()
    return versions.NewVersion(
        run.target.data, run.target.body, run.image, run.persistent, {*planner.taken, *planner.removed_paths},
        planner.merged, planner.removed, _removed(run, options) == "leak", names, apart, run.has_run,
    )


def _write_identity(run: Run, writes: Writes) -> None:
    """Have the live module say that it comes from the database now: tools ask its loader for the source."""
    namespace = vars(run.target.module)
    for name in _IDENTITY:
        value, known = vars(run.scratch).get(name), namespace.get(name)
        if name in vars(run.scratch) and value is not known and (type(value) is not str or value != known):
            writes.bind(namespace, name, value)
