"""Keeping a directory and a package of the registry in step, both ways.

    what both had when they were last in step  ─┬─> for each file: who changed it? ──> plan ──> one transaction, or nothing
    the files now ── the modules and data now ──┘

What was in step is kept in the registry, for each directory of each machine. A file that is to be written is written by the commit; should
the process die between commit and writing, the file is still known as one that nobody changed.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

from persistent import Persistent

from persistmod import adding, trees
from persistmod.errors import StorageError, SyncError
from persistmod.exporting import files_in, misplaced
from persistmod.filechanges import FileChanges
from persistmod.plans import Plan
from persistmod.proving import Progress
from persistmod.records import PersistentModule
from persistmod.steps import Gate, SyncPlan, SyncStep, refused_files, with_renames, without_renames
from persistmod.trees import File, Tree

SIDES = ("directory", "registry")


class Synced(Persistent):
    """What a directory and a package had when they were last in step.

    `files`: `{path: digest}`; `pending`: `{path: when it was modified, in ns, or None}` of files as they were before the last commit wrote
    them: one that is still the same was not written.
    """

    def __init__(self) -> None:
        self.files: dict[str, str] = {}
        self.pending: dict[str, int | None] = {}


class Registry(Protocol):
    """What is needed of a registry."""

    _p_jar: Any

    def __contains__(self, name: object) -> bool: ...
    def __getitem__(self, name: str) -> PersistentModule: ...
    def __iter__(self) -> Iterator[str]: ...
    def below(self, name: str) -> list[str]: ...
    def check_not_mounted(self, name: str) -> None: ...
    def synced(self, key: str) -> Synced | None: ...
    def keep_synced(self, key: str) -> Synced: ...
    def remove(self, name: str) -> None: ...
    def update_many(self, sources: Mapping[str, bytes | None], **options: Any) -> dict[str, Plan]: ...


@dataclass(slots=True)
class Changes:
    """What a tree changes in a registry.

    `again`: modules that leave first, since what they are changes. `sources`: `{module: source, or None if it leaves}`, `packages` are
    those of the new ones that are packages; `data`: `{package: {path: bytes, or None to remove it}}`.
    """

    again: list[str] = field(default_factory=list)
    sources: dict[str, bytes | None] = field(default_factory=dict)
    packages: set[str] = field(default_factory=set)
    data: dict[str, dict[str, bytes | None]] = field(default_factory=dict)


class Syncing:
    """One directory and one package, as they are now."""

    beside: object = None  # tests are files of the package

    def __init__(
        self, registry: Registry, directory: Path, name: str | None, prefer: str | None = None, *, one_way: bool = False,
        strict: bool = True,
    ) -> None:
        """Read both. StorageError for files that cannot be read or written, unless not strict: then `problems` has them."""
        if prefer not in (None, *SIDES):
            raise ValueError(f"prefer must be one of {', '.join(SIDES)}, not {prefer!r}")
        self._registry = registry
        self._folder = directory
        self._prefer = prefer
        self.tree = self._read(name, strict)
        self.name = self.tree.name
        if self.name in registry and not registry[self.name].is_package:
            problem = f"it is a module of the registry, and {directory} a directory; give the directory another name"
            raise SyncError(f"module {self.name!r}: {problem}", module=self.name)
        registry.check_not_mounted(self.name)
        self._key = f"{self.name} {platform.node()}:{os.path.abspath(directory)}"
        self._files = trees.files_of(self.tree)
        self._modules = files_in(registry, self.name)
        self.problems = {**self.tree.unreadable, **({} if one_way else misplaced(directory, {*self._files, *self._modules}))}
        if self.problems and strict:
            what = "; ".join(f"{path}: {problem}" for path, problem in self.problems.items())
            raise StorageError(f"module {self.name!r}: {directory} cannot hold {what}; nothing is changed", module=self.name)
        self._is_one_way = one_way
        self._synced = registry.synced(self._key)
        if one_way:  # as if the registry had been in step
            self._synced = Synced()
            self._synced.files = {path: file.digest for path, file in self._modules.items()}

    def _read(self, name: str | None, strict: bool) -> Tree:
        if self._folder.is_dir():
            return trees.read(self._folder, name, strict=strict)
        name = name or self._folder.name
        if self._folder.exists():
            raise StorageError(f"module {name!r}: {self._folder} is no directory", module=name)
        if name not in self._registry:
            problem = f"there is no directory {self._folder}, and no such module in the registry"
            raise StorageError(f"module {name!r}: {problem}", module=name)
        return Tree(name)

    def plan(self) -> SyncPlan:
        """Return what is to be done; nothing is changed."""
        self._check_presence()
        paths = [path for path in sorted({*self._files, *self._modules}) if not self._is_problem(path)]
        steps = [step for path in paths if (step := self._step(path)) is not None]
        return SyncPlan(self.name, str(self._folder), tuple(with_renames(steps, self._contents)), self.tree.skipped)

    def digests(self, path: str) -> tuple[str | None, str | None]:
        """Return what stands for the content of a file in the directory, and in the registry."""
        return _digest(self._files.get(path)), _digest(self._modules.get(path))

    def _is_problem(self, path: str) -> bool:
        return bool(self.problems) and any(path == problem or path.startswith(f"{problem}/") or problem == "." for problem in self.problems)

    def _check_presence(self) -> None:
        """A directory that has lost everything is more likely not mounted than meant."""
        known = self._synced.files if self._synced is not None else {}
        if not known or not known.keys().isdisjoint(self._files):
            return
        if self._prefer == "registry":
            self._synced = None
        elif self._prefer is None:
            problem = f"{self._folder} has none of the files that it had; if that is meant, say which side counts"
            raise SyncError(f"module {self.name!r}: {problem}: prefer='directory' or 'registry'", module=self.name)

    def _step(self, path: str) -> SyncStep | None:
        file, module = self._files.get(path), self._modules.get(path)
        here, there = _digest(file), _digest(module)
        if here == there:
            return None
        synced = self._synced or Synced()
        known = synced.files.get(path)
        is_new_here = here != known and not (path in synced.pending and self._modified(path) == synced.pending[path])
        if is_new_here and there != known and self._prefer is None:
            reason = "both have changed it" if known is not None else "both have it, and it was never in step"
            return SyncStep(path, "conflict", "", _owner(file, module), "", reason)
        counts = self._prefer if is_new_here and there != known else "directory" if is_new_here else "registry"
        target = "registry" if counts == "directory" else "directory"
        before, after = (module, file) if target == "registry" else (file, module)
        action = "add" if before is None else "remove" if after is None else "change"
        reason = "a data file: its name is none for a module" if action == "add" and after and after.place.endswith(".py") else ""
        return SyncStep(path, action, target, _owner(file, module), "", reason)

    def _modified(self, path: str) -> int | None:
        file = self._folder / path
        return file.stat().st_mtime_ns if file.exists() else None

    def _contents(self, step: SyncStep) -> bytes | None:
        """Return what a step adds or removes."""
        is_new_here = (step.target == "registry") == (step.action == "add")
        file = (self._files if is_new_here else self._modules).get(step.path)
        return None if file is None else file.data

    def apply(
        self, plan: SyncPlan, options: Mapping[str, Any], gate: Gate | None = None, progress: Progress | None = None
    ) -> SyncPlan:
        """Carry out a plan of this state: the registry now, the files when the transaction commits. SyncError if there are conflicts.

        Files that a plan leaves out stay as they are on both sides, and are looked at again. A `gate` sees everything first.
        """
        if plan.conflicts:
            what = ", ".join(step.path for step in plan.conflicts)
            problem = f"both {plan.directory} and the registry have changed {what}"
            raise SyncError(f"module {self.name!r}: {problem}; say which side counts: prefer='directory' or 'registry'", module=self.name)
        steps = without_renames(plan.steps)
        changed = [step for step in steps if step.target == "registry"]
        if gate is not None and changed:
            self._check(changed, gate)
        plans, stored = self._change_registry(changed, options, progress)
        if not self._is_one_way:
            self._change_directory([step for step in steps if step.target == "directory"], {step.path for step in steps})
        return replace(plan, plans=plans, stored=stored, applied=True)

    def concerned(self, steps: Sequence[SyncStep], error: Exception) -> set[str]:
        """Return the paths of those steps that an error is about; a package that does not come takes along what would come in it."""
        top = f"{self.name.replace('.', '/')}/"
        files = {file.removeprefix(top) for file in refused_files(error)}
        module = getattr(error, "module", "")
        about = [
            step
            for step in steps
            if not files.isdisjoint((step.path, step.before))
            or (not files and module and module in map(self.module_at, (step.path, step.before)))
        ]
        missing = [f"{name}." for step in about if (name := self.module_at(step.path)) and self._is_new_package(name)]
        return {step.path for step in about} | {
            step.path for step in steps for name in missing if f"{step.name}.".startswith(name)
        }

    def module_at(self, path: str) -> str:
        """Return the name of the module that a file is, "" for any other."""
        file = self._files.get(path) or self._modules.get(path)
        return file.owner if file is not None and file.is_module else ""

    def _is_new_package(self, name: str) -> bool:
        return name not in self._registry and any(file.is_package and file.owner == name for file in self._files.values())

    def _change_registry(
        self, steps: list[SyncStep], options: Mapping[str, Any], progress: Progress | None
    ) -> tuple[dict[str, Plan], dict[str, str]]:
        if not steps:
            return {}, {}
        if self.name not in self._registry:
            return {}, adding.add_tree(cast("adding.Registry", self._registry), self._tree_of(steps), "auto", progress).stored
        return change(self._registry, self.name, self._changes(steps), options)

    def _tree_of(self, steps: Iterable[SyncStep]) -> Tree:
        """Return the part of the tree that steps add."""
        kept = {(file.owner, file.place) for file in self._wanted(steps).values()}
        modules = [module for module in self.tree.modules if module.source is None or (module.name, "") in kept]
        packages = {module.name for module in modules if module.is_package}
        resources = {
            owner: {place: data for place, data in found.items() if (owner, place) in kept}
            for owner, found in self.tree.resources.items() if owner in packages
        }  # fmt: skip
        return replace(self.tree, modules=modules, resources=resources)

    def _wanted(self, steps: Iterable[SyncStep]) -> dict[str, File]:
        """Return the files of the package in the registry as they are after steps."""
        wanted = dict(self._modules)
        for step in steps:
            if step.path in self._files:
                wanted[step.path] = self._files[step.path]
            else:
                del wanted[step.path]
        return wanted

    def _changes(self, steps: Iterable[SyncStep]) -> Changes:
        """Return what steps change; a package that becomes a module goes and comes again, with all below it."""
        wanted = self._wanted(steps)
        before, after = _sources(self._modules), _sources(wanted)
        again = [name for name in {**before, **after} if self._changes_kind(name, after)]
        changes = Changes(again, dict.fromkeys(name for name in before if name not in after and not _is_below(name, again)))
        changes.sources |= {name: file.data for name, file in after.items()}  # those that stay may have to run again
        changes.packages = {name for name, file in after.items() if file.is_package}
        old, new = _data(self._modules), _data(wanted)
        for owner in old.keys() | new.keys():
            there = {} if _is_below(owner, again) else old.get(owner, {})
            here = new.get(owner, {})
            differing = {place: file.data for place, file in here.items() if _digest(there.get(place)) != file.digest}
            changes.data[owner] = {**differing, **dict.fromkeys(there.keys() - here.keys())}
        changes.data = {owner: data for owner, data in changes.data.items() if data}
        return changes

    def _changes_kind(self, name: str, after: Mapping[str, File]) -> bool:
        if name in after:
            return name in self._registry and self._registry[name].is_package > after[name].is_package
        return any(other.startswith(f"{name}.") for other in after)

    def _check(self, steps: list[SyncStep], gate: Gate) -> None:
        top = self.name.replace(".", "/")
        files = {f"{top}/{path}": file.data for path, file in self._wanted(steps).items()}
        gone = {f"{top}/{step.path}" for step in steps if step.action == "remove"}
        gate.check(self._registry, files, gone, [f"{top}/{step.path}" for step in steps if step.action != "remove"])

    def _change_directory(self, steps: list[SyncStep], done: set[str]) -> None:
        """Have files written, and keep what is in step then; what differs and was not done stays as it was known."""
        written = {step.path: self._modules.get(step.path) for step in steps}
        synced = self._registry.keep_synced(self._key)
        now = {path: _digest(file) for path, file in {**self._files, **written}.items()}
        for path in {*self._files, *self._modules} - done:
            if _digest(self._files.get(path)) != _digest(self._modules.get(path)):
                now[path] = synced.files.get(path)
        files = {path: digest for path, digest in now.items() if digest is not None}
        pending = {path: self._modified(path) for path in written}
        if (synced.files, synced.pending) != (files, pending):
            synced.files, synced.pending = files, pending
        if written:
            changes = {path: None if file is None else file.data for path, file in written.items()}
            FileChanges(self._folder, changes).join(self._registry._p_jar.transaction_manager)


def change(registry: Registry, top: str, changes: Changes, options: Mapping[str, Any]) -> tuple[dict[str, Plan], dict[str, str]]:
    """Make changes below `top`, all or none; return the plans of what was updated, and `{name: why}` of what is kept as source only."""
    point = registry._p_jar.transaction_manager.get().savepoint()
    try:
        if changes.again:  # what imports them is imported while they are what it knows
            _ = [adding.is_source_only(registry[name]) for name in (top, *registry.below(top))]
        for name in changes.again:
            if name in registry:
                registry.remove(name)
        new = [name for name, source in changes.sources.items() if source is not None and name not in registry]
        plans = registry.update_many(changes.sources, packages=changes.packages, data=changes.data, failing="store", **options)
        for name in reversed(registry.below(top)):
            if not registry[name].has_source and not registry.below(name) and not registry[name].resources:
                registry.remove(name)
    except BaseException:
        point.rollback()
        raise
    changed = {name: plan for name, plan in plans.items() if plan.steps or plan.diff}
    return changed, {name: registry[name].run_reason for name in new if adding.is_source_only(registry[name])}


def _sources(files: Mapping[str, File]) -> dict[str, File]:
    return {file.owner: file for file in files.values() if file.is_module}


def _data(files: Mapping[str, File]) -> dict[str, dict[str, File]]:
    found: dict[str, dict[str, File]] = {}
    for file in files.values():
        if not file.is_module:
            found.setdefault(file.owner, {})[file.place] = file
    return found


def _is_below(name: str, tops: Iterable[str]) -> bool:
    return any(name == top or name.startswith(f"{top}.") for top in tops)


def _owner(file: File | None, module: File | None) -> str:
    found = file or module
    return found.owner if found is not None else ""


def _digest(file: File | None) -> str | None:
    return None if file is None else file.digest
