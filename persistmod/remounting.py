"""A change of the files of a mount: what becomes of each script and namespace, and all of it applied as one update."""

from __future__ import annotations

import re
import types
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

from persistmod import adding, contributing, imported, loading, scripts
from persistmod.arranging import Arrangement, ScriptFile, source_of
from persistmod.errors import BodyError, NameTakenError, UpdateError
from persistmod.loading import Script
from persistmod.plans import Plan
from persistmod.records import PersistentModule
from persistmod.source import to_bytes
from persistmod.updating import Options


class Mounted(Protocol):
    """What is needed of a mount."""

    namespace: str
    scripts: Mapping[str, ScriptFile]

    @property
    def namespaces(self) -> set[str]: ...


class Registry(adding.Registry, Protocol):
    """What is needed of a registry."""

    @property
    def mounts(self) -> Mapping[str, Mounted]: ...
    def below(self, name: str) -> list[str]: ...


def namespaces_of(top: str, files: Iterable[ScriptFile]) -> set[str]:
    """Return the namespaces that scripts of a mount are in, and those around them."""
    found = {top}
    for script in files:
        name = script.namespace
        while name != top:
            found.add(name)
            name = name.rpartition(".")[0]
    return found


def check_free(registry: Registry, namespace: str) -> None:
    """Raise NameTakenError if there is a module of a name, be it outside the registry."""
    known = registry.get(namespace)
    if known is not None and (known.has_source or not known.is_package):
        raise NameTakenError(f"namespace {namespace!r}: a module of the registry has that name", module=namespace)
    if known is None and imported.is_importable(namespace):
        raise NameTakenError(f"namespace {namespace!r}: a module of that name can be imported already", module=namespace)


def check_alone(registry: Registry, namespace: str, own: Collection[str]) -> None:
    """Raise UpdateError if modules other than `own` stand below a namespace that is to go."""
    others = [name for name in registry.below(namespace) if name not in own]
    if others:
        problem = f"it cannot go with {', '.join(others)} in it; unmount or remove that first"
        raise UpdateError(f"namespace {namespace!r}: {problem}", module=namespace)


class Change:
    """What a mount is to be; `before` and `after` are `{path: script}`."""

    def __init__(self, registry: Registry, mounted: Mounted, files: Mapping[str, bytes | None], options: Options) -> None:
        self._registry, self._mount, self._options = registry, mounted, options
        self.before: dict[str, ScriptFile] = dict(mounted.scripts)
        self._sources: dict[str, bytes] = {}  # of the scripts that are new or changed, by module
        self.after = self._scripts({path: data for path, data in files.items() if path in self.before or scripts.is_script(path)})

    def apply(self) -> dict[str, Plan]:
        """Update what the change concerns, all or none; nothing is noted in the mount."""
        if self.before and self.after == self.before and not self._sources:
            return {}
        self._check()
        known, new, gone = self._modules()
        try:
            return adding.update_together(self._registry, known, new, gone, self._options)
        except BodyError as error:
            path = self._file_of(error)
            if path:
                raise BodyError(f"script {path}: {error}", module=error.module) from error.__cause__
            raise

    # The scripts

    def _scripts(self, files: Mapping[str, bytes | None]) -> dict[str, ScriptFile]:
        """Return the scripts as they will be; one that only has another name stays the same module."""
        found = {path: script for path, script in self.before.items() if files.get(path, b"") is not None}
        moved = {(script.namespace, self._source(script)): script for path, script in self.before.items() if path not in found}
        for path, data in sorted(files.items()):
            if data is None or (path in found and self._source(found[path]) == data):
                continue
            namespace = scripts.namespace_of(path, self._mount.namespace)
            known = found.get(path) or moved.pop((namespace, data), None)
            found[path] = self._script(path, namespace, data, known)
        return found

    def _source(self, script: ScriptFile) -> bytes:
        record = self._registry.get(script.module)
        return b"" if record is None else record.source_bytes

    def _script(self, path: str, namespace: str, data: bytes, known: ScriptFile | None) -> ScriptFile:
        reading = contributing.read(data, path, namespace)
        script = known or ScriptFile(path, namespace, self._new_name(namespace, path), reading)
        self._sources[script.module] = data
        left: frozenset[str] = frozenset()
        if known is not None and self._options.removed == "leak":
            left = self._kept(known) | known.names
        return replace(script, path=path, reading=reading, left=left - reading.names)

    def _kept(self, script: ScriptFile) -> frozenset[str]:
        """Return the names that left a script and stay."""
        record = self._registry.get(script.module)
        return frozenset() if record is None else script.left & record.leaks.keys()

    def _new_name(self, namespace: str, path: str) -> str:
        """Return a name that no module has, and no definition."""
        stem = re.sub(r"\W", "_", unicodedata.normalize("NFKC", path.rpartition("/")[2].removesuffix(".py")))
        name, number = f"{namespace}.__script_{stem}__", 1
        while name in self._sources or self._registry.get(name) is not None:
            number += 1
            name = f"{namespace}.__script_{stem}_{number}__"
        return name

    # What may be in the way

    def _check(self) -> None:
        new = namespaces_of(self._mount.namespace, self.after.values()) - self._old_namespaces()
        for namespace in sorted(new):
            check_free(self._registry, namespace)
        problems = [*self._with_other_mounts(self.after).conflicts(), *self._taken_from_others()]
        if problems:
            raise UpdateError(f"namespace {self._mount.namespace!r}: {'; '.join(problems)}", module=self._mount.namespace)

    def _old_namespaces(self) -> set[str]:
        return self._mount.namespaces if self.before else set()

    def _with_other_mounts(self, files: Mapping[str, ScriptFile]) -> Arrangement:
        found, namespaces = list(files.values()), namespaces_of(self._mount.namespace, files.values())
        for name, other in self._registry.mounts.items():
            if name != self._mount.namespace:
                found += other.scripts.values()
                namespaces |= other.namespaces
        return Arrangement(found, namespaces)

    def _taken_from_others(self) -> Iterator[str]:
        """Yield in words which names left one script, stay there, and would be contributed by another."""
        owners = {(script.namespace, name): script for script in self.after.values() for name in script.names}
        for script in self.after.values():
            staying = script.left if script.module in self._sources else self._kept(script)
            for name in sorted(staying):
                owner = owners.get((script.namespace, name))
                if owner is not None:
                    problem = f"{script.namespace}.{name} left {script.path} and stays, so {owner.path} cannot contribute it"
                    yield f"{problem}; reap() it, or pass removed='delete'"

    # What is updated

    def _modules(self) -> tuple[dict[str, str | bytes], list[PersistentModule], list[str]]:
        """Return ({module: source} of those that are there, the records of new ones, the names of those that go)."""
        arranged = Arrangement(self.after.values(), namespaces_of(self._mount.namespace, self.after.values()))
        spaces = {name: source_of(parts, arranged.scripts) for name, parts in arranged.in_order().items()}
        new = [self._record(name, source, name) for name, source in spaces.items() if self._is_new(name)]
        new += [
            self._record(script.module, self._sources[script.module], script.namespace, script.path)
            for script in arranged.scripts.values()
            if self._is_new(script.module)
        ]
        known: dict[str, str | bytes] = {name: source for name, source in spaces.items() if not self._is_new(name)}
        for name, source in self._concerned().items():
            known.setdefault(name, source)
        gone = {script.module for script in self.before.values()} - arranged.scripts.keys()
        empty = self._old_namespaces() - spaces.keys()
        for namespace in empty:
            check_alone(self._registry, namespace, gone | empty)
        return known, new, [name for name in sorted(gone | empty) if name.rpartition(".")[0] not in empty]

    def _is_new(self, name: str) -> bool:
        known = self._registry.get(name)
        return known is None or not known.has_source

    def _record(self, name: str, source: str | bytes, namespace: str, path: str = "") -> PersistentModule:
        filename = _file_name(namespace, path) if path else None
        record = PersistentModule(name, to_bytes(source, name), package=not path, filename=filename)
        record.script = Script(namespace, frozenset(record.body().slices))
        return record

    def _concerned(self) -> dict[str, bytes]:
        """Return `{module: source}` of the scripts that change, of those that mention what these contribute, and of their namespaces."""
        changed = {*self._sources, *(script.module for path, script in self.before.items() if path not in self.after)}
        found: dict[str, bytes] = {}
        for files in (self.before, self.after):
            arrangement = self._with_other_mounts(files)
            for name in arrangement.concerned(changed) & arrangement.scripts.keys():
                for module in (name, arrangement.scripts[name].namespace):
                    record = self._registry.get(module)
                    if record is not None and record.has_source:
                        found[module] = self._sources.get(module, record.source_bytes)
        gone = {script.module for script in self.before.values()} - {script.module for script in self.after.values()}
        return {name: source for name, source in found.items() if name not in gone}

    def _file_of(self, error: BaseException) -> str:
        """Return the path of the script that raised, "" if none did."""
        names = {}
        for script in self.after.values():
            record = self._registry.get(script.module)
            names[_file_name(script.namespace, script.path) if record is None else record.filename] = script.path
        found = ""
        trace: types.TracebackType | None = getattr(error.__cause__, "__traceback__", None)
        while trace is not None:
            found = names.get(trace.tb_frame.f_code.co_filename, found)
            trace = trace.tb_next
        return found


def _file_name(namespace: str, path: str) -> str:
    """Return the file name that code of a script goes by; `__init__.py` is the namespace's own."""
    file = path.rpartition("/")[2]
    return f"{loading.ROOT}/{namespace.replace('.', '/')}/{'__script___init____.py' if file == '__init__.py' else file}"
