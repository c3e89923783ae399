"""Adding modules to a registry: each body runs once, as an import does; all of it or nothing.

While they run, the new records are *pending*: found under their names in this process, but not in the registry yet. A tree's modules find
each other so, and Python's own import resolves their order. After an error the registry has not been touched, and `sys.modules`, parent
packages and the import hook are as before.
"""

from __future__ import annotations

import importlib
import sys
import types
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

from persistmod import aside, dependents, imaging, imported, journal, live, loading, offering, updating
from persistmod.contents import Pack
from persistmod.dependents import Text
from persistmod.errors import BodyError, PersistmodError, ShadowedWarning, SourceError
from persistmod.importer import importing, is_importing
from persistmod.namespace import check_name
from persistmod.plans import Plan
from persistmod.proving import Progress, Prover
from persistmod.records import PersistentModule
from persistmod.source import Body, current_tag, to_bytes
from persistmod.trees import Module, Tree
from persistmod.verifying import Verifiable, is_closed


class Registry(Verifiable, Protocol):
    """What is needed of a registry, which is a mapping, too."""

    _p_jar: object

    def get(self, name: str, default: None = None) -> PersistentModule | None: ...
    def check(self, record: PersistentModule) -> None: ...
    def pend(self, records: Iterable[PersistentModule]) -> None: ...
    def enter(self) -> None: ...
    def run_always(self, name: str, reason: str) -> None: ...
    def remove(self, name: str) -> None: ...


@contextmanager
def adding(registry: Registry, records: list[PersistentModule]) -> Iterator[None]:
    """Have records pending inside; register them at the end."""
    for record in records:
        registry.check(record)
        known = registry.get(record.name)
        if known is not None:  # a namespace package that gets a source
            record.change_resources(known.resources)
    names = [record.name for record in records]
    before = set(sys.modules)
    changes = journal.of(registry)
    pending = with_parents(registry, records)
    registry.pend(pending)
    mapping = cast("Mapping[str, PersistentModule]", registry)
    hook = nullcontext() if is_importing(mapping) else importing(mapping)
    with hook, live.set_aside(names), live.taken_out(names) as replaced:
        try:
            yield
        except BaseException:
            registry.pend(())
            for record in pending:
                _leave(record, before)
            raise
    registry.enter()
    for record in pending:
        module = sys.modules.get(record.name)
        if module is not None and loading.record_of(module) is record:
            record.watch(module, is_closed(record))
            changes.on_abort(partial(_leave, record, before if record.name in replaced else ()))
    _warn_of_shadowed(names)


def _leave(record: PersistentModule, keep: Collection[str]) -> None:
    imported.forget(record.name, keep)
    offering.withdraw_source(record)


def with_parents(registry: Registry, records: list[PersistentModule]) -> list[PersistentModule]:
    """Return records with the namespace packages above them that are missing, parents first."""
    found = {record.name: record for record in records}
    for record in records:
        parts = record.name.split(".")
        for length in range(1, len(parts)):
            name = ".".join(parts[:length])
            if name not in found and registry.get(name) is None and not imported.is_importable(name):
                found[name] = PersistentModule(name, None, package=True)
    return [found[name] for name in sorted(found, key=lambda name: (name.count("."), name in {record.name for record in records}))]


def run(record: PersistentModule) -> None:
    """Import a pending module, and take stock of its definitions. BodyError has what the body raised as its cause."""
    with loading.collector_off():
        try:
            module = importlib.import_module(record.name)
        except (PersistmodError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a body may raise SystemExit, and test runners raise what is no Exception
            problem = f"its body raised {type(error).__name__}: {error}"
            raise BodyError(f"module {record.name!r}: {problem}", module=record.name) from error
        if record.has_source:
            record.define(vars(module), record.name)


def _warn_of_shadowed(names: list[str]) -> None:
    doubtful = [name for name in names if name in sys.modules and loading.record_of(sys.modules[name]) is None]
    if not doubtful:
        return
    with Prover(lambda name: None) as prover:
        needed = prover.modules()
    for name in doubtful:
        if name in needed:
            text = f"module {name!r} is needed to open a database: processes import it from its file before they can find this one"
            warnings.warn(text, ShadowedWarning, stacklevel=_distance_of_caller())


def _distance_of_caller() -> int:
    """Return the `stacklevel` of the first caller outside persistmod, for a warning right in the function that asks."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("persistmod", "contextlib"):
        level, frame = level + 1, frame.f_back
    return level


@dataclass(frozen=True, slots=True)
class TreeReport:
    """What `add_tree` did.

    `added`: modules that were imported once; `stored`: `{name: reason}` of modules kept as source only; `resources`: data files as
    "package/path"; `skipped`: `{path: reason}` of files that cannot be kept.
    """

    added: tuple[str, ...]
    stored: dict[str, str]
    resources: tuple[str, ...]
    skipped: dict[str, str]

    @classmethod
    def joined(cls, reports: Iterable[TreeReport]) -> TreeReport:
        """Return the reports of several calls as one."""
        reports = tuple(reports)
        return cls(
            tuple(name for report in reports for name in report.added),
            {name: reason for report in reports for name, reason in report.stored.items()},
            tuple(path for report in reports for path in report.resources),
            {path: reason for report in reports for path, reason in report.skipped.items()},
        )


class _Steps:
    """Counts the steps of a long call for whoever shows them."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def next(self, done: int, total: int, name: str) -> None:
        """Report the next step; the counts of a part of the call are replaced by those of the whole."""
        if self._progress:
            self._progress(self._done, self._total, name)
        self._done += 1


def add_tree(registry: Registry, tree: Tree, run: str, progress: Progress | None) -> TreeReport:
    """Add a tree that has been read; see `Registry.add_tree`."""
    records = [_record_of(module, run) for module in tree.modules]
    names = [record.name for record in records]
    steps = _Steps(progress, 2 * len(records))
    with adding(registry, records), aside.shared_snapshot():
        for package, files in tree.resources.items():
            registry[package].change_resources(files)
        stored = {record.name: problem for record in records if (problem := _import_of_tree(record, tree.name, steps))}
        closed = [record.name for record in records if is_closed(record)]
        for name, problem in registry.prove(closed, steps.next).items():
            registry.run_always(name, problem)
        _pack(records)
    resources = tuple(f"{package}/{file}" for package, files in tree.resources.items() for file in files)
    return TreeReport(tuple(name for name in names if name not in stored), stored, resources, tree.skipped)


def _pack(records: list[PersistentModule]) -> None:
    """Keep the images of the running Python together, in records that are read in one go."""
    pack = Pack()
    for record in records:
        image = record.image(current_tag())
        if image is not None:
            pack = pack if pack.has_room(image) else Pack()
            record.keep_in(pack, current_tag())


def _record_of(module: Module, run: str) -> PersistentModule:
    check_name(module.name)
    return PersistentModule(module.name, module.source, package=module.is_package, run=run)


def _import_of_tree(record: PersistentModule, top: str, steps: _Steps) -> str | None:
    """Import a module of a tree; return why it is stored as source only, None if it is not."""
    steps.next(0, 0, record.name)
    return import_or_store(record, record.name == top)


def import_or_store(record: PersistentModule, must: bool = False) -> str | None:
    if _is_program(record):
        return _store(record, "it is a program: importing it would run it")
    try:
        run(record)
    except (BodyError, SourceError) as error:
        if must:
            raise
        cause = error.__cause__ or error
        kind = "" if isinstance(cause, ImportError | SyntaxError) else f"{type(cause).__name__}: "
        return _store(record, f"it cannot be imported here: {kind}{cause}")
    return None


def _is_program(record: PersistentModule) -> bool:
    return record.name.rpartition(".")[2] == "__main__"


def run_new(record: PersistentModule) -> None:
    """Import a pending module of a release; a program is stored."""
    if _is_program(record):
        import_or_store(record)
    else:
        run(record)


def run_all_new(
    records: Iterable[PersistentModule], run_one: Callable[[PersistentModule], object] = run_new
) -> Callable[[], None]:
    """Import pending modules, one after the other; those that another imported are there already.

    Returns what puts back all that they changed elsewhere; a failure puts it back at once.
    """
    with aside.shared_snapshot(restorable=True), aside.noting_runs() as observers:
        take_back = partial(aside.take_back, observers, {record.name for record in records})
        try:
            for record in records:
                run_one(record)
        except BaseException:
            take_back()
            raise
    return take_back


def update_together(
    registry: Registry, known: dict[str, str | bytes], new: list[PersistentModule], gone: list[str], options: updating.Options,
    data: Mapping[str, Mapping[str, bytes | None]] = types.MappingProxyType({}),
    import_new: Callable[[PersistentModule], object] = run_new, becoming: Collection[PersistentModule] = (),
) -> dict[str, Plan]:
    """Update modules by name, add new ones, remove those that are gone, all or none; see `Registry.update_many`.

    `becoming` are the records of those that become packages.
    """
    for name in gone:
        registry[name]
    same = {
        name: registry[name] for name, source in known.items()
        if to_bytes(source, name) == registry[name].source_bytes and registry[name] not in becoming
    }  # fmt: skip
    known = {name: source for name, source in known.items() if name not in same}
    stored = [name for name in known if is_source_only(registry[name])]
    texts = {name: to_bytes(known.pop(name), name) for name in stored}
    with adding(registry, new) if new else nullcontext():
        for package, files in data.items():
            registry[package].change_resources(files)
        way_back: list[Callable[[], None]] = []
        changed = [(registry[name], source) for name, source in known.items()]
        come = [record.name for record in new]

        def update(exchanged: list[str]) -> list[Plan]:
            others = partial(_concerned, same, exchanged)
            return updating.update_all(changed, options, lambda: way_back.append(run_all_new(new, import_new)), others, exchanged)

        # A body may miss what modules that stay as they are put into those that run, or get from them what those that run do not know.
        attempts = [come, [*come, *known], [*come, *known, *same]] if same else [come]
        while True:
            try:
                plans = update(attempts.pop(0))
                break
            except BodyError as error:
                if error.module in come or not attempts:
                    raise
        journal.of(registry).on_abort(way_back[0])  # before the updates are taken back: the new bodies ran after them
    renew(registry, texts)
    for name in gone:
        if registry.get(name) is not None:
            registry.remove(name)
    unchanged = {name: Plan(name, record.version, (), "").as_applied() for name, record in same.items()}
    return unchanged | {plan.module: plan for plan in plans}


def _concerned(same: Mapping[str, PersistentModule], come: list[str], texts: Mapping[str, Text]) -> Iterator[PersistentModule]:
    """Yield those of the records whose source stays the same that may have to run again."""
    sources = {name: record.source_bytes for name, record in same.items()} if texts or come else {}
    for name in sorted(dependents.concerned(texts, sources, lambda name: _text_of(same[name]), come)):
        if not is_source_only(same[name]):
            yield same[name]


def _text_of(record: PersistentModule) -> Text:
    """Return the source of a module as two versions that are the same; nothing for one that is no Python."""
    try:
        body = record.body()
    except SourceError:
        body = Body(compile("", record.filename, "exec"), "")
    return Text(record.package, body.text, body, ())


def is_source_only(record: PersistentModule) -> bool:
    """Return whether a module is no more than its source here: a program, or what cannot be imported."""
    if record.name in sys.modules:
        return False
    if _is_program(record):
        return True
    try:
        record.module  # noqa: B018  it is imported
    except Exception:  # whatever its body raises
        return True
    return False


def renew(registry: Registry, sources: Mapping[str, bytes]) -> None:
    """Give modules that are source only other sources, and import them if they can be imported here."""
    mapping = cast("Mapping[str, PersistentModule]", registry)
    changed = {name: source for name, source in sources.items() if source != registry[name].source_bytes}
    before = set(sys.modules)
    with nullcontext() if is_importing(mapping) else importing(mapping):
        for name, source in changed.items():
            with journal.of(registry).noting((registry[name], None)):
                registry[name].take_source(source)
        for name in changed:
            import_or_store(registry[name])
            journal.of(registry).on_abort(partial(imported.forget, name, before))


def _store(record: PersistentModule, problem: str) -> str:
    """Keep a module as source, with its code if it compiles; importing it runs it."""
    try:
        code = record.body().code
    except SourceError as error:
        return str(error)
    record.keep_image(current_tag(), imaging.always(code, problem), {})
    return problem
