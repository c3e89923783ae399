"""Verifying a registry: what in it cannot be read, compiled, found or loaded."""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from persistmod.contents import DAMAGE, damaged
from persistmod.errors import PersistmodError
from persistmod.proving import Progress
from persistmod.records import PersistentModule
from persistmod.source import current_tag, digest_of


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `verify` found wrong with a module; `name` is the canonical name or path concerned, or ""."""

    module: str
    name: str
    problem: str


class Verifiable(Protocol):
    """What is needed of a registry."""

    def __iter__(self) -> Iterator[str]: ...
    def __getitem__(self, name: str) -> PersistentModule: ...
    def is_listed_wrongly(self, name: str) -> bool: ...
    def prove(self, names: Iterable[str], progress: Progress | None = None) -> dict[str, str]: ...


def verify(registry: Verifiable, progress: Progress | None = None) -> list[Finding]:
    """Return what is wrong with the modules of a registry, by name."""
    findings = [finding for name in registry for finding in _verify_record(registry, name)]
    broken = {finding.module for finding in findings}
    closed = [name for name in registry if name not in broken and is_closed(registry[name])]
    return findings + [Finding(name, "", problem) for name, problem in registry.prove(closed, progress).items()]


def is_closed(record: PersistentModule) -> bool:
    """Return whether the running Python has the state of a module."""
    image = record.image(current_tag())
    return image is not None and image.state is not None


def _verify_record(registry: Verifiable, name: str) -> Iterator[Finding]:
    try:
        record = registry[name]
        for tag in record.tags:
            record.image(tag)
            record.base(tag)
        for definition in record.definitions.values():
            definition._p_activate()
        wrong = _wrong_digests(record)
        bound = _bound_names(record)
    except PersistmodError as error:
        yield Finding(name, error.name or "", str(error))
        return
    except DAMAGE as error:
        yield Finding(name, "", str(damaged(name, "its record", error)))
        return
    for path in wrong:
        yield Finding(name, path, f"module {name!r}: the digest of {path or 'its source'} is of something else; give it that again")
    if registry.is_listed_wrongly(name):
        yield Finding(name, "", f"module {name!r}: imports get an image that its record does not have; add the module again")
    for definition in record.definitions.values():
        if definition.name not in bound and definition.name not in record.leaks and (definition.source or is_closed(record)):
            problem = f"module {name!r} does not bind {definition.name!r}, of which there is a record"
            yield Finding(name, definition.name, problem)


def _wrong_digests(record: PersistentModule) -> list[str]:
    """Return the data files, "" for the source, of which the record has a digest that is not theirs: `sync` would not see them change."""
    digests = {"": record.source_digest} if record.has_source else {}
    digests |= {path: record.resources.digest(path) for path in record.resources}
    return [path for path, digest in digests.items() if digest != digest_of(record.resources[path] if path else record.source_bytes)]


def _bound_names(record: PersistentModule) -> set[str]:
    """Return the names that a body mentions, and those that its state binds."""
    names: set[str] = set(record.body().code.co_names) if record.has_source else set()
    image = record.image(current_tag())
    if image is not None and image.state is not None:
        names.update(name for name in marshal.loads(image.state.buffers) if isinstance(name, str))
    return names
