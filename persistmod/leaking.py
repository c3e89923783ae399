"""What left the source of its module and stays: who still uses it, and letting go of what nobody uses.

Who uses it is looked for in this process, by the collector; in the sources of the registry; and in the records of the database that can
be reached from its root, as they were committed. A process elsewhere that holds it is not seen.
"""

from __future__ import annotations

import gc
import pickletools
import sys
import types
import uuid
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol

from ZODB.serialize import referencesf
from ZODB.utils import oid_repr, z64

from persistmod import contributing, holders, journal, livedata, loading
from persistmod.defined import Definitions
from persistmod.following import LOG_LENGTH, Version
from persistmod.namespace import vars_of
from persistmod.opcodes import ATOMS
from persistmod.pairing import core_of
from persistmod.proving import Progress
from persistmod.records import PersistentModule
from persistmod.statements import statements
from persistmod.writes import Writes


@dataclass(frozen=True, slots=True)
class Leaked:
    """A name that left the source of a module and stays.

    `version` and `source` are the last that had it; the source is "" for what no single statement binds. `referrers`: who holds it in this
    process; `modules`: which modules of the registry mention it; `records`: which records of the database do, as "0x1f package.Class".
    """

    module: str
    name: str
    version: int
    source: str
    referrers: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    records: tuple[str, ...] = ()

    @property
    def is_used(self) -> bool:
        """Whether anybody was found who uses it."""
        return bool(self.referrers or self.modules or self.records)


class Leaking(Protocol):
    """What is needed of a registry."""

    _p_jar: Any

    def __iter__(self) -> Iterator[str]: ...
    def __getitem__(self, name: str) -> PersistentModule: ...


def leaks(registry: Leaking, progress: Progress | None = None) -> list[Leaked]:
    """Return what has left the source of the modules of a registry and stays, with its users."""
    leaking = [record for record in map(registry.__getitem__, registry) if record.leaks]
    if not leaking:
        return []
    gc.collect()  # what is garbage uses nothing
    mentioned = _modules_by_name(registry, leaking)
    stored = _records_by_name(registry, leaking, progress)
    return [
        Leaked(
            record.name, name, leak.version, leak.texts.get(name, ""),
            tuple(_referrers(record, name)), tuple(mentioned[record.name, name]), tuple(stored[record.name, name]),
        )
        for record in leaking
        for name, leak in record.leaks.items()
    ]


def reap(registry: Leaking, progress: Progress | None = None) -> list[Leaked]:
    """Delete what has left the source of its module and is used by nobody; return it. An abort brings it back."""
    unused = [leaked for leaked in leaks(registry, progress) if not leaked.is_used]
    names: dict[str, set[str]] = defaultdict(set)
    for leaked in unused:
        names[leaked.module].add(leaked.name)
    with journal.telling_of(registry, ()):
        for module, gone in names.items():
            record = registry[module]
            with journal.of(record).noting((record, record.module)):
                _delete(record, gone)
    return unused


def _delete(record: PersistentModule, names: set[str]) -> None:
    module = record.module
    writes = Writes()
    jar = record._p_jar
    if jar is not None:
        is_closed = bool(record.run == "once")
        forget = livedata.of(jar).renewed(record, module, names, is_closed)
        writes.do(lambda: None, forget)
    loading.retire(module, [name for name in names if name in vars(module)])
    for name in names & vars(module).keys():
        writes.unbind(vars(module), name)
    record.leaks = {name: leak for name, leak in record.leaks.items() if name not in names}
    kept = {name: definition for name, definition in record.definitions.items() if name not in names}
    record._definitions = Definitions(kept)
    version = Version(uuid.uuid4().hex, frozenset(), frozenset(), frozenset(names))
    record.versions = (*record.versions[1 - LOG_LENGTH :], version)
    journal.of(record).on_abort(writes.roll_back)


# In this process


def _referrers(record: PersistentModule, name: str) -> Iterator[str]:
    """Yield in words who holds what a live module has under a name, the module itself and the parts of the object aside."""
    module = sys.modules.get(record.name)
    if module is None or not loading.is_of(module, record) or type(vars(module).get(name)) in ATOMS:
        return
    values = [vars(module)[name]]
    counted = {0: values[0]}
    known: Any = loading.record_of(module)
    ours = {id(vars(module)), id(livedata.of(known._p_jar).copy_of(record.name)), *_parts(values[0])}
    owners = [owner for owner in gc.get_referrers(values[0]) if owner is not values and owner is not counted]
    if holders.excess(values, holders.references(*owners)):
        yield "a running function, or an object in C"
    for owner in owners:
        if id(owner) not in ours and type(owner) is not types.FrameType:
            yield holders.describe_owner(owner)


def _parts(value: Any) -> set[int]:
    """Return the ids of what belongs to a definition and refers back to it."""
    if not issubclass(type(value), type):
        return set()
    parts = {id(value.__mro__), id(vars_of(value))}
    for member in value.__dict__.values():
        function = core_of(member)
        parts |= {id(member), id(function), *map(id, getattr(function, "__closure__", None) or ())}
    return parts


# In the sources


def _modules_by_name(registry: Leaking, leaking: list[PersistentModule]) -> dict[tuple[str, str], list[str]]:
    """Return `{(module, name): modules that mention it}`: the module itself, or one that imports it, or reads it, from there."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    wanted = {record.name: record.leaks.keys() for record in leaking}
    for record in leaking:
        read = frozenset().union(*(statement.reads for statement in statements(record.source)))
        for name in record.leaks.keys() & read:
            found[record.name, name].append(record.name)
    for record in map(registry.__getitem__, registry):
        if not any(name.encode() in record.source_bytes for names in wanted.values() for name in names):
            continue
        mentioned = contributing.mentions(record.source_bytes, record.name, record.package)
        for owner in leaking:
            for name in owner.leaks:
                dotted = f"{owner.known_as}.{name}"
                if owner is not record and any(f"{mention}.".startswith(f"{dotted}.") for mention in mentioned):
                    found[owner.name, name].append(record.name)
    return found


# In the database


def _records_by_name(
    registry: Leaking, leaking: list[PersistentModule], progress: Progress | None
) -> dict[tuple[str, str], list[str]]:
    """Return `{(module, name): records that name it}`, by their own class or global names, or as the record of the definition."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    if registry._p_jar is None:
        return found
    wanted = {(record.known_as, name): (record.name, name) for record in leaking for name in record.leaks}
    definitions = {
        record.definitions[name]._p_oid: (record.name, name) for record in leaking for name in record.leaks if name in record.definitions
    }
    own = {record._definitions._p_oid for record in leaking if record._definitions is not None}
    storage, total = registry._p_jar._storage, len(registry._p_jar.db().storage)
    pending, seen = [z64], {z64}
    while pending:
        oid = pending.pop()
        data = storage.load(oid)[0]
        references = set(referencesf(data))
        pending += references - seen
        seen |= references
        if progress:
            progress(len(seen) - len(pending), max(total, len(seen)), "")
        if oid in own:
            continue
        named = {definitions[reference] for reference in references & definitions.keys()}
        if any(name.encode() in data for module, name in wanted):
            named |= {wanted[key] for key in wanted.keys() & set(_globals(data))}
        for key in named:
            found[key].append(f"{oid_repr(oid)} {'.'.join(next(iter(_globals(data)), ('', '')))}")
    return found


def _globals(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield the (module, name) of the globals in a record, which is two pickles of protocol 3, its class first."""
    stream = BytesIO(data)
    for _ in range(2):
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name == "GLOBAL":
                module, _, name = str(argument).partition(" ")
                yield module, name
