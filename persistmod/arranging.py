"""The scripts of a mount in the order in which they need each other, and the source of the namespaces that they contribute to.

A namespace is a package whose body imports what its scripts contribute, each after those that it needs. What is *loose* is not bound in
it: its `__getattr__` looks at the script, so that a counter there is never another one here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from persistmod.contributing import Reading
from persistmod.errors import UpdateError


@dataclass(frozen=True, slots=True)
class ScriptFile:
    """A script of a mount.                                                            # stored: format 1

    `path` is relative to the directory, `module` the name of its record; `left`: names that it contributed before and that are kept.
    """

    path: str
    namespace: str
    module: str
    reading: Reading
    left: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """All names that it contributes."""
        return self.reading.names

    def dotted(self) -> set[str]:
        """Return them with that of the namespace."""
        return {f"{self.namespace}.{name}" for name in self.names}


_Need = tuple[str, str]  # a script by its path, and the dotted name that it needs


class Arrangement:
    """Scripts by path, and the namespaces that they are in; those of other mounts may be among them."""

    def __init__(self, scripts: Iterable[ScriptFile], namespaces: Collection[str]) -> None:
        self.scripts = {script.module: script for script in sorted(scripts, key=lambda script: (script.namespace, script.path))}
        self.namespaces = frozenset(namespaces)
        self._owners: dict[str, list[ScriptFile]] = defaultdict(list)
        for script in self.scripts.values():
            for name in script.names:
                self._owners[f"{script.namespace}.{name}"].append(script)

    def conflicts(self) -> list[tuple[str, str, list[ScriptFile]]]:
        """Return which names have more than one meaning: in words, the dotted name, and the scripts that give them to it."""
        found = [
            (f"{name} is contributed by {' and by '.join(sorted(script.path for script in owners))}", name, owners)
            for name, owners in self._owners.items()
            if len(owners) > 1
        ]
        for name in self.namespaces & self._owners.keys():
            inside = [script for script in self.scripts.values() if f"{script.namespace}.".startswith(f"{name}.")]
            owners = self._owners[name]
            found.append((f"{name} is contributed by {owners[0].path}, and is a namespace", name, [*owners, *inside]))
        return sorted(found, key=lambda conflict: conflict[0])

    def owner(self, dotted: str) -> ScriptFile | None:
        """Return the script that contributes what a dotted name begins with."""
        namespace, name = self._split(dotted)
        return next(iter(self._owners.get(f"{namespace}.{name}", ())), None) if name else None

    def _split(self, dotted: str) -> tuple[str, str]:
        """Return the innermost namespace that a dotted name begins with, and the name in it that follows."""
        parts = dotted.split(".")
        for length in range(len(parts), 0, -1):
            namespace = ".".join(parts[:length])
            if namespace in self.namespaces:
                return namespace, ".".join(parts[length : length + 1])
        return "", ""

    def concerned(self, changed: Collection[str]) -> set[str]:
        """Return the modules of scripts that read, when they run, what may change with some; and of those through which they do.

        What may change with a script is what mentions it, at any distance.
        """
        needed = {script.module: self._used(script.reading.needs) for script in self.scripts.values()}
        mentioned = {script.module: needed[script.module] | self._used(script.reading.uses) for script in self.scripts.values()}
        affected = _reached(changed, self.users())
        readers = [module for module, used in needed.items() if used & affected]
        return {*changed, *readers, *(_reached(readers, mentioned) & affected)}

    def users(self) -> dict[str, set[str]]:
        """Return `{script: those that mention what it contributes}`, by module name."""
        found: dict[str, set[str]] = {module: set() for module in self.scripts}
        for script in self.scripts.values():
            for used in self._used(script.reading.needs | script.reading.uses):
                found[used].add(script.module)
        return found

    def _used(self, names: Iterable[str]) -> set[str]:
        return {script.module for name in names for script in self._meant(name)}

    def _meant(self, dotted: str) -> list[ScriptFile]:
        """Return the scripts that a dotted name leads to: all of a namespace for `import *`."""
        namespace, name = self._split(dotted)
        if name == "*":
            return [script for script in self.scripts.values() if script.namespace == namespace]
        owner = self.owner(dotted)
        return [] if owner is None else [owner]

    # Order

    def in_order(self) -> dict[str, list[str]]:
        """Return `{namespace: scripts and namespaces in it, by module name, in the order to import them}`; UpdateError names a circle."""
        needs: dict[str, dict[tuple[str, str], _Need]] = {name: {} for name in self.namespaces}
        uses: dict[str, dict[tuple[str, str], _Need]] = {name: {} for name in self.namespaces}
        for script in self.scripts.values():
            for edges, names in ((needs, script.reading.needs), (uses, script.reading.uses)):
                for name in sorted(names):
                    for place, user, used in self._edges(script, name):
                        edges[place].setdefault((user, used), (script.path, name))
        return {name: self._sorted(name, needs[name], uses[name]) for name in sorted(self.namespaces)}

    def _edges(self, script: ScriptFile, name: str) -> Iterator[tuple[str, str, str]]:
        """Yield (namespace, what stands in it and needs, what stands in it and is needed)."""
        namespace, attribute = self._split(name)
        if namespace and not attribute:
            targets = [(namespace, "")]
        else:
            targets = [(owner.namespace, owner.module) for owner in self._meant(name)]
        for space, module in targets:
            place = _common(script.namespace, space)
            if place in self.namespaces:
                user = _part(script.namespace, script.module, place)
                used = _part(space, module, place)
                if used and user != used:
                    yield place, user, used

    def _sorted(self, namespace: str, needs: dict[tuple[str, str], _Need], uses: dict[tuple[str, str], _Need]) -> list[str]:
        """Sort what stands in a namespace; what is only used gives way where it leads to a circle."""
        parts = [script.module for script in self.scripts.values() if script.namespace == namespace]
        parts += sorted(name for name in self.namespaces if name.rpartition(".")[0] == namespace)
        edges = {*uses, *needs}
        while True:
            sorter: TopologicalSorter[str] = TopologicalSorter({part: [] for part in parts})
            for user, used in sorted(edges):
                sorter.add(user, used)
            try:
                return list(sorter.static_order())
            except CycleError as error:
                circle = [(after, before) for before, after in zip(error.args[1], error.args[1][1:], strict=False)]
            given_way = [edge for edge in circle if edge not in needs]
            if not given_way:
                found = [needs[edge] for edge in reversed(circle)]
                text = ", and ".join(f"{path} needs {name}" for path, name in found)
                refusal = UpdateError(f"namespace {namespace!r}: scripts need each other before they are there: {text}", module=namespace)
                refusal.paths = tuple(path for path, _ in found)
                raise refusal
            edges -= set(given_way)


def _reached(start: Iterable[str], edges: Mapping[str, set[str]]) -> set[str]:
    found = set(start)
    pending = list(found)
    while pending:
        new = edges.get(pending.pop(), set()) - found
        found |= new
        pending += new
    return found


def _common(first: str, second: str) -> str:
    """Return the innermost package around two."""
    pairs = zip(first.split("."), second.split("."), strict=False)
    parts = []
    for one, other in pairs:
        if one != other:
            break
        parts.append(one)
    return ".".join(parts)


def _part(namespace: str, module: str, place: str) -> str:
    """Return what stands right in a place and is or holds a script: the script, or a namespace; "" for the place itself."""
    if namespace == place:
        return module
    return f"{place}.{namespace[len(place) + 1 :].partition('.')[0]}"


# Sources


def source_of(parts: Iterable[str], scripts: Mapping[str, ScriptFile]) -> str:
    """Return the source of a namespace whose parts are in order; `scripts` by module name."""
    ordered = [scripts.get(part, part) for part in parts]
    files = [part for part in ordered if isinstance(part, ScriptFile)]
    loose = {name: _last(file.module) for file in files for name in sorted(file.left)}
    loose |= {name: _last(file.module) for file in files for name in file.reading.loose}
    for name in [name for file in files for name in file.reading.bound]:
        loose.pop(name, None)
    docs = "\n\n".join(file.reading.doc for file in files if file.reading.doc)
    exported = sorted(name for file in files for name in file.names if not name.startswith("_"))
    lines = [
        *([f"{docs!r}\n"] if docs else []),
        f"__loose__ = {dict(sorted(loose.items()))!r}\n",
        _GETATTR,
        *(line for part in ordered for line in _imports(part)),
        f"\n__all__ = {exported!r}",
    ]
    return "\n".join(lines) + "\n"


_GETATTR = '''
def __getattr__(name):
    import sys
    module = sys.modules.get(f"{__name__}.{name}")  # one that is being imported is not bound yet
    if module is None and name in __loose__ and __loose__[name] in globals():
        return getattr(globals()[__loose__[name]], name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    return module

'''


def _imports(part: ScriptFile | str) -> Iterator[str]:
    module = part.module if isinstance(part, ScriptFile) else part
    yield f"import {module} as {_last(module)}"  # `from` would ask `__getattr__` before, and a body that calls that is watched more closely
    if isinstance(part, ScriptFile) and part.reading.bound:
        yield f"from {module} import {', '.join(part.reading.bound)}"


def _last(name: str) -> str:
    return name.rpartition(".")[2]
