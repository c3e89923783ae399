"""Directories of scripts, mounted into namespaces: every directory is a namespace, to which all scripts in it contribute.

    shapes.py       class Shape: ...               game.Shape           its module: game.__script_shapes__
    items/sword.py  class Sword(game.Shape): ...   game.items.Sword                 game.items.__script_sword__

Each script is a module with globals of its own; the namespace is one, too, whose source is made from what the scripts say (see
`arranging`). So all that works for modules works for them. A change of files is one update of all that it concerns, all or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from BTrees.OOBTree import OOBTree
from persistent import Persistent

from persistmod import remounting, scripts
from persistmod.arranging import ScriptFile
from persistmod.errors import NotRegisteredError
from persistmod.namespace import check_name
from persistmod.plans import Plan
from persistmod.records import PersistentModule
from persistmod.remounting import Change, Registry
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
        files = scripts.read(Path(self.directory)).files
        known = {path: self.record(path).source_bytes for path in self.scripts}
        changed: dict[str, bytes | None] = {path: data for path, data in files.items() if known.get(path) != data}
        return changed | dict.fromkeys(known.keys() - files.keys())

    def update(
        self, changes: Mapping[str, bytes | None], *, mode: str = "update", removed: str = "leak", incompatible: str = "refuse",
        checks: Iterable[Check] = (),
    ) -> dict[str, Plan]:
        """Apply changes of files together, all or none: `{path relative to the directory: contents}`, None for a file that is gone.

        What is no script is passed over. Other scripts run again if they read, when they run, what changes. Options, and what is
        returned and raised, are as for `Registry.update_many`; UpdateError also for names that two scripts contribute, or that left
        another script and stay, and for scripts that need each other before they are there.
        """
        change = Change(self._registry, self, changes, Options(mode, removed, incompatible, tuple(checks)))
        plans = change.apply()
        for path in self.scripts.keys() - change.after.keys():
            del self.scripts[path]
        self.scripts.update({path: script for path, script in change.after.items() if self.scripts.get(path) != script})
        return plans


def mount(registry: Registry, mounts: Any, directory: Path, namespace: str) -> Mount:
    """Mount a directory; `mounts` are those of the registry, as they are stored."""
    check_name(namespace)
    files = scripts.read(directory).files
    remounting.check_free(registry, namespace)
    new = Mount(registry, namespace, str(directory.absolute()))
    new.update(files)
    mounts[namespace] = new
    return new


def unmount(registry: Registry, mounts: Any, namespace: str) -> None:
    """Remove all that a mount made. NotRegisteredError if nothing is mounted there, UpdateError if anything else stands in it."""
    mounted: Mount | None = mounts.get(namespace)
    if mounted is None:
        raise NotRegisteredError(f"nothing is mounted at {namespace!r}", module=namespace)
    own = {*mounted.namespaces, *(script.module for script in mounted.scripts.values())}
    remounting.check_alone(registry, namespace, own)
    registry.remove(namespace)
    del mounts[namespace]


def find(mounts: Iterable[Mount], path: Path) -> tuple[Mount, str] | None:
    """Return the mount of the innermost directory that a file is in, and the path of the file in there; None if it is in none."""
    found = [(mounted, path.relative_to(mounted.directory)) for mounted in mounts if path.is_relative_to(mounted.directory)]
    if not found:
        return None
    mounted, relative = min(found, key=lambda pair: len(pair[1].parts))
    return mounted, relative.as_posix()
