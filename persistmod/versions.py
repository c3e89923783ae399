"""Versions of a record: what an update writes into the database.

A new version has a new source and one image; records of definitions that did not change are not written. What left the source and stays is
kept whole. The log of decisions lets other processes follow without the old source.
"""

from __future__ import annotations

import types
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from ZODB.utils import z64

from persistmod import datastate, livedata, loading, offering, repeating
from persistmod.contents import Image, Leak
from persistmod.defined import Definitions, PersistentDefinition
from persistmod.errors import ConversionError
from persistmod.following import LOG_LENGTH, Version
from persistmod.imaging import ImageData
from persistmod.namespace import definitions
from persistmod.records import PersistentModule
from persistmod.source import Body, Slice, compile_source, current_tag
from persistmod.state import State
from persistmod.writes import Writes


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a record takes with a new version; `names` are those that the update bound or deleted in the live namespace.

    `apart`: those of them that leave the old objects to their holders. `has_run`: the body has run to the end in this process.
    """

    source: bytes
    body: Body
    image: ImageData
    persistent: dict[str, Any]
    taken: Iterable[str]
    merged: Iterable[str]
    removed: list[str]
    keep_removed: bool
    names: set[str]
    apart: set[str]
    has_run: bool


def renew(record: PersistentModule, module: Any, version: NewVersion, writes: Writes) -> None:
    """Write a new version into its record, as one step of `writes`."""
    namespace = vars(module)
    slices = version.body.slices
    leaks = _leaks(record, namespace, version)
    stored = _stored_data(record, set(version.taken))
    state, jar = dict(record.__dict__), record._p_jar
    definition_states: list[tuple[PersistentDefinition, dict[str, Any]]] = []
    watched: list[Any] = []

    def change() -> None:
        if jar is not None:
            names = {*version.names, *version.removed}
            watched.append(livedata.of(jar).renewed(record, module, names, version.image.state is not None))
        record.version += 1
        record.before = (record._source, record._images)
        record.keep_source(version.source)
        is_seen = version.image.state is not None and (version.has_run or record._v_seen_at is repeating.code_state())
        code_state = repeating.note_change()
        record._v_body, record._v_seen_at = version.body, code_state if is_seen else None
        record._images = {current_tag(): Image(version.image)}
        if record.script is not None:
            record.script = replace(record.script, contributes=frozenset((*slices, *leaks)))
            loading.be_script(module, record.script)
        record.leaks = leaks
        taken, merged, removed = frozenset(version.taken), frozenset(version.merged), frozenset(version.removed)
        record.versions = (*record.versions[1 - LOG_LENGTH :], Version(uuid.uuid4().hex, taken, merged, removed, frozenset(version.apart)))
        owner = livedata.owner_of(jar)
        if owner is not None:
            watched.append(owner.applied(record.name, record.versions))
        definition_states.extend(_redefine(record, namespace, slices, leaks))
        if stored is not None:
            record.save_data(stored[0], namespace, stored[1])
        record.keep_persistent(version.persistent)
        offering.offer_source(record, record.filename)

    def undo() -> None:
        repeating.note_change()
        for forget in watched:
            forget()
        offering.offer_source(record, record.filename)
        if record._p_jar is None or record._p_serial == z64:
            _set_state(record, state)
            for definition, before in definition_states:
                _set_state(definition, before)

    writes.do(change, undo)


class Kept:
    """The records of modules before an update, for its failure: what is stored is read again, what is not gets its state back."""

    def __init__(self, records: Iterable[PersistentModule]) -> None:
        self._states: list[tuple[Any, dict[str, Any], bool]] = []
        self._registered: list[tuple[Any, int]] = []
        for record in records:
            parts = (record, record._definitions, record._data, *record.definitions.values())
            changed = (part for part in parts if part is not None and (part._p_changed or part._p_serial == z64))
            self._states += [(part, dict(part.__dict__), bool(part._p_changed)) for part in changed]
            if record._p_jar is not None:
                self._registered.append((record._p_jar, len(record._p_jar._registered_objects)))

    def put_back(self) -> None:
        for part, state, was_changed in self._states:
            _set_state(part, state)
            part._p_changed = was_changed
        known = {id(part) for part, state, was_changed in self._states}
        for jar, count in self._registered:
            for changed in jar._registered_objects[count:]:  # ZODB has no other list of them
                if id(changed) not in known and changed._p_serial != z64:
                    changed._p_invalidate()


@contextmanager
def as_packages(records: Collection[PersistentModule]) -> Iterator[None]:
    """Have records of modules be those of packages; they are as before if the block fails."""
    kept = Kept(records)
    try:
        for record in records:
            record.is_package, record._filename = True, None
        yield
    except BaseException:
        kept.put_back()
        raise


def _set_state(record: Any, state: dict[str, Any]) -> None:
    for name in record.__dict__.keys() - state.keys():
        delattr(record, name)
    for name, value in state.items():
        setattr(record, name, value)


def _redefine(
    record: PersistentModule, namespace: dict[str, Any], slices: dict[str, Slice], leaks: dict[str, Leak]
) -> list[tuple[PersistentDefinition, dict[str, Any]]]:
    """Renew the records of definitions that changed, each with its own history; return the old states of those."""
    records, before = {}, []
    for name, value in definitions(namespace, record.name).items():
        known = record.definitions.get(name)
        found = known if name in leaks and known is not None else record._definition(name, value, slices.get(name))
        if known is not None and type(known) is type(found) and found is not known:
            before.append((known, dict(known.__dict__)))
            known.source, known.fingerprint, known.version = found.source, found.fingerprint, record.version
            found = known
        records[name] = found
    if record._definitions is None or records != record._definitions.records:
        record._definitions = Definitions(records)
    return before


def _leaks(record: PersistentModule, namespace: dict[str, Any], version: NewVersion) -> dict[str, Leak]:
    """Return what has left the source and stays, with what leaves it now."""
    body_names = version.names
    kept = {name: leak for name, leak in record.leaks.items() if name not in body_names and name in namespace}
    new = [name for name in version.removed if name not in kept and name in namespace]
    if not new or not version.keep_removed:
        return kept if version.keep_removed else {}
    body = compile_source(record.source_bytes, record.name, record.filename)
    texts = {**_imports(body, record.package), **{name: found.text for name, found in body.slices.items()}}
    base = record.base_namespace(namespace) or {}
    for name in record.stored_paths():
        base.pop(name, None)  # it was bound to something else since
    groups: dict[str, dict[str, Any]] = {}
    for name in new:
        groups.setdefault(_home_of(namespace[name], record.name), {})[name] = namespace[name]
    for found in groups.values():
        state = _state_of(found, record, namespace, base)
        leak = Leak(record.version, current_tag(), state, {name: texts[name] for name in found if name in texts})
        kept |= dict.fromkeys(found, leak)
    return kept


def _state_of(found: dict[str, Any], record: PersistentModule, namespace: dict[str, Any], base: dict[str, Any]) -> State | None:
    """Return the state of what left a source; None if it cannot be stored, or not without persistent objects: it is made again then."""
    try:
        state = datastate.dump_leaked(record.name, found, namespace, base).state
    except ConversionError:
        return None
    return None if state.persistent else state


def _home_of(value: Any, module: str) -> str:
    """Return the other module that a function or class says it is of, "" for all else: that may be gone when the others are restored."""
    home = getattr(value, "__module__", None) if issubclass(type(value), type | types.FunctionType) else None
    return home if isinstance(home, str) and home != module else ""


def _imports(body: Body, package: str) -> dict[str, str]:
    """Return `{name: statement that binds it}` of what a body imports, the module named in full."""
    texts = {}
    for statement in body.imports:
        module = statement.module(package)
        for name, attribute in statement.bound:
            if attribute == ".":
                texts[name] = f"import {module}"
            elif attribute != "*":
                texts[name] = f"from {module} import {attribute} as {name}" if attribute else f"import {module} as {name}"
    return texts


def _stored_data(record: PersistentModule, taken: set[str]) -> tuple[dict[str, Any], tuple[str, ...]] | None:
    """Return the data that stay stored apart from the image, and the names that are gone; None if nothing becomes of them."""
    if taken.isdisjoint(record.stored_paths()):
        return None
    data, gone = record.stored_data()
    return {path: value for path, value in data.items() if path not in taken}, gone
