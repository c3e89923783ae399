"""The registry: name -> module record, one per database.                                        # stored: format 1

    root["persistmod"] -> Registry ── _modules ──> OOBTree {name: PersistentModule}
                                   ── _listed ──> OOBTree {"name tag": (PersistentModule, Pack) | None}

What is listed is imported without reading its record. None says that there is no such short way any more: were the key deleted, two
transactions that change two modules could empty a bucket between them, which is a conflict.

`add` runs a body once, as an import does, and is all or nothing: after an error the registry, `sys.modules` and the parent package are as
before. Nothing commits but the caller; an abort takes what was added out of `sys.modules` again.
"""

from __future__ import annotations

import io
import os
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from BTrees.OOBTree import OOBTree
from persistent import Persistent
from ZODB._compat import PersistentUnpickler
from ZODB.Connection import Connection
from ZODB.utils import z64

from persistmod import adding, history, imaging, journal, leaking, live, loading, prefetching, trees, updating, verifying, versions
from persistmod.adding import TreeReport
from persistmod.directories import Directories
from persistmod.errors import InvalidNameError, NameTakenError, NotRegisteredError, StorageError
from persistmod.history import Revision
from persistmod.images import Listing
from persistmod.leaking import Leaked
from persistmod.loading import Entry
from persistmod.namespace import check_name
from persistmod.plans import Plan
from persistmod.proving import Progress, Prover, payload_of
from persistmod.records import PersistentModule
from persistmod.source import current_tag, to_bytes
from persistmod.verifying import Finding

_ROOT_KEY = "persistmod"
_RUNS = ("auto", "once", "always")


def get_registry(connection: Connection) -> Registry:
    """Return the registry of a database, made on demand: it is in the database once the caller commits."""
    oid = _registry_oid(connection)
    if oid is not None:
        stored: Registry = connection.get(oid)
        return stored
    root = connection.root()
    if _ROOT_KEY not in root:
        registry = Registry()
        if connection.isReadOnly():
            return registry
        connection.add(registry)
        root[_ROOT_KEY] = registry
    found: Registry = root[_ROOT_KEY]
    return found


def _registry_oid(connection: Connection) -> bytes | None:
    """Find the registry in the stored root without loading the root, None if it is not there.

    Loading it would look up the classes of all that stands in it, which may be those of modules that only the registry has.
    """
    root = connection.get(z64)
    if root._p_changed:
        return None
    data, serial = connection._storage.load(z64)
    unpickler = PersistentUnpickler(lambda module, name: _Anything, lambda reference: reference, io.BytesIO(data))
    unpickler.load()
    reference = unpickler.load().get("data", {}).get(_ROOT_KEY)
    return reference[0] if isinstance(reference, tuple) else None


class _Anything:
    """Stands for whatever class an object in the root has."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> Self:
        return super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        """Its state does not matter."""


class Registry(Persistent, Listing, Directories):
    """The modules of a database by name."""

    _v_pending: Mapping[str, PersistentModule] = types.MappingProxyType({})
    _v_asked: set[bytes] | None = None  # what has been fetched ahead

    def __init__(self) -> None:
        self._modules: OOBTree = OOBTree()
        self._listed: OOBTree = OOBTree()

    def __repr__(self) -> str:
        return f"<Registry of {len(self)} modules>"

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    # The mapping

    def __getitem__(self, name: str) -> PersistentModule:
        record: PersistentModule | None = self.get(name)
        if record is None:
            raise NotRegisteredError(f"no module {name!r} in the registry", module=name)
        return record

    def get(self, name: str, default: Any = None) -> Any:
        return self._v_pending.get(name) or self._modules.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*self._modules.keys(), *self._v_pending}) if self._v_pending else self._modules.keys())

    def __len__(self) -> int:
        return sum(1 for name in self)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def below(self, name: str) -> list[str]:
        """Return the names of the modules in a package, the package itself aside."""
        start = f"{name}."
        return [found for found in self if found.startswith(start)]

    # Adding

    def add(
        self, name: str, source: str | bytes, *, package: bool = False, filename: str | None = None, run: str = "auto"
    ) -> PersistentModule:
        """Run the body of a new module once and register it; parent packages that are missing are made.

        `run`: "auto" finds out whether the module is closed; "once" and "always" say so.
        Raises InvalidNameError, NameTakenError, SourceError, BodyError (the cause is what the body raised), and ConversionError for
        run="once" of what cannot be stored. After an error nothing is changed.
        """
        with loading.collector_off(), journal.telling_of(self, [name]):
            record = new_record(name, source, package=package, filename=filename, run=run)
            with adding.adding(self, [record]):
                adding.run(record)
        return record

    def add_tree(
        self, path: str | os.PathLike[str], name: str | None = None, *, run: str = "auto", progress: Progress | None = None
    ) -> TreeReport:
        """Add a module file, or a directory with all its modules, subpackages and data files; import each once.

        `name` is the name of the module or package, by default that of the file or directory. A directory without `__init__.py` is
        a namespace package. Files that cannot be imported here are stored as source and named in the report. Closed modules are
        proven in a fresh process; one that is not the same there runs always. `progress(done, total, name)` is called for each step.
        Raises as `add` does; for the package itself, that it cannot be imported is an error. After an error nothing is changed.
        """
        if run not in _RUNS:
            raise ValueError(f"run must be one of {', '.join(_RUNS)}, not {run!r}")
        tree = trees.read(Path(path), name)
        with journal.telling_of(self, [tree.name]):
            return adding.add_tree(self, tree, run, progress)

    # Updating

    def update(self, name: str, source: str | bytes, **options: Any) -> Plan:
        """Give a registered module a new source; as `persistmod.update`, with the same options."""
        return updating.update(self[name], source, **options)

    def plan(self, name: str, source: str | bytes, **options: Any) -> Plan:
        """Return what an update of a registered module would do; as `persistmod.plan`, with the same options."""
        return updating.plan(self[name], source, **options)

    def update_many(
        self, sources: Mapping[str, str | bytes | None], *, packages: Collection[str] = (),
        data: Mapping[str, Mapping[str, bytes | None]] = types.MappingProxyType({}), failing: str = "refuse", mode: str = "update",
        removed: str = "leak", incompatible: str = "refuse", checks: Iterable[updating.Check] = (),
    ) -> dict[str, Plan]:
        """Update modules together, all or none: `{name: source}`; None removes a module, a new name adds one.

        `packages` are the names that are packages: new ones, and modules that become that in place. `data`:
        `{package: {path: bytes, or None to remove it}}`. `failing`: what becomes of new modules that cannot be imported here, "refuse", or
        "store" to keep them as source only. All new bodies run aside together, each
        when it is first imported, so their order and cycles are those of a fresh process. What is kept as source only gets its new source,
        and is imported if that can be. Returns `{name: plan}` of the other modules that were there. Raises as `persistmod.update` and `add`
        do; then nothing is changed.
        """
        options = updating.Options(mode, removed, incompatible, tuple(checks))
        import_new = adding.import_or_store if failing == "store" else adding.run_new
        with journal.telling_of(self, list(sources)):
            return self._update_many(sources, packages, data, import_new, options)

    def _update_many(
        self, sources: Mapping[str, str | bytes | None], packages: Collection[str], data: Mapping[str, Mapping[str, bytes | None]],
        import_new: Callable[[PersistentModule], object], options: updating.Options,
    ) -> dict[str, Plan]:
        gone = [name for name, source in sources.items() if source is None]
        known = {name: source for name, source in sources.items() if source is not None and name in self}
        new = [
            new_record(name, source, package=name in packages)
            for name, source in sources.items()
            if source is not None and name not in self
        ]
        becoming = [self[name] for name in packages if name in known and not self[name].is_package]
        with versions.as_packages(becoming):
            return adding.update_together(self, known, new, gone, options, data, import_new, becoming)

    def leaks(self, progress: Progress | None = None) -> list[Leaked]:
        """Return what left the source of its module and stays, with all who use it: a scan of the database, shown by `progress`."""
        return leaking.leaks(self, progress)

    def reap(self, progress: Progress | None = None) -> list[Leaked]:
        """Delete what `leaks` finds no user of, and return it. What a process elsewhere holds stays with that process."""
        self._check_writable()
        return leaking.reap(self, progress)

    def history(self, name: str) -> list[Revision]:
        """Return who changed what of a module, when and why, the newest first; of `module.Definition` the versions that changed it.

        From the storage's own history, as far as it has not been packed; StorageError where the storage keeps none.
        """
        return history.history(self, name)

    def _check_writable(self) -> None:
        if self._p_jar is not None and self._p_jar.isReadOnly():
            raise StorageError("the database is open read-only; open it for writing to change modules")

    def _check_name(self, record: PersistentModule) -> None:
        name = record.name
        known = self.get(name)
        if known is not None and (known.has_source or not record.is_package):
            raise NameTakenError(f"module {name!r} is registered already; remove it first", module=name)
        parent = name.rpartition(".")[0]
        while parent:
            record_of_parent = self.get(parent)
            if record_of_parent is not None and not record_of_parent.is_package:
                raise InvalidNameError(f"module {name!r}: {parent!r} is a module, not a package", module=name)
            parent = parent.rpartition(".")[0]

    def pend(self, records: Iterable[PersistentModule]) -> None:
        """Have records found under their names, in this process only, until `enter` or `pend(())`."""
        self._v_pending = {record.name: record for record in records}
        for record in self._v_pending.values():
            record.registry, record.is_removed = self, False

    def enter(self) -> None:
        """Register what is pending."""
        for name, record in self._v_pending.items():
            self._modules[name] = record
            journal.note_added(self, record, live.of(record))
            self._listed.update({_key(name, tag): (record, pack) for tag, pack in record.listed().items()})
            if self._p_jar is not None:
                self._p_jar.add(record)
        self._v_pending = {}

    def listed(self, name: str) -> tuple[PersistentModule, Entry] | None:
        """Return a record and what an import needs to know of it, if that can be known without reading the record."""
        found = None if name in self._v_pending else self._listed.get(_key(name, current_tag()))
        return None if found is None else (found[0], found[1].entry(name))

    def prefetch(self, name: str) -> None:
        """Have the images of what is in a package fetched before they are read, where the storage can do that."""
        connection = self._p_jar
        if not prefetching.can_fetch_ahead(connection):
            return
        low, high, tag = f"{name} ", f"{name}/", f" {current_tag()}"  # all keys of the module, and of those below it
        prefetching.fetch_range(connection, self._listed, low, high)
        listed = {key.removesuffix(tag): found for key, found in self._listed.items(low, high) if key.endswith(tag)}
        if len(listed) > 1:
            packs = {id(found[1]): found[1] for found in listed.values() if found is not None}
            records = [self._modules.get(name) for name, found in listed.items() if found is None]
            asked = self._v_asked = self._v_asked or set()
            prefetching.fetch_images(connection, packs.values(), [record for record in records if record is not None], asked)

    def unlist(self, name: str, tag: str = "") -> None:
        """Have an import read the record of a module again; without a tag, for every Python."""
        keys = [_key(name, tag)] if tag else list(self._listed.keys(_key(name, ""), f"{name}!"))
        for key in keys:
            if self._listed.get(key) is not None:
                self._listed[key] = None

    def is_listed_wrongly(self, name: str) -> bool:
        """Return whether an import of a module gets an image that its record does not have."""
        record = self[name]
        right = {_key(name, tag): (record, pack) for tag, pack in record.listed().items()}
        listed = self._listed.items(_key(name, ""), f"{name}!")
        return any(found is not None and right.get(key) != found for key, found in listed)

    def check(self, record: PersistentModule) -> None:
        """Raise what `add` would raise for a record: the name is taken or impossible, the database is read-only."""
        self._check_writable()
        self._check_name(record)

    def register(self, record: PersistentModule) -> None:
        """Register a record whose module is live already, with the namespace packages above it that are missing."""
        self.check(record)
        self.pend(adding.with_parents(self, [record]))
        with journal.telling_of(self, [record.name]):
            self.enter()

    # Proving

    def prove(self, names: Iterable[str], progress: Progress | None = None) -> dict[str, str]:
        """Load closed modules in a fresh process, and run those that no update has changed; return `{name: why it is not the same there}`.

        What imports an updated module keeps what it made of the module before.
        """
        wanted = list(names)
        failed: dict[str, str] = {}
        with Prover(lambda name: payload_of(self[name]) if name in self else None) as prover:
            for position, name in enumerate(wanted):
                if progress:
                    progress(position, len(wanted), name)
                verdict = prover.prove(name, self._follows_updates)
                if verdict is not None:
                    failed[name] = verdict
        return failed

    def _follows_updates(self, name: str) -> bool:
        """Return whether a module, or one of those that it imports, has been updated since it was added."""
        pending, seen = [name], set()
        while pending:
            record = self.get(name := pending.pop())
            if record is None or name in seen:
                continue
            if record.versions:
                return True
            seen.add(name)
            pending += [module for statement in record.body().imports for module in statement.modules(record.package)]
        return False

    def run_always(self, name: str, reason: str) -> None:
        """Make the body of a module run in every process from now on."""
        record = self[name]
        image = record.image(current_tag())
        base = None if image is None else image.state
        record.keep_image(current_tag(), imaging.always(record.body().code, reason, base), {})

    # Removing

    def remove(self, name: str) -> None:
        """Remove a module, and with a package all that is in it; the live modules leave `sys.modules`, what holds them keeps them.

        UpdateError for a namespace that a directory is mounted at: `unmount` it.
        """
        self._check_writable()
        self[name]
        self.check_not_mounted(name)
        changes = journal.of(self)
        with journal.telling_of(self, ()):
            for found in (*self.below(name), name):
                journal.note_removed(self, self._modules[found], live.of(self._modules[found]))
                self.unlist(found)
                self._modules[found].is_removed = True
                del self._modules[found]
                changes.on_abort(live.forgotten(found))

    def verify(self, progress: Progress | None = None) -> list[Finding]:
        """Read every record, compile every source, load every closed module in a fresh process; return what is wrong."""
        return verifying.verify(self, progress)


def _key(name: str, tag: str) -> str:
    return f"{name} {tag}"  # no name holds a space, so all tags of one name are a range


def new_record(
    name: str, source: str | bytes, *, package: bool = False, filename: str | None = None, run: str = "auto"
) -> PersistentModule:
    """Make a record that is registered nowhere and has not run; the name and the source are checked."""
    if run not in _RUNS:
        raise ValueError(f"run must be one of {', '.join(_RUNS)}, not {run!r}")
    check_name(name)
    data = to_bytes(source, name)
    record = PersistentModule(name, data, package=package, filename=filename, run=run)
    record.body()
    return record
