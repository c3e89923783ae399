"""Directories of scripts, mounted into namespaces: every directory is a namespace, to which all scripts in it contribute.

    shapes.py       class Shape: ...               game.Shape           its module: game.__script_shapes__
    items/sword.py  class Sword(game.Shape): ...   game.items.Sword                 game.items.__script_sword__

Each script is a module with globals of its own; the namespace is one, too, whose source is made from what the scripts say (see
`arranging`). So all that works for modules works for them. A change of files is one update of all that it concerns, all or none.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from BTrees.OOBTree import OOBTree
from persistent import Persistent

from persistmod import fileevents, remounting, scripts, staging
from persistmod.arranging import ScriptFile
from persistmod.errors import NameTakenError, NotRegisteredError, SyncError
from persistmod.keeping import Batch, Keeper
from persistmod.namespace import check_name
from persistmod.plans import Plan
from persistmod.records import PersistentModule
from persistmod.remounting import Change, Registry
from persistmod.steps import Gate, SyncPlan, SyncStep, refused_files, with_renames
from persistmod.updating import Check, Options


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a script contributes under a name: its file and its version; for a name that left, the last version that had it."""

    name: str
    path: str
    version: int
    is_left: bool = False


class Mount(Persistent):
    """A directory that is mounted.                                                    # stored: format 1

    `namespace`; `directory`; `scripts`: `{path relative to the directory: ScriptFile}`.
    """

    def __init__(self, registry: Registry, namespace: str, directory: str) -> None:
        self._registry = registry
        self.namespace = namespace
        self.directory = directory
        self.scripts: Any = OOBTree()

    def __repr__(self) -> str:
        return f"<Mount of {self.directory} at {self.namespace}>"

    @property
    def namespaces(self) -> set[str]:
        """The names of the namespaces that the directory and those in it are."""
        return remounting.namespaces_of(self.namespace, self.scripts.values())

    def record(self, path: str) -> PersistentModule:
        """Return the record of a script; NotRegisteredError if there is none."""
        script: ScriptFile | None = self.scripts.get(path)
        record = None if script is None else self._registry.get(script.module)
        if record is None:
            raise NotRegisteredError(f"no script {path!r} is mounted at {self.namespace!r}", module=self.namespace)
        return record

    def contributions(self) -> dict[str, Contribution]:
        """Return `{dotted name: what a script contributes}`, also of names that left their script and stay."""
        found = {}
        for path, script in self.scripts.items():
            record = self.record(path)
            left = {name: record.leaks[name].version for name in script.left if name in record.leaks}
            for name, version in {**left, **dict.fromkeys(script.names, record.version)}.items():
                dotted = f"{script.namespace}.{name}"
                found[dotted] = Contribution(dotted, path, version, name not in script.names)
        return found

    def changes(self) -> dict[str, bytes | None]:
        """Read the directory; return `{path: contents}` of what is not as it was, None for what is gone, for `update`."""
        return Mounting(self).changes()

    def plan(self) -> SyncPlan:
        """Read the directory; return what `update` would do to which scripts."""
        return Mounting(self).plan()

    def update(
        self, changes: Mapping[str, bytes | None], *, mode: str = "update", removed: str = "leak", incompatible: str = "refuse",
        checks: Iterable[Check] = (), gate: Gate | None = None,
    ) -> dict[str, Plan]:  # fmt: skip
        """Apply changes of files together, all or none: `{path relative to the directory: contents}`, None for a file that is gone.

        What is no script is passed over. Other scripts run again if they read, when they run, what changes. Options, and what is
        returned and raised, are as for `Registry.update_many`; UpdateError also for names that two scripts contribute, or that left
        another script and stay, and for scripts that need each other before they are there. A `gate` sees the scripts as they will be,
        with the tests that stand beside them in the directory now, before any of them runs here.
        """
        change = Change(self._registry, self, changes, Options(mode, removed, incompatible, tuple(checks)))
        if change.is_none():
            return {}
        change.check(gate, self._tests() if gate is not None else {})
        plans = change.apply()
        for path in self.scripts.keys() - change.after.keys():
            del self.scripts[path]
        self.scripts.update({path: script for path, script in change.after.items() if self.scripts.get(path) != script})
        return plans

    def _tests(self) -> dict[str, bytes]:
        directory = Path(self.directory)
        return scripts.read(directory).tests if directory.is_dir() else {}

    def watch(
        self, *, gate: Gate | None = None, events: Iterable[Iterable[str]] | None = None, stop: threading.Event | None = None,
        idle: float = 5.0, clock: Callable[[], float] = time.monotonic, commit: Callable[[SyncPlan], object] | None = None,
        on_sync: Callable[[Batch], object] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        """Bring the mount up to date whenever its directory changes, until `stop` is set or `events` end; see `Registry.watch`.

        All that is said there holds, but that only the directory counts: what others change in the mount is changed back. A directory
        that has lost all its scripts is taken for one that is away. `options` are those of `update`.
        """
        place = Path(self.directory)
        changes = fileevents.changes_of(place, stop) if events is None else events
        keeper = Keeper(
            self._read, self._registry._p_jar, place, gate=gate, options=options, idle=idle, clock=clock,
            commit=commit, on_sync=on_sync,
        )  # fmt: skip
        keeper.keep(changes)

    def _read(self) -> Mounting:
        if self._registry.mounts.get(self.namespace) is not self:
            raise NotRegisteredError(f"{self.directory} is not mounted at {self.namespace!r} any more", module=self.namespace)
        return Mounting(self, strict=False)


class Mounting:
    """A mount and its directory, as they are now."""

    def __init__(self, mounted: Mount, *, strict: bool = True) -> None:
        """Read both. StorageError for what cannot be read, but for files unless not strict: then `problems` has them."""
        self._mount = mounted
        self._found = scripts.read(Path(mounted.directory), strict=strict)
        self._known = {path: mounted.record(path).source_bytes for path in mounted.scripts}
        self.problems = self._found.unreadable
        self.beside = {path: _digest(data) for path, data in self._found.tests.items()}

    def changes(self) -> dict[str, bytes | None]:
        """Return what `Mount.changes` does."""
        files = self._found.files
        changed: dict[str, bytes | None] = {path: data for path, data in files.items() if self._known.get(path) != data}
        return changed | dict.fromkeys(path for path in self._known if path not in files and not self._is_problem(path))

    def _is_problem(self, path: str) -> bool:
        return any(path == problem or path.startswith(f"{problem}/") for problem in self.problems)

    def plan(self) -> SyncPlan:
        """Return what becomes of each script. SyncError if there are none any more."""
        namespace, directory = self._mount.namespace, self._mount.directory
        if self._known and not self._found.files and not self.problems:
            problem = f"{directory} has no scripts any more; if that is meant, say mount.update(mount.changes()), or unmount it"
            raise SyncError(f"namespace {namespace!r}: {problem}", module=namespace)
        steps = [self._step(path, data) for path, data in sorted(self.changes().items())]
        return SyncPlan(namespace, directory, tuple(with_renames(steps, self._contents)), self._found.skipped)

    def _step(self, path: str, data: bytes | None) -> SyncStep:
        action = "remove" if data is None else "change" if path in self._known else "add"
        return SyncStep(path, action, "registry", scripts.namespace_of(path, self._mount.namespace))

    def _contents(self, step: SyncStep) -> bytes | None:
        return self._known[step.path] if step.action == "remove" else self._found.files[step.path]

    def digests(self, path: str) -> object:
        """Return what stands for the content of a script in the directory, with its tests, and in the registry."""
        tests = [self.beside[test] for test in sorted(self.beside) if scripts.is_tested_by(path, test)]
        return _digest(self._found.files.get(path)), tests, _digest(self._known.get(path))

    def apply(self, plan: SyncPlan, options: Mapping[str, Any], gate: Gate | None = None) -> SyncPlan:
        """Carry out a plan of this state, or some steps of it, all or none."""
        files = self._found.files
        changes = {path: files.get(path) for step in plan.steps for path in (step.path, step.before) if path}
        return replace(plan, plans=self._mount.update(changes, gate=gate, **options), applied=True)

    def module_at(self, path: str) -> str:
        """Return "": each script is by itself."""
        return ""

    def concerned(self, steps: Sequence[SyncStep], error: Exception) -> set[str]:
        """Return the paths of the steps that an error is about: one, or those that a gate has refused."""
        refused = refused_files(error)
        found = [step.path for step in steps if staging.place_of(step.path, self._mount.namespace) in refused]
        paths: tuple[str, ...] = getattr(error, "paths", ())
        found += [step.path for path in paths for step in steps if path in (step.path, step.before)][:1]
        return set(found)


def _digest(data: bytes | None) -> str | None:
    return None if data is None else hashlib.sha256(data).hexdigest()


def mount(registry: Registry, mounts: Any, directory: Path, namespace: str, *, empty: bool = False, gate: Gate | None = None) -> Mount:
    """Mount a directory; `mounts` are those of the registry, as they are stored."""
    check_name(namespace)
    files = scripts.read(directory, strict=not empty).files
    if namespace in mounts:
        raise NameTakenError(f"namespace {namespace!r}: {mounts[namespace].directory} is mounted there already", module=namespace)
    remounting.check_free(registry, namespace)
    new = Mount(registry, namespace, os.path.abspath(directory))
    new.update({} if empty else files, gate=gate)
    mounts[namespace] = new
    return new


def plan(registry: Registry, directory: Path, namespace: str) -> SyncPlan:
    """Return which scripts a directory that is not mounted would bring."""
    check_name(namespace)
    remounting.check_free(registry, namespace)
    return Mounting(Mount(registry, namespace, os.path.abspath(directory))).plan()


def find_mounted(mounts: Mapping[str, Mount], directory: Path, namespace: str) -> Mount | None:
    """Return the mount at a namespace, None if there is none. NameTakenError if it is one of another directory."""
    found = mounts.get(namespace)
    if found is not None and found.directory != os.path.abspath(directory):
        problem = f"{found.directory} is mounted there; unmount it, or set the `directory` of the mount"
        raise NameTakenError(f"namespace {namespace!r}: {problem}", module=namespace)
    return found


def unmount(registry: Registry, mounts: Any, namespace: str) -> None:
    """Remove all that a mount made. NotRegisteredError if nothing is mounted there, UpdateError if anything else stands in it."""
    mounted: Mount | None = mounts.get(namespace)
    if mounted is None:
        raise NotRegisteredError(f"nothing is mounted at {namespace!r}", module=namespace)
    own = {*mounted.namespaces, *(script.module for script in mounted.scripts.values())}
    remounting.check_alone(registry, namespace, own)
    del mounts[namespace]
    try:
        registry.remove(namespace)
    except BaseException:
        mounts[namespace] = mounted
        raise


def find(mounts: Iterable[Mount], path: Path) -> tuple[Mount, str] | None:
    """Return the mount of the innermost directory that a file is in, and the path of the file in there; None if it is in none."""
    found = [(mounted, path.relative_to(mounted.directory)) for mounted in mounts if path.is_relative_to(mounted.directory)]
    if not found:
        return None
    mounted, relative = min(found, key=lambda pair: len(pair[1].parts))
    return mounted, relative.as_posix()
