"""What a registry offers for directories: in step with them, from them, to them."""

from __future__ import annotations

import os
import threading
import time
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from BTrees.OOBTree import OOBTree

from persistmod import fileevents, mounting
from persistmod.errors import UpdateError
from persistmod.exporting import export
from persistmod.keeping import Batch, Keeper
from persistmod.mounting import Mount
from persistmod.proving import Progress
from persistmod.steps import Gate, SyncPlan
from persistmod.syncing import Registry, Synced, Syncing


class Directories:
    """What a registry offers for directories."""

    _synced: OOBTree | None = None
    _mounts: OOBTree | None = None

    def sync(
        self, directory: str | os.PathLike[str], name: str | None = None, *, prefer: str | None = None, gate: Gate | None = None,
        progress: Progress | None = None, **options: Any,
    ) -> SyncPlan:
        """Bring a directory and the package `name` (by default its name) in step, both ways; return what was done.

        What has changed on one side since they were last in step is changed on the other: modules at once, together, as `update_many`
        does, with its options; files when the transaction commits. At the first time what one side lacks comes from the other. What
        both have changed is refused, unless `prefer` says which side counts, "directory" or "registry". A `gate` sees what the
        registry is to take before anything is run here, and raises to refuse. Raises SyncError for that, and as
        `add_tree` and `update_many` do; then nothing is changed.
        """
        syncing = Syncing(cast("Registry", self), Path(directory), name, prefer)
        return syncing.apply(syncing.plan(), options, gate, progress)

    def watch(
        self, directory: str | os.PathLike[str], name: str | None = None, *, prefer: str | None = None, gate: Gate | None = None,
        events: Iterable[Iterable[str]] | None = None, stop: threading.Event | None = None, idle: float = 5.0,
        clock: Callable[[], float] = time.monotonic, commit: Callable[[SyncPlan], object] | None = None,
        on_sync: Callable[[Batch], object] | None = None, **options: Any,
    ) -> None:  # fmt: skip
        """Keep a directory and a package in step, as `sync` does, until `stop` is set or `events` end.

        A directory of scripts that is mounted is watched by its mount: `Mount.watch`.

        Each batch of changes is one transaction of this registry's connection, which is committed: by `commit(plan)` if that is given. So
        give it a connection, and a thread, of its own; what that has changed so far is committed first. What cannot be done for a file
        leaves that file waiting and holds up nothing else: it is tried again when anything changes. What cannot be done at all, since the
        storage is away, say, is tried again, too. Each is reported once, to `on_sync(batch)` and to the log "persistmod.watch".

        `events`: batches of paths, empty ones to say that time has passed; by default those of watchfiles (`persistmod[watch]`). `idle`:
        after how many seconds of `clock` changes are looked for that no event told of, those of the registry among them.
        Raises what `sync` raises for its arguments, before anything is done.
        """
        place = Path(os.path.abspath(directory))
        changes = fileevents.changes_of(place, stop) if events is None else events
        registry = cast("Registry", self)
        keeper = Keeper(
            lambda: Syncing(registry, place, name, prefer, strict=False), registry._p_jar, place, gate=gate, options=options, idle=idle,
            clock=clock, commit=commit, on_sync=on_sync,
        )  # fmt: skip
        keeper.keep(changes)

    def deploy(
        self, directory: str | os.PathLike[str], name: str | None = None, *, gate: Gate | None = None, progress: Progress | None = None,
        **options: Any,
    ) -> SyncPlan:
        """Make a package what a directory holds, as `sync` does, but one way: what the directory lacks leaves."""
        syncing = Syncing(cast("Registry", self), Path(directory), name, one_way=True)
        return syncing.apply(syncing.plan(), options, gate, progress)

    def plan_sync(
        self, directory: str | os.PathLike[str], name: str | None = None, *, prefer: str | None = None, one_way: bool = False
    ) -> SyncPlan:
        """Return what `sync`, or `deploy` if one way, would do to which files; nothing is changed, and no module is run."""
        return Syncing(cast("Registry", self), Path(directory), name, prefer, one_way=one_way).plan()

    def export(self, directory: str | os.PathLike[str], *names: str) -> list[str]:
        """Write modules and packages, all if none is named, as files that Python imports without a database; return their paths.

        They stand below the directory by their dotted names, byte for byte. StorageError if another file stands in a place; then
        nothing is written.
        """
        registry = cast("Registry", self)
        tops = [name for name in registry if name.rpartition(".")[0] not in registry]
        return export(registry, Path(directory), names or tops)

    def synced(self, key: str) -> Synced | None:
        """Return what a directory had when it was last in step."""
        found: Synced | None = self._synced.get(key) if self._synced is not None else None
        return found

    def keep_synced(self, key: str) -> Synced:
        """Return the same, made if it is not there."""
        if self._synced is None:
            self._synced = OOBTree()
        if key not in self._synced:
            self._synced[key] = Synced()
        kept: Synced = self._synced[key]
        return kept

    # Namespaces

    @property
    def mounts(self) -> Mapping[str, Mount]:
        """`{namespace: Mount}` of the directories of scripts that are mounted."""
        return types.MappingProxyType(dict(self._mounts or {}))

    def mount(
        self, directory: str | os.PathLike[str], namespace: str, *, empty: bool = False, gate: Gate | None = None
    ) -> Mount:
        """Mount a directory of scripts: it becomes a namespace module, and so does each directory in it.

        All scripts of a directory contribute what they define to its namespace, and meet there; each keeps globals of its own. Raises
        NameTakenError for a namespace that is taken, UpdateError as `Mount.update` does, SourceError, BodyError (the cause is what the
        script raised), StorageError for what cannot be read, GateError. After an error nothing is changed.

        `empty`: without its scripts, which `Mount.watch` then brings, with all that it can.
        """
        if self._mounts is None:
            self._mounts = OOBTree()
        return mounting.mount(cast("Any", self), self._mounts, Path(directory), namespace, empty=empty, gate=gate)

    def plan_mount(self, directory: str | os.PathLike[str], namespace: str) -> SyncPlan:
        """Return which scripts mounting a directory would bring, or `Mount.update` change if it is mounted; nothing is run."""
        known = mounting.find_mounted(self.mounts, Path(directory), namespace)
        return known.plan() if known is not None else mounting.plan(cast("Any", self), Path(directory), namespace)

    def keep_mount(self, directory: str | os.PathLike[str], namespace: str, *, empty: bool = False) -> Mount:
        """Return the mount of a directory at a namespace, made as `mount` does if it is not there."""
        return mounting.find_mounted(self.mounts, Path(directory), namespace) or self.mount(directory, namespace, empty=empty)

    def unmount(self, namespace: str) -> None:
        """Remove all that a mount made; live modules leave `sys.modules`, what holds them keeps them.

        NotRegisteredError if nothing is mounted there, UpdateError if anything else stands in it.
        """
        mounting.unmount(cast("Any", self), self._mounts or {}, namespace)

    def check_not_mounted(self, name: str) -> None:
        """Raise UpdateError if a directory is mounted at a name, or below it."""
        for namespace, mounted in self.mounts.items():
            if f"{namespace}.".startswith(f"{name}."):
                problem = f"directory {mounted.directory} is mounted at {namespace!r}; unmount it, or edit its scripts"
                raise UpdateError(f"module {name!r}: {problem}", module=name)

    def find_mount(self, path: str | os.PathLike[str]) -> tuple[Mount, str] | None:
        """Return the mount of the innermost directory that a file is in, and its path there; None if it is in none."""
        return mounting.find(self.mounts.values(), Path(path).absolute())
