"""A change of the files of a mount: what becomes of each script and namespace, and all of it applied as one update."""

from __future__ import annotations

import re
import types
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

from persistmod import adding, contributing, imported, loading, scripts
from persistmod.arranging import Arrangement, ScriptFile, source_of
from persistmod.contributing import Reading
from persistmod.errors import BodyError, NameTakenError, PersistmodError, SourceError, UpdateError
from persistmod.loading import Script
from persistmod.plans import Plan
from persistmod.records import PersistentModule
from persistmod.source import to_bytes
from persistmod.staging import Stage, stage
from persistmod.steps import Gate
from persistmod.updating import Options


class Mounted(Protocol):
    """What is needed of a mount."""

    namespace: str
    scripts: Mapping[str, ScriptFile]

    @property
    def namespaces(self) -> set[str]: ...


class Registry(adding.Registry, Protocol):
    """What is needed of a registry."""

    _p_jar: Any

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

    def is_none(self) -> bool:
        """Return whether nothing is to be changed."""
        return self._is_mounted() and self.after == self.before and not self._sources

    def _is_mounted(self) -> bool:
        return self._registry.mounts.get(self._mount.namespace) is self._mount

    def check(self, gate: Gate | None, tests: Mapping[str, bytes]) -> None:
        """Raise UpdateError for what can be seen to be in the way, NameTakenError for names; a gate sees all that is left."""
        self._check()
        if gate is not None and not self.is_none():
            found = self._stage(tests)
            gate.check(self._registry, found.files, found.gone, found.changed, found.users)

    def apply(self) -> dict[str, Plan]:
        """Update what the change concerns, all or none; nothing is noted in the mount."""
        known, new, gone = self._modules()
        try:
            return adding.update_together(self._registry, known, new, gone, self._options)
        except BodyError as error:
            paths = self._paths()
            body, last = _modules_in(error, paths)
            raised = BodyError(f"script {paths[last]}: {error}" if last else str(error), module=error.module)
            raised.paths = tuple(paths[module] for module in (body, error.module, last) if module in paths)
            raise raised from error.__cause__
        except PersistmodError as error:
            error.paths = error.paths or tuple(path for module, path in self._paths().items() if module == error.module)
            raise

    def _paths(self) -> dict[str, str]:
        """Return the paths of the scripts, by module."""
        return {script.module: path for path, script in self.after.items()}

    def _stage(self, tests: Mapping[str, bytes]) -> Stage:
        arranged = self._arranged(self.after)
        sources = {module: self._source(script) for module, script in arranged.scripts.items()} | self._sources
        return stage(self._arranged(self.before), arranged, sources, self._sources.keys(), tests, self._mount.namespace)

    def _arranged(self, files: Mapping[str, ScriptFile]) -> Arrangement:
        return Arrangement(files.values(), namespaces_of(self._mount.namespace, files.values()))

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
        reading = _reading(data, path, namespace)
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
            self._check_free(namespace)
        problems = [*self._conflicts(), *self._taken_from_others(), *self._needed()]
        if problems:
            text = "; ".join(problem for problem, _ in problems)
            refusal = UpdateError(f"namespace {self._mount.namespace!r}: {text}", module=self._mount.namespace)
            refusal.paths = tuple(path for _, paths in problems for path in paths)
            raise refusal

    def _check_free(self, namespace: str) -> None:
        try:
            check_free(self._registry, namespace)
        except NameTakenError as error:
            inside = f"{namespace}."
            error.paths = tuple(path for path, script in self.after.items() if f"{script.namespace}.".startswith(inside))
            raise

    def _conflicts(self) -> Iterator[tuple[str, list[str]]]:
        """Yield in words which names get more than one meaning, and the scripts that are to blame: those that did not have it."""
        own = {script.module for script in self.after.values()}
        before = {script.module: script.dotted() for script in self.before.values()}
        for problem, name, owners in self._with_other_mounts(self.after).conflicts():
            possible = [script for script in owners if script.module in own]
            new = [script for script in possible if script.module not in before or name in script.dotted() - before[script.module]]
            yield problem, [script.path for script in reversed(new or possible)]

    def _old_namespaces(self) -> set[str]:
        return self._mount.namespaces if self._is_mounted() else set()

    def _with_other_mounts(self, files: Mapping[str, ScriptFile]) -> Arrangement:
        found, namespaces = list(files.values()), namespaces_of(self._mount.namespace, files.values())
        for name, other in self._registry.mounts.items():
            if name != self._mount.namespace:
                found += other.scripts.values()
                namespaces |= other.namespaces
        return Arrangement(found, namespaces)

    def _taken_from_others(self) -> Iterator[tuple[str, list[str]]]:
        """Yield in words which names left one script, stay there, and would be contributed by another; and that."""
        owners = {(script.namespace, name): script for script in self.after.values() for name in script.names}
        for script in self.after.values():
            staying = script.left if script.module in self._sources else self._kept(script)
            for name in sorted(staying):
                owner = owners.get((script.namespace, name))
                if owner is not None:
                    problem = f"{script.namespace}.{name} left {script.path} and stays, so {owner.path} cannot contribute it"
                    yield f"{problem}; reap() it, or pass removed='delete'", [owner.path]

    def _needed(self) -> Iterator[tuple[str, list[str]]]:
        """Yield in words which namespaces go that a script imports, or reads when it runs, and the scripts that left them."""
        users = self._with_other_mounts(self.after).scripts.values()
        for space in sorted(self._old_namespaces() - namespaces_of(self._mount.namespace, self.after.values())):
            inside = f"{space}."
            left = [path for path, script in self.before.items() if f"{script.namespace}.".startswith(inside)]
            for user in users:
                if space in user.reading.uses or any(f"{name}.".startswith(inside) for name in user.reading.needs):
                    yield f"{user.path} needs {space}, which has no scripts any more", left

    # What is updated

    def _modules(self) -> tuple[dict[str, str | bytes], list[PersistentModule], list[str]]:
        """Return ({module: source} of those that are there, the records of new ones, the names of those that go)."""
        arranged = self._arranged(self.after)
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


def _modules_in(error: BaseException, scripts: Collection[str]) -> tuple[str, str]:
    """Return the modules whose body was running when it raised, the innermost, and whose code raised, of those that are scripts."""
    body = last = ""
    trace: types.TracebackType | None = getattr(error.__cause__, "__traceback__", None)
    while trace is not None:
        frame = trace.tb_frame
        name = getattr(frame.f_globals.get("__spec__"), "name", "")
        if name in scripts:
            body, last = name if frame.f_code.co_name == "<module>" else body, name
        trace = trace.tb_next
    return body, last


def _reading(data: bytes, path: str, namespace: str) -> Reading:
    """Read a script; errors name its file."""
    try:
        return contributing.read(data, path, namespace)
    except SourceError as error:
        error.paths = (path,)
        if error.filename is None:  # what cannot be decoded has no line
            error.args = (f"script {path}: {error}",)
        raise


def _file_name(namespace: str, path: str) -> str:
    """Return the file name that code of a script goes by; `__init__.py` is the namespace's own."""
    file = path.rpartition("/")[2]
    return f"{loading.ROOT}/{namespace.replace('.', '/')}/{'__script___init____.py' if file == '__init__.py' else file}"
